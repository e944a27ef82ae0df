"""One scan segmented, measured and written as a case folder: the job of `liverseg segment`."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverseg import __version__
from liverseg.case_files import CaseFiles
from liverseg.dicom.derived import Provenance
from liverseg.identity import reported
from liverseg.job import Stopwatch
from liverseg.layout import (
    CASE_FILES,
    CASES,
    DEFAULT_OUTPUTS,
    INDEX_FILE,
    PAGE_FILE,
    PICTURE_FILE,
    REPORT_FILE,
    wrong_outputs,
)
from liverseg.manifest import Row, new_row
from liverseg.outputs import PART, write_json, write_text
from liverseg.pipeline import Pipeline, PipelineSource
from liverseg.report.index import index_page, is_index_page
from liverseg.report.qc import Quality, measure, rounded
from liverseg.scan import spacing_of
from liverseg.scans import Scan, Volume
from liverseg.segmented import Segmented, run_pipeline
from liverseg.uneven import local_thickness

REPORTED_PACKAGES = ("torch", "monai", "numpy", "nibabel", "pydicom")
ENGINE_PACKAGES = ("openvino",)


@dataclass
class Segmentation:
    """The job of `liverseg segment`.

    Args:
        output: the batch's folder; a case goes to output/cases/<case_id>.
        source: gives the pipeline, when there is something to segment.
        outputs: some of liverseg.layout.OUTPUTS.
        resume: leave a case as it is that was finished with the same weights and version.

    Raises:
        ValueError: no outputs, or ones that are none or need another.
    """

    output: Path
    source: PipelineSource
    outputs: Sequence[str] = DEFAULT_OUTPUTS
    resume: bool = True
    _weights_sha256: str = field(default="", init=False)
    _pipeline: Pipeline | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        wrong = wrong_outputs(tuple(self.outputs))
        if wrong:
            raise ValueError(f"outputs {wrong}")

    def results(self) -> dict[str, str]:
        """Case id to fingerprint of every case with a report; "" where it names none.

        Raises:
            ValueError: the folder has an index.html that is not the page of a batch.
        """
        page = self.output / INDEX_FILE
        if page.exists() and not is_index_page(page):
            raise ValueError(
                f"{INDEX_FILE} in the output folder should be the page of a batch; it is another "
                "file: choose another output folder"
            )
        return reported(self.output)

    def prepare(self) -> None:
        """Check the weights; raises FileNotFoundError or ValueError."""
        self._weights_sha256 = self.source.weights_sha256()

    @property
    def left_out(self) -> tuple[str, ...]:
        """Packages that need not be imported to load the pipeline."""
        return getattr(self.source, "left_out", ())

    def begin(self) -> None:
        """Load the pipeline."""
        self._pipeline = self.source.load()

    @property
    def pipeline(self) -> Pipeline:
        """The loaded pipeline."""
        if self._pipeline is None:
            raise ValueError("begin() should be called before process()")
        return self._pipeline

    def process(self, scan: Scan) -> Row:
        """Segment, measure and write one scan; report.json is written last."""
        folder = self.output / CASES / scan.case_id
        watch = Stopwatch()
        segmented = run_pipeline(scan, self.pipeline, watch)
        volume, mask = segmented.volume, segmented.mask
        files = CaseFiles(folder, tuple(self.outputs), self._provenance())
        with ThreadPoolExecutor(1) as aside:
            # What the page shows needs no measurement: it is made beside them, and beside the SEG.
            embedded = aside.submit(files.embedded, segmented)
            quality = self._measured(scan, segmented, watch)
            _empty(folder)
            with watch.stage("writing"):
                quality = files.write_masks(scan, volume, mask, quality)
                report = self._report(scan, volume, quality)
                files.write_report(segmented, report, embedded.result())
        report["files"] = _sizes(folder)
        report["seconds"] = {stage: rounded(spent) for stage, spent in watch.seconds.items()}
        write_json(folder / REPORT_FILE, report)
        return _row_from_report(new_row(scan, "done"), report)

    def _measured(self, scan: Scan, segmented: Segmented, watch: Stopwatch) -> Quality:
        volume = segmented.volume
        with watch.stage("measuring"):
            notes = tuple(dict.fromkeys((*scan.notes, *volume.notes)))
            thickness = None if volume.positions is None else local_thickness(volume.positions)
            return measure(
                volume.image,
                segmented.mask,
                volume.affine,
                found=segmented.found,
                notes=notes,
                thickness=thickness,
            )

    def finished(self, scan: Scan) -> Row | None:
        """The row of a case that an earlier run has done, if this run would do the same."""
        if not self.resume:
            return None
        path = self.output / CASES / scan.case_id / REPORT_FILE
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            same = (
                report["weights_sha256"] == self._weights_sha256
                and report.get("options", "") == self.source.options()
                and report["versions"]["liverseg"] == __version__
                and set(self.outputs) <= set(report["outputs"])
                and report["input"] == _identity(scan)
                and report["files"] == _sizes(path.parent)
            )
            return _row_from_report(new_row(scan, "skipped"), report) if same else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # No report, or none that we would write: the case is done again.
            return None

    def _provenance(self) -> Provenance:
        pipeline = self.pipeline
        return Provenance(__version__, pipeline.weights_sha256, pipeline.options)

    def conclude(self, rows: Sequence[Mapping[str, str]], left: int) -> None:
        """Write index.html."""
        cases = self.output / CASES
        ids = [row["case_id"] for row in rows]
        there = {
            name: {case_id for case_id in ids if (cases / case_id / name).is_file()}
            for name in (PAGE_FILE, PICTURE_FILE)
        }
        page = index_page(rows, there[PAGE_FILE], there[PICTURE_FILE], left)
        write_text(self.output / INDEX_FILE, page)

    def discard(self, case_id: str) -> None:
        """Remove the files of a case that we know, and its folder when nothing else is in it."""
        folder = self.output / CASES / case_id
        if not folder.is_dir():
            return
        for name in CASE_FILES:
            (folder / name).unlink(missing_ok=True)
        for leftover in folder.glob(f".*{PART}"):
            leftover.unlink(missing_ok=True)
        # Not ours to remove when somebody has put files of their own there.
        with suppress(OSError):
            folder.rmdir()

    def _report(self, scan: Scan, volume: Volume, quality: Quality) -> dict[str, Any]:
        """What report.json holds, but how long it took."""
        versions = {"liverseg": __version__, "python": platform.python_version()}
        engine = [name for name in ENGINE_PACKAGES if self.pipeline.engine.startswith(name)]
        return {
            **quality.as_json(),
            "geometry": geometry(volume.image.shape, volume.affine),
            "versions": versions | {name: version(name) for name in (*REPORTED_PACKAGES, *engine)},
            "weights_sha256": self.pipeline.weights_sha256,
            "engine": self.pipeline.engine,
            "options": self.pipeline.options,
            "device": str(self.pipeline.device),
            "outputs": list(self.outputs),
            "input": _identity(scan),
        }


def _empty(folder: Path) -> None:
    """Make a case's folder and take an older result out of it.

    Its report.json goes first: nothing of it is left beside what is written now, and a kill in
    between leaves no case that looks finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in CASE_FILES:
        (folder / name).unlink(missing_ok=True)


