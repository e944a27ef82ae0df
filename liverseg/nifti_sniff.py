"""Tell NIfTI files by their first bytes or their names."""

from __future__ import annotations

from pathlib import Path

MAGICS = {348: (344, b"n+1\0"), 540: (4, b"n+2\0\r\n\x1a\n")}  # of a single file


def looks_like_nifti(path: Path, head: bytes) -> bool:
    """Whether a file is a single-file NIfTI by its content, or at least by its name.

    Args:
        path: a name ending in .nii or .nii.gz is enough: a bad NIfTI is refused as one.
        head: the first 512 bytes, decompressed when it is gzip.
    """
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return True
    return header_size(head) is not None


def header_size(head: bytes) -> int | None:
    """348 for NIfTI-1, 540 for NIfTI-2, None for anything else."""
    for size, (offset, magic) in MAGICS.items():
        if head[offset : offset + len(magic)] == magic:
            return size
    return None
