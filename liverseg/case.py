"""One scan: segmented, measured and written as a case folder, or converted to a NIfTI file."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liverseg import __version__
from liverseg.job import Stopwatch
from liverseg.manifest import Row, new_row
from liverseg.outputs import (
    IMAGE_GZIP_LEVEL,
    MASK_GZIP_LEVEL,
    PART,
    fingerprint_of,
    whole_file,
    write_json,
    write_nifti,
)
from liverseg.pipeline import Pipeline, PipelineSource
from liverseg.report.qc import Quality, flags_of, measure, rounded
from liverseg.scans import Scan, Volume, read_scan
from liverseg.uneven import local_thickness

OUTPUTS = ("nifti", "report")
CASES = "cases"
MASK_FILE = "liver.nii.gz"
PICTURE_FILE = "preview.png"
# Written last: a case that has it is finished.
REPORT_FILE = "report.json"
# What `liverseg convert` calls its files.
CONVERTED = re.compile(r"[0-9a-f]{16}\.nii\.gz")
REPORTED_PACKAGES = ("torch", "monai", "numpy", "nibabel", "pydicom")


@dataclass
class Segmentation:
    """The job of `liverseg segment`.

    Args:
        output: the batch's folder; a case goes to output/cases/<case_id>.
        source: gives the pipeline, when there is something to segment.
        outputs: some of OUTPUTS.
        resume: leave a case as it is that was finished with the same weights and version.

    Raises:
        ValueError: an output that is not one of OUTPUTS.
    """

    output: Path
    source: PipelineSource
    outputs: Sequence[str] = OUTPUTS
    resume: bool = True
    _weights_sha256: str = field(default="", init=False)
    _pipeline: Pipeline | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        unknown = [name for name in self.outputs if name not in OUTPUTS]
        if unknown or not self.outputs:
            got = ", ".join(self.outputs) or "none"
            raise ValueError(f"outputs should be some of {', '.join(OUTPUTS)}; got {got}")

    def results(self) -> dict[str, str]:
        """Case id to fingerprint of every case with a report; "" where it names none."""
        found = {}
        for path in sorted((self.output / CASES).glob(f"*/{REPORT_FILE}")):
            # One that is no report of ours names no scan that it could be a result of.
            with suppress(ValueError, KeyError, TypeError):
                report = json.loads(path.read_text(encoding="utf-8"))
                found[path.parent.name] = str(report["input"].get("fingerprint", ""))
        return found

    def prepare(self) -> None:
        """Check the weights; raises FileNotFoundError or ValueError."""
        self._weights_sha256 = self.source.weights_sha256()

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
        volume, mask, components = run_pipeline(scan, self.pipeline, watch)
        with watch.stage("measuring"):
            notes = tuple(dict.fromkeys((*scan.notes, *volume.notes)))
            thickness = None if volume.positions is None else local_thickness(volume.positions)
            quality = measure(
                volume.image,
                mask,
                volume.affine,
                components=components,
                notes=notes,
                thickness=thickness,
            )
        folder.mkdir(parents=True, exist_ok=True)
        # An older result is not finished any more once one of its files is replaced.
        (folder / REPORT_FILE).unlink(missing_ok=True)
        with watch.stage("writing"):
            self._write_files(folder, volume, mask, quality)
        report = self._report(scan, volume, quality, watch)
        write_json(folder / REPORT_FILE, report)
        return _row_from_report(new_row(scan, "done"), report)

    def finished(self, scan: Scan) -> Row | None:
        """The row of a case that an earlier run has done, if this run would do the same."""
        if not self.resume:
            return None
        path = self.output / CASES / scan.case_id / REPORT_FILE
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            same = (
                report["weights_sha256"] == self._weights_sha256
                and report["versions"]["liverseg"] == __version__
                and set(self.outputs) <= set(report["outputs"])
                and report["input"] == _identity(scan)
            )
            return _row_from_report(new_row(scan, "skipped"), report) if same else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # No report, or none that we would write: the case is done again.
            return None

    def discard(self, case_id: str) -> None:
        """Remove the files of a case that we know, and its folder when nothing else is in it."""
        folder = self.output / CASES / case_id
        if not folder.is_dir():
            return
        for name in (REPORT_FILE, MASK_FILE, PICTURE_FILE):
            (folder / name).unlink(missing_ok=True)
        for leftover in folder.glob(f".*{PART}"):
            leftover.unlink(missing_ok=True)
        # Not ours to remove when somebody has put files of their own there.
        with suppress(OSError):
            folder.rmdir()

    def _write_files(
        self, folder: Path, volume: Volume, mask: npt.NDArray[np.uint8], quality: Quality
    ) -> None:
        if "nifti" in self.outputs:
            write_nifti(folder / MASK_FILE, mask, volume.affine, gzip_level=MASK_GZIP_LEVEL)
        if "report" in self.outputs:
            from liverseg.report.picture import draw

            caption = f"liver {quality.volume_ml:.2f} ml"
            if quality.volume_ml > 0:
                caption += f", mean {quality.mean_hu:.0f} HU"
            picture = draw(volume.image, mask, volume.affine, caption=caption)
            with whole_file(folder / PICTURE_FILE) as stream:
                picture.save(stream, format="PNG")

    def _report(
        self, scan: Scan, volume: Volume, quality: Quality, watch: Stopwatch
    ) -> dict[str, Any]:
        versions = {"liverseg": __version__, "python": platform.python_version()}
        return {
            **quality.as_json(),
            "geometry": geometry(volume.image.shape, volume.affine),
            "seconds": {stage: rounded(spent) for stage, spent in watch.seconds.items()},
            "versions": versions | {name: version(name) for name in REPORTED_PACKAGES},
            "weights_sha256": self.pipeline.weights_sha256,
            "engine": self.pipeline.engine,
            "device": str(self.pipeline.device),
            "outputs": list(self.outputs),
            "input": _identity(scan),
        }


def run_pipeline(
    scan: Scan, pipeline: Pipeline, watch: Stopwatch
) -> tuple[Volume, npt.NDArray[np.uint8], int | None]:
    """The scan as read, its liver mask, and the components before cleaning where known.

    Returns:
        The volume; (X, Y, Z) uint8 on its grid; a count or None.

    Raises:
        ScanRejected: the scan cannot be read exactly.
        ValueError: the pipeline's mask is not on the scan's grid.
    """
    import torch

    with watch.stage("reading"):
        volume = read_scan(scan)
    with watch.stage("preprocessing"):
        data = pipeline.preprocessing({"image": volume})
    with watch.stage("network"), torch.inference_mode():
        batch = data["image"][None].to(pipeline.device)  # (1, 1, X', Y', Z')
        data["pred"] = pipeline.inferer(batch, pipeline.network)[0]  # (C, X', Y', Z')
    with watch.stage("postprocessing"):
        pred = pipeline.postprocessing(data)["pred"]  # (1, X, Y, Z)
        mask = np.asarray(torch.as_tensor(pred).cpu())[0].astype(np.uint8, copy=False)
    if mask.shape != volume.image.shape:
        raise ValueError(f"mask should have shape {volume.image.shape}; got {mask.shape}")
    components = getattr(pred, "meta", {}).get("components")
    return volume, mask, None if components is None else int(components)


def geometry(shape: Sequence[int], affine: npt.NDArray[np.float64]) -> dict[str, Any]:
    """A grid as report.json describes it: shape, spacing in mm, affine to RAS mm, axis codes."""
    from nibabel.affines import voxel_sizes
    from nibabel.orientations import aff2axcodes

    return {
        "shape": list(shape),
        "spacing_mm": voxel_sizes(affine).tolist(),
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


@dataclass(frozen=True)
class Conversion:
    """The job of `liverseg convert`: output/<case_id>.nii.gz, int16 HU, exact."""

    output: Path

    def results(self) -> dict[str, str]:
        """Case id to fingerprint of every converted file; "" where it has none."""
        files = [path for path in self.output.glob("*.nii.gz") if CONVERTED.fullmatch(path.name)]
        return {path.name.partition(".")[0]: fingerprint_of(path) for path in sorted(files)}

    def prepare(self) -> None:
        """Nothing to check."""

    def finished(self, scan: Scan) -> Row | None:
        """None: a scan is always converted again."""
        return None

    def begin(self) -> None:
        """Nothing to load."""

    def process(self, scan: Scan) -> Row:
        """Read one scan and write it."""
        watch = Stopwatch()
        with watch.stage("all"):
            volume = read_scan(scan)
            path = self.output / f"{scan.case_id}.nii.gz"
            write_nifti(
                path,
                volume.image,
                volume.affine,
                gzip_level=IMAGE_GZIP_LEVEL,
                fingerprint=scan.fingerprint,
            )
        codes = dict.fromkeys(flag.code for flag in flags_of((*scan.notes, *volume.notes)))
        row = new_row(scan, "done")
        return replace(row, flags=tuple(codes), seconds=watch.seconds["all"])

    def discard(self, case_id: str) -> None:
        """Remove the file of a case."""
        (self.output / f"{case_id}.nii.gz").unlink(missing_ok=True)
        for leftover in self.output.glob(f".{case_id}.nii.gz.*{PART}"):
            leftover.unlink(missing_ok=True)