def _sizes(folder: Path) -> dict[str, int]:
    """Name to bytes of the files of a case that are there, but for report.json."""
    paths = (folder / name for name in CASE_FILES if name != REPORT_FILE)
    return {path.name: path.stat().st_size for path in paths if path.is_file()}


def geometry(shape: Sequence[int], affine: npt.NDArray[np.float64]) -> dict[str, Any]:
    """A grid as report.json describes it: shape, spacing in mm, affine to RAS mm, axis codes."""
    from nibabel.orientations import aff2axcodes

    return {
        "shape": list(shape),
        "spacing_mm": list(spacing_of(affine)),
        "affine": affine.tolist(),
        "orientation": "".join(aff2axcodes(affine)),
    }


def _identity(scan: Scan) -> dict[str, Any]:
    """What must be equal for a result to be that of this input."""
    return {
        "case_id": scan.case_id,
        "fingerprint": scan.fingerprint,
        "modality": scan.modality,
        "slices": scan.slices,
        "rows": scan.rows,
        "columns": scan.columns,
    }


def _row_from_report(row: Row, report: dict[str, Any]) -> Row:
    mean_hu = report["mean_hu"]
    return replace(
        row,
        volume_ml=float(report["volume_ml"]),
        mean_hu=nan if mean_hu is None else float(mean_hu),
        flags=tuple(dict.fromkeys(flag["code"] for flag in report["flags"])),
        seconds=rounded(sum(report["seconds"].values())) or 0.0,
        engine=str(report["engine"]),
        weights_sha256=str(report["weights_sha256"]),
    )
