"""Which of the scans that were found are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from liverseg.layout import CASE_FILES, CASES, CONVERTED, MANIFEST_FILE
from liverseg.scans import Scan


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


def chosen_of(asked_of: Sequence[Scan], scans: Sequence[Scan], series: str) -> set[str]:
    """Case ids of the selected scans, which `inspect` and the manifest may know by two."""
    if series in {scan.case_id for scan in scans} - {scan.case_id for scan in asked_of}:
        return {series}
    chosen = selected(asked_of, series)
    pairs = zip(asked_of, scans, strict=True)
    return {scan.case_id for before, scan in pairs if before.case_id in chosen}


def _preference(scan: Scan) -> tuple[int, float]:
    return scan.slices, -scan.spacing_mm[2]


def without_own(found: Sequence[Scan], inputs: Sequence[Path], output: Path) -> list[Scan]:
    """Leave out what earlier runs have written, here or into another folder below the inputs."""
    own = output.resolve()
    roots = [Path(path).resolve() for path in inputs]
    found = [scan for scan in found if not _result_of_another(scan.source.resolve(), roots)]
    if any(root.is_relative_to(own) for root in roots):
        # Asked for by name; only what is certainly ours is left out.
        return [scan for scan in found if not _certainly_own(scan.source.resolve(), own)]
    return [scan for scan in found if not scan.source.resolve().is_relative_to(own)]


def _certainly_own(source: Path, own: Path) -> bool:
    converted = source.parent == own and CONVERTED.fullmatch(source.name) is not None
    return converted or source.is_relative_to(own / CASES)


def _result_of_another(source: Path, roots: Sequence[Path]) -> bool:
    """Whether something lies in a case's folder of a batch, and nobody has asked for it by name."""
    case = source.parent if source.name in CASE_FILES else source
    results = case.parent.parent
    is_case = case.parent.name == CASES and (results / MANIFEST_FILE).is_file()
    return is_case and not any(root.is_relative_to(results) for root in roots)
