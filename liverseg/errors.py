"""The one exception tree of this package, and the codes a scan can be refused with.

::

    Exception
    └── ScanRejected        a scan (or a file that is no scan) that is refused, with a code of CODES

Wrong arguments raise ValueError and missing files FileNotFoundError, as everywhere in Python.
"""

from __future__ import annotations

CODES: dict[str, str] = {
    "NOT_CT": "not a CT image",
    "LOCALIZER": "only localizer (scout) slices",
    "DUPLICATE_CONFLICT": "the same image identifier with different pixels",
    "AMBIGUOUS_POSITIONS": "several slices at one position and no tag that separates them",
    "MISSING_SLICES": "slices are missing",
    "IRREGULAR_SPACING": "the slices are not evenly spaced",
    "UNSUPPORTED_MULTIFRAME": "an enhanced multi-frame image that cannot be read exactly",
    "UNSUPPORTED_TRANSFER_SYNTAX": "a compression that no installed decoder reads",
    "NO_POSITION": "no position or orientation of the slices",
    "NO_RESCALE": "no rescale to Hounsfield units",
    "HU_IMPLAUSIBLE": "the values are not Hounsfield units",
    "MIXED_MATRIX": "slices of different matrix size or pixel spacing",
    "TOO_FEW_SLICES": "too few slices for a volume",
    "TRUNCATED": "a file ends before its data does",
    "CORRUPT": "a file that cannot be decoded",
    "NO_UIDS": "the source has no identifiers to refer to",
    "UNSAFE_ARCHIVE": "an archive that is not safe to unpack",
    "TOO_LARGE": "larger than the limits allow",
    "BAD_NIFTI": "a NIfTI file without a usable CT volume",
    "CRASHED": "the process that read the scan crashed",
    "OUT_OF_MEMORY": "the scan needs more memory than allowed",
    "TIMEOUT": "the scan took longer than allowed",
    "PROJECTION": "a projection, not a volume",
    "NOT_WRITABLE": "the output folder cannot be written or is full, or the temporary folder is",
    "FAILED": "an unexpected error in this program",
    "UNREADABLE": "a file that the operating system does not let us read",
}


class ScanRejected(Exception):
    """A scan that is refused: never read wrongly, never half read.

    Args:
        code: a key of CODES.
        detail: one sentence: what was wanted, what was got, where. It goes into the manifest, so
            it never holds a path, a name or an identifier of a patient, a study or a series.
    """

    def __init__(self, code: str, detail: str) -> None:
        if code not in CODES:
            raise ValueError(f"code should be one of {', '.join(CODES)}; got {code!r}")
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
