"""Many scans: found, chosen, done one apart from the other, and listed in the manifest."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeAlias

from liverseg.case import Segmentation
from liverseg.conversion import Conversion
from liverseg.crew import Crew
from liverseg.errors import ScanRejected
from liverseg.failure import FAILURES
from liverseg.identity import settled
from liverseg.interrupts import interrupted_once
from liverseg.job import Job
from liverseg.layout import CASES, DEFAULT_OUTPUTS
from liverseg.limits import Limits
from liverseg.lock import sole_writer
from liverseg.manifest import Row, Status, new_row
from liverseg.outputs import remove_parts
from liverseg.pipeline import BuiltPipeline, BundlePipeline, Pipeline
from liverseg.record import NOT_SELECTED, OnRow, Record
from liverseg.scans import ORDINARY_FINDING, Finding, Scan, found_scans
from liverseg.selection import chosen_of, without_own
from liverseg.sizes import ORDINARY_SIZES, Sizes

__all__ = [
    "DEFAULT_OUTPUTS",
    "Limits",
    "OnRow",
    "Pipeline",
    "Row",
    "convert",
    "segment",
    "segment_folder",
]

logger = logging.getLogger(__name__)

ORDINARY_LIMITS = Limits()

# One path or several, as text or not.
Paths: TypeAlias = str | Path | Sequence[str | Path]


def segment(
    inputs: Paths,
    output: str | Path,
    *,
    device: str = "auto",
    series: str = "all",
    outputs: Sequence[str] = DEFAULT_OUTPUTS,
    refine: bool = False,
    resume: bool = True,
    resample_irregular: bool = False,
    limits: Limits = ORDINARY_LIMITS,
    sizes: Sizes = ORDINARY_SIZES,
    on_row: OnRow | None = None,
) -> list[Row]:
    """Segment the liver in every CT series found and leave masks, reports and a manifest.

    Args:
        inputs: DICOM folders or trees, archives of them, .nii or .nii.gz files or folders of
            those; one or several.
        output: folder for manifest.csv, linkage.csv and cases/<case_id>/; made when missing.
        device: auto, cpu, cuda or cuda:N.
        series: all; best (a study's series with most slices); or a SeriesInstanceUID or case id.
        outputs: nifti for liver.nii.gz, dicom-seg for liver.dcm where the source is DICOM,
            dicom-sr for liver_sr.dcm, report for preview.png; report.json is always written.
        refine: refine the network's answer with the CRF; slower, see the model card for what it
            brings.
        resume: skip cases that an earlier run finished with the same weights, version and refine.
        resample_irregular: segment unevenly spaced slices too, flagged; refused otherwise.
        limits: seconds for one scan, which fails with TIMEOUT when it takes longer; memory for all
            that are in work, which fails with OUT_OF_MEMORY when it alone needs more; and how many
            are in work at a time.
        sizes: what is too large to be read.
        on_row: called with (None, 0, scans), then (row, number, scans) after every scan, in the
            order in which they are done.

    Returns:
        A row a series found, rejected ones too, in the order in which they were found; empty, and
        nothing written, when nothing is found.

    Raises:
        FileNotFoundError: an input, the bundle or its weights are missing.
        ValueError: no such device, series or output; an empty path; a limit that is none; or
            weights that do not match their SHA-256.
        BlockingIOError: another run is writing to the output folder.
        ScanRejected: no process for the scans can start, within the memory limit too.
        OSError: the output folder cannot be written.
    """
    folder = _path(output)
    job = Segmentation(folder, BundlePipeline(device, refine=refine), tuple(outputs), resume)
    return run_batch(
        _paths(inputs),
        folder,
        job,
        series=series,
        limits=limits,
        finding=Finding(resample_irregular, sizes),
        on_row=on_row,
    )


def segment_folder(input_dir: Path, output_dir: Path, pipeline: Pipeline) -> list[Row]:
    """As `segment`, with parts that are already built: the bundle's run of inference.yaml.

    What became of each scan is logged in a line.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it.
        ValueError: a part of the pipeline cannot be sent to another process, such as a lambda.
    """
    job = Segmentation(Path(output_dir), BuiltPipeline(pipeline), DEFAULT_OUTPUTS, resume=True)
    rows = run_batch([Path(input_dir)], Path(output_dir), job, on_row=_log)
    if not rows:
        raise FileNotFoundError("the input folder (LIVERSEG_INPUT) should hold CT; it is empty")
    return rows


def _log(row: Row | None, number: int, count: int) -> None:
    if row is not None:
        volume = f"{row.volume_ml:.2f} ml" if row.status == "done" else f"{row.code} {row.detail}"
        logger.info("[%d/%d] %s %s %s", number, count, row.case_id, row.status, volume)


def convert(
    inputs: Paths,
    output: str | Path,
    *,
    series: str = "all",
    limits: Limits = ORDINARY_LIMITS,
    sizes: Sizes = ORDINARY_SIZES,
    on_row: OnRow | None = None,
) -> list[Row]:
    """Write every accepted series as output/<case_id>.nii.gz, int16 HU, exact.

    Args, returns and raises as `segment`, without a network.
    """
    folder = _path(output)
    job = Conversion(folder)
    finding = Finding(sizes=sizes)
    return run_batch(
        _paths(inputs), folder, job, series=series, limits=limits, finding=finding, on_row=on_row
    )


def _paths(inputs: Paths) -> list[Path]:
    return [_path(path) for path in ([inputs] if isinstance(inputs, (str, Path)) else inputs)]


def _path(path: str | Path) -> Path:
    """A path as such; Path("") would be the current folder, which nobody has asked for."""
    if not str(path):
        raise ValueError("a path should be given; got an empty text")
    return Path(path)


def run_batch(
    inputs: Sequence[Path],
    output: Path,
    job: Job,
    *,
    series: str = "all",
    limits: Limits = ORDINARY_LIMITS,
    finding: Finding = ORDINARY_FINDING,
    on_row: OnRow | None = None,
) -> list[Row]:
    """Do a job on every scan found; the manifest is valid after each. See `segment`."""
    with interrupted_once(), ExitStack() as kept:
        crew = kept.enter_context(closing(Crew(job, limits)))
        if not output.exists():
            # Nothing is done yet, so there will be work: get ready while scans are looked for.
            crew.launch()
        found = kept.enter_context(found_scans(inputs, finding, limits.memory_bytes))
        asked_of = without_own(found, inputs, output)
        if not asked_of:
            return []
        kept.enter_context(sole_writer(output))
        for folder in (output, *(output / CASES).glob("*/")):
            remove_parts(folder)
        scans = settled(asked_of, job.results())
        chosen = chosen_of(asked_of, scans, series)
        wanted = [scan for scan in scans if scan.accepted and scan.case_id in chosen]
        # Whatever can go wrong for all scans does so here, before anything is written.
        earlier = _earlier(wanted, job)
        waiting = [scan for scan in wanted if scan.case_id not in earlier]
        if waiting:
            crew.start()
        record = Record(output, scans, job, on_row)
        # Also when the batch is interrupted.
        kept.callback(record.conclude)
        record.add_all((scan, row) for scan in scans if (row := _known(scan, chosen, earlier)))
        with closing(crew):
            for scan, outcome in crew.outcomes(waiting):
                record.add(scan, outcome if isinstance(outcome, Row) else _undone(scan, outcome))
        return record.rows


def _earlier(wanted: Sequence[Scan], job: Job) -> dict[str, Row]:
    """The rows of the scans that an earlier run has done, by case id."""
    if not wanted:
        return {}
    job.prepare()
    rows = {scan.case_id: job.finished(scan) for scan in wanted}
    return {case_id: row for case_id, row in rows.items() if row is not None}


def _known(scan: Scan, chosen: Collection[str], earlier: Mapping[str, Row]) -> Row | None:
    """The row of a scan that is not to be done, or not again."""
    if scan.case_id not in chosen:
        return new_row(scan, "skipped", scan.code, NOT_SELECTED)
    if not scan.accepted:
        return _undone(scan, ScanRejected(scan.code, scan.reason))
    return earlier.get(scan.case_id)


def _undone(scan: Scan, refusal: ScanRejected) -> Row:
    """The row of a scan that could not be done."""
    status: Status = "failed" if refusal.code in FAILURES else "rejected"
    return new_row(scan, status, refusal.code, refusal.detail)
