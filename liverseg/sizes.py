"""How large a delivery may be before it is refused; every limit is an option."""

from __future__ import annotations

from dataclasses import dataclass, fields

GIB = 1 << 30


@dataclass(frozen=True)
class Sizes:
    """What is refused as TOO_LARGE, from the header and before anything is allocated.

    Attributes:
        voxels: of one volume.
        slices: of one series, files or frames.
        file_bytes: of one DICOM or NIfTI file.
        ratio: bytes that a gzip, deflated or archived file becomes, to its own; for archives and
            deflated files it applies above 64 MiB only, since a small file of air is harmless.
        archive_bytes: that come out of one archive, with those in it; UNSAFE_ARCHIVE beyond.
        members: files and folders of one archive; UNSAFE_ARCHIVE beyond.
        kept_bytes: of unpacked archives on the disk at one time, once each has been looked at.
            What is not kept is unpacked once more when it is read, one scan at a time.

    Raises:
        ValueError: a limit below 1.
    """

    voxels: int = 1 << 31
    slices: int = 20_000
    file_bytes: int = 4 * GIB
    ratio: float = 200.0
    archive_bytes: int = 64 * GIB
    members: int = 200_000
    kept_bytes: int = 16 * GIB

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 1:
                raise ValueError(f"{field.name} should be 1 or more; got {value}")


ORDINARY_SIZES = Sizes()
