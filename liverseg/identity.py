"""Whether a result is that of a scan: by what the scan holds, not only by what names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from liverseg.fingerprint import DIGITS, fingerprint
from liverseg.layout import CASES, REPORT_FILE
from liverseg.scan import Scan


def settled(scans: Sequence[Scan], results: Mapping[str, str]) -> list[Scan]:
    """The scans, each with its fingerprint and a case id that no result of another scan has.

    A series UID does not name a scan: two patients can share one, and a series can be sent again
    with more slices or another spacing. A scan with a result keeps that result's id; any other
    whose id is taken gets one that is made of its content, the same in every run.

    Args:
        scans: of `found_scans`, within its context.
        results: case id to fingerprint of every result in the output folder; "" where unknown.

    Returns:
        As many scans, in the same order.
    """
    printed = [replace(scan, fingerprint=scan.fingerprint or fingerprint(scan)) for scan in scans]
    ids = {print_: case_id for case_id, print_ in results.items() if print_}
    mine = [ids.pop(scan.fingerprint, None) for scan in printed]
    taken = {*results}
    named = []
    for scan, own in zip(printed, mine, strict=True):
        case_id, turn = own or scan.case_id, 0
        while own is None and case_id in taken:
            case_id = _digest(f"{scan.case_id}#{scan.fingerprint}#{turn}")
            turn += 1
        taken.add(case_id)
        named.append(replace(scan, case_id=case_id))
    return named


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:DIGITS]


def reported(output: Path) -> dict[str, str]:
    """Case id to fingerprint of every case of an output folder with a report; "" without one."""
    found = {}
    for path in sorted((output / CASES).glob(f"*/{REPORT_FILE}")):
        # One that is no report of ours names no scan that it could be a result of.
        with suppress(ValueError, KeyError, TypeError):
            report = json.loads(path.read_text(encoding="utf-8"))
            found[path.parent.name] = str(report["input"].get("fingerprint", ""))
    return found
