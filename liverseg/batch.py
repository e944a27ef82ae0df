"""Many scans: found, chosen, done one apart from the other, and listed in the manifest."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from liverseg.case import CASES, CONVERTED, OUTPUTS, Conversion, Job, Segmentation
from liverseg.failure import FAILURES, refusal_of, where
from liverseg.manifest import Ledger, Row, Status, new_row
from liverseg.pipeline import Pipeline, load_pipeline
from liverseg.scans import Scan, found_scans

__all__ = [
    "OUTPUTS",
    "Pipeline",
    "Row",
    "convert",
    "load_pipeline",
    "segment",
    "segment_folder",
]

logger = logging.getLogger(__name__)

# Called with (None, 0, scans) once the scans are found, then with (row, number, scans) after each.
OnRow = Callable[[Row | None, int, int], None]


def segment(
    inputs: Sequence[Path],
    output: Path,
    *,
    device: str = "auto",
    series: str = "all",
    outputs: Sequence[str] = OUTPUTS,
    resume: bool = True,
    on_row: OnRow | None = None,
) -> list[Row]:
    """Segment the liver in every CT series found and leave masks, reports and a manifest.

    Args:
        inputs: DICOM folders or trees, archives of them, .nii or .nii.gz files or folders of those.
        output: folder for manifest.csv, linkage.csv and cases/<case_id>/; made when missing.
        device: auto, cpu, cuda or cuda:N.
        series: all; best (a study's series with most slices); or a SeriesInstanceUID or case id.
        outputs: nifti for liver.nii.gz, report for preview.png; report.json is always written.
        resume: skip cases that an earlier run finished with the same weights and version.
        on_row: called with (None, 0, scans), then (row, number, scans) after every scan.

    Returns:
        A row a series found, rejected ones too; empty, and nothing written, when nothing is found.

    Raises:
        FileNotFoundError: an input, the bundle or its weights are missing.
        ValueError: no such device, series or output; or weights that do not match their SHA-256.
        OSError: the output folder cannot be written.
    """
    job = Segmentation(output, lambda: load_pipeline(device), tuple(outputs), resume)
    return run_batch(inputs, output, job, series=series, on_row=on_row)


def segment_folder(input_dir: Path, output_dir: Path, pipeline: Pipeline) -> list[Row]:
    """As `segment`, with parts that are already built: the bundle's run of inference.yaml."""
    job = Segmentation(Path(output_dir), lambda: pipeline, OUTPUTS, resume=True)
    return run_batch([Path(input_dir)], Path(output_dir), job)


def convert(
    inputs: Sequence[Path], output: Path, *, series: str = "all", on_row: OnRow | None = None
) -> list[Row]:
    """Write every accepted series as output/<case_id>.nii.gz, int16 HU, exact.

    Args, returns and raises as `segment`, without a network.
    """
    return run_batch(inputs, output, Conversion(output), series=series, on_row=on_row)


def run_batch(
    inputs: Sequence[Path],
    output: Path,
    job: Job,
    *,
    series: str = "all",
    on_row: OnRow | None = None,
) -> list[Row]:
    """Do a job on every scan found; the manifest is valid after each. See `segment`."""
    report = on_row or (lambda row, number, count: None)
    rows: list[Row] = []
    with found_scans(inputs) as found:
        scans = _without_own(found, inputs, output)
        if not scans:
            return rows
        chosen = selected(scans, series)
        if any(scan.accepted and scan.case_id in chosen for scan in scans):
            job.begin()
        ledger = _opened(output)
        report(None, 0, len(scans))
        for number, scan in enumerate(scans, 1):
            if scan.case_id in chosen:
                row = _row_of(scan, job)
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
        ValueError: no scan has that identifier.
    """
    if series == "all":
        return {scan.case_id for scan in scans}
    if series != "best":
        chosen = {scan.case_id for scan in scans if series in (scan.series_uid, scan.case_id)}
        if not chosen:
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


def _preference(scan: Scan) -> tuple[int, float]:
    return scan.slices, -scan.spacing_mm[2]


def _row_of(scan: Scan, job: Job) -> Row:
    """Do one scan; whatever happens to it ends here, and only a finished one leaves files."""
    if not scan.accepted:
        job.discard(scan.case_id)
        return new_row(scan, "rejected", scan.code, scan.reason)
    finished = False
    try:
        row = job.process(scan)
        finished = True
    except Exception as error:  # noqa: BLE001  one scan must not end the batch
        refusal = refusal_of(error)
        logger.debug("case %s: %s", scan.case_id, where(error))
        status: Status = "failed" if refusal.code in FAILURES else "rejected"
        row = new_row(scan, status, refusal.code, refusal.detail)
    finally:
        # Also when the batch is interrupted in the middle of this scan.
        if not finished:
            job.discard(scan.case_id)
    return row


def _opened(output: Path) -> Ledger:
    """The output folder's tables, written at once: a folder that cannot be written shows now."""
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "the output should be a folder; it is a file")
    output.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(output)
    ledger.write()
    return ledger


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
