"""Many scans: found, chosen, done one apart from the other, and listed in the manifest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from liverseg.case import Segmentation
from liverseg.conversion import Conversion
from liverseg.errors import ScanRejected
from liverseg.failure import FAILURES
from liverseg.identity import settled
from liverseg.isolation import Isolated
from liverseg.job import Job
from liverseg.layout import CASES, CONVERTED, DEFAULT_OUTPUTS
from liverseg.limits import TIMEOUT_S, Limits
from liverseg.lock import sole_writer
from liverseg.manifest import Ledger, Row, Status, new_row
from liverseg.outputs import remove_parts
from liverseg.pipeline import BuiltPipeline, BundlePipeline, Pipeline
from liverseg.scans import ORDINARY_FINDING, Finding, Scan, found_scans
from liverseg.sizes import ORDINARY_SIZES, Sizes

__all__ = [
    "DEFAULT_OUTPUTS",
    "Limits",
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
# Called with (None, 0, scans) once the scans are found, then with (row, number, scans) after each.
OnRow = Callable[[Row | None, int, int], None]


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
    timeout_s: float = TIMEOUT_S,
    memory_limit_bytes: int | None = None,
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
        timeout_s: for one scan; it fails with TIMEOUT when it takes longer.
        memory_limit_bytes: for the process that does the scans, 75 % of the machine's memory by
            default; a scan that makes it larger fails with OUT_OF_MEMORY.
        sizes: what is too large to be read.
        on_row: called with (None, 0, scans), then (row, number, scans) after every scan.

    Returns:
        A row a series found, rejected ones too; empty, and nothing written, when nothing is found.

    Raises:
        FileNotFoundError: an input, the bundle or its weights are missing.
        ValueError: no such device, series or output; an empty path; a limit that is none; or
            weights that do not match their SHA-256.
        BlockingIOError: another run is writing to the output folder.
        ScanRejected: the process that does the scans cannot start, within the memory limit too.
        OSError: the output folder cannot be written.
    """
    limits = Limits(timeout_s, memory_limit_bytes)
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
    timeout_s: float = TIMEOUT_S,
    memory_limit_bytes: int | None = None,
    sizes: Sizes = ORDINARY_SIZES,
    on_row: OnRow | None = None,
) -> list[Row]:
    """Write every accepted series as output/<case_id>.nii.gz, int16 HU, exact.

    Args, returns and raises as `segment`, without a network.
    """
    limits = Limits(timeout_s, memory_limit_bytes)
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
    report = on_row or (lambda row, number, count: None)
    rows: list[Row] = []
    with ExitStack() as kept:
        found = kept.enter_context(found_scans(inputs, finding, limits.memory_bytes))
        asked_of = _without_own(found, inputs, output)
        if not asked_of:
            return rows
        kept.enter_context(sole_writer(output))
        for folder in (output, *(output / CASES).glob("*/")):
            remove_parts(folder)
        scans = settled(asked_of, job.results())
        chosen = _chosen(asked_of, scans, series)
        isolated = kept.enter_context(Isolated(job, limits))
        wanted = [scan for scan in scans if scan.accepted and scan.case_id in chosen]
        # Whatever can go wrong for all scans does so here, before anything is written.
        earlier = _earlier(wanted, job)
        if len(earlier) < len(wanted):
            isolated.start()
        ledger = Ledger(output)
        ledger.write()
        # Also when the batch is interrupted.
        kept.callback(lambda: job.conclude(ledger.rows))
        report(None, 0, len(scans))
        for number, scan in enumerate(scans, 1):
            if scan.case_id in chosen:
                row = earlier.get(scan.case_id) or _row_of(scan, job, isolated)
                ledger.add(row, scan)
            else:
                row = new_row(scan, "skipped", scan.code, "not selected by the choice of series")
                if scan.case_id not in ledger:
                    ledger.add(row, scan)
            rows.append(row)
            report(row, number, len(scans))
    return rows


def selected(scans: Sequence[Scan], series: str) -> set[str]:
    """Case ids of the scans that are to be processed.

    Args:
        scans: all that were found.
        series: "all"; "best": of each study's accepted series the one with most slices, the
            thinner ones where equal, rejected ones stay listed; or a SeriesInstanceUID or case id.

    Raises:
        ValueError: no scan has that identifier, or it is empty, as that of a scan without one.
    """
    if series == "all":
        return {scan.case_id for scan in scans}
    if series != "best":
        chosen = {scan.case_id for scan in scans if series in (scan.series_uid, scan.case_id)}
        if not chosen or not series:
            raise ValueError(
                "series should be all, best, or the SeriesInstanceUID or case id of one of the "
                f"{len(scans)} series found; none has the one given"
            )
        return chosen
    best: dict[str, Scan] = {}
    for scan in scans:
        if not scan.accepted:
            continue
        # NIfTI files and series without identifiers belong to no study: each is its own best.
        study = scan.study_uid or scan.case_id
        if study not in best or _preference(scan) > _preference(best[study]):
            best[study] = scan
    rejected = {scan.case_id for scan in scans if not scan.accepted}
    return rejected | {scan.case_id for scan in best.values()}


def _chosen(asked_of: Sequence[Scan], scans: Sequence[Scan], series: str) -> set[str]:
    """Case ids of the selected scans, which `inspect` and the manifest may know by two."""
    if series in {scan.case_id for scan in scans} - {scan.case_id for scan in asked_of}:
        return {series}
    chosen = selected(asked_of, series)
    pairs = zip(asked_of, scans, strict=True)
    return {scan.case_id for before, scan in pairs if before.case_id in chosen}


def _preference(scan: Scan) -> tuple[int, float]:
    return scan.slices, -scan.spacing_mm[2]


def _earlier(wanted: Sequence[Scan], job: Job) -> dict[str, Row]:
    """The rows of the scans that an earlier run has done, by case id."""
    if not wanted:
        return {}
    job.prepare()
    rows = {scan.case_id: job.finished(scan) for scan in wanted}
    return {case_id: row for case_id, row in rows.items() if row is not None}


def _row_of(scan: Scan, job: Job, isolated: Isolated) -> Row:
    """Do one scan; whatever happens to it ends here, and only a finished one leaves files."""
    if not scan.accepted:
        job.discard(scan.case_id)
        return new_row(scan, "rejected", scan.code, scan.reason)
    # Not the scan's fault if this fails, so the batch ends with it.
    isolated.start()
    finished = False
    try:
        row = isolated.process(scan)
        finished = True
    except ScanRejected as refusal:
        status: Status = "failed" if refusal.code in FAILURES else "rejected"
        row = new_row(scan, status, refusal.code, refusal.detail)
    finally:
        # Also when the batch is interrupted in the middle of this scan.
        if not finished:
            job.discard(scan.case_id)
    return row


def _without_own(found: Sequence[Scan], inputs: Sequence[Path], output: Path) -> list[Scan]:
    """Leave out what earlier runs have written, where the output folder is among the inputs."""
    own = output.resolve()
    if any(Path(path).resolve().is_relative_to(own) for path in inputs):
        # Asked for by name; only what is certainly ours is left out.
        return [scan for scan in found if not _certainly_own(scan.source.resolve(), own)]
    return [scan for scan in found if not scan.source.resolve().is_relative_to(own)]


def _certainly_own(source: Path, own: Path) -> bool:
    converted = source.parent == own and CONVERTED.fullmatch(source.name) is not None
    return converted or source.is_relative_to(own / CASES)
