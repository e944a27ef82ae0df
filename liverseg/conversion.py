"""One scan converted to a NIfTI file: the job of `liverseg convert`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from liverseg.identity import reported
from liverseg.job import Stopwatch
from liverseg.layout import CONVERTED
from liverseg.manifest import Row, new_row
from liverseg.outputs import PART, fingerprint_of, write_nifti
from liverseg.report.flags import flags_of
from liverseg.scans import Scan, read_scan


@dataclass(frozen=True)
class Conversion:
    """The job of `liverseg convert`: output/<case_id>.nii.gz, int16 HU, exact."""

    output: Path

    def results(self) -> dict[str, str]:
        """Case id to fingerprint of every converted file, and of every case beside them."""
        files = [path for path in self.output.glob("*.nii.gz") if CONVERTED.fullmatch(path.name)]
        made = {path.name.partition(".")[0]: fingerprint_of(path) for path in sorted(files)}
        # A row of the manifest is of one scan, whatever was done with it.
        return made | reported(self.output)

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
                fingerprint=scan.fingerprint,
            )
        codes = dict.fromkeys(flag.code for flag in flags_of((*scan.notes, *volume.notes)))
        row = new_row(scan, "done")
        return replace(row, flags=tuple(codes), seconds=watch.seconds["all"])

    def conclude(self, rows: Sequence[Mapping[str, str]], left: int) -> None:
        """Nothing beside the manifest."""

    def discard(self, case_id: str) -> None:
        """Remove the file of a case."""
        (self.output / f"{case_id}.nii.gz").unlink(missing_ok=True)
        for leftover in self.output.glob(f".{case_id}.nii.gz.*{PART}"):
            leftover.unlink(missing_ok=True)
