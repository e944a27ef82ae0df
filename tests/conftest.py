"""Phantoms that every test can use, and where the real data is."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from liverseg.dicom.write import write_ct_series

DATA_VARIABLE = "LIVERSEG_DATA"
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

SPACING_MM = (2.0, 1.5, 3.0)
# RAS mm; the first axis points to the patient's left and the third to the feet.
AFFINE = np.array(
    [[-2.0, 0, 0, 95.0], [0, 1.5, 0, -83.25], [0, 0, -3.0, 34.5], [0, 0, 0, 1]], dtype=np.float64
)
SHAPE = (96, 112, 24)
AIR_HU, BODY_HU, LUNG_HU, BONE_HU, LIVER_HU = -1000, 40, -800, 700, 110
# Centre and half axes in RAS mm; the liver lies on the patient's right, below the lungs.
BODY = ((0, 0, 0), (85, 70, 1000))
LUNG = ((-40, 0, 40), (28, 40, 22))
SPINE = ((0, -45, 0), (12, 12, 1000))
LIVER = ((35, 5, 0), (32, 40, 24))


def phantom() -> tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.uint8]]:
    """An abdomen of ellipsoids: image (X, Y, Z) HU, affine to RAS mm, liver label."""
    index = np.indices(SHAPE).reshape(3, -1)
    world = (AFFINE[:3, :3] @ index + AFFINE[:3, 3:]).reshape(3, *SHAPE)

    def inside(ellipsoid: tuple[tuple[float, ...], tuple[float, ...]]) -> NDArray[np.bool_]:
        centre, half_axes = (np.reshape(values, (3, 1, 1, 1)) for values in ellipsoid)
        return (((world - centre) / half_axes) ** 2).sum(axis=0) <= 1

    image = np.full(SHAPE, AIR_HU, dtype=np.int16)
    for ellipsoid, hu in ((BODY, BODY_HU), (LUNG, LUNG_HU), (SPINE, BONE_HU), (LIVER, LIVER_HU)):
        image[inside(ellipsoid)] = hu
    return image, AFFINE.copy(), inside(LIVER).astype(np.uint8)


def small_ct() -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """A CT of 40 x 32 x 12 voxels that all differ from their neighbours, with air in it."""
    values = np.random.default_rng(3).integers(-1024, 3072, size=(40, 32, 12))
    return values.astype(np.int16), AFFINE.copy()


def edit_slices(folder: Path, change: Callable[[FileDataset, int], None]) -> None:
    """Read every DICOM file of a folder, change it, and write it back."""
    for index, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        change(dataset, index)
        dataset.save_as(path)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """What the command sets up with --verbose ends with the test."""
    logger = logging.getLogger("liverseg")
    handlers, level = list(logger.handlers), logger.level
    yield
    logger.handlers, logger.level = handlers, level


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Have Ctrl-C interrupt: a shell that starts the tests with & makes them ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Translated networks are kept for the tests and end with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def phantom_nifti(tmp_path: Path) -> Path:
    """The phantom as a NIfTI file."""
    image, affine, _ = phantom()
    path = tmp_path / "phantom.nii.gz"
    nib.save(nib.Nifti1Image(image, affine), path)
    return path


@pytest.fixture
def phantom_dicom(tmp_path: Path) -> Path:
    """The phantom as a folder of DICOM slices."""
    image, affine, _ = phantom()
    folder = tmp_path / "phantom_dicom"
    write_ct_series(image, affine, folder)
    return folder


@pytest.fixture
def small_dicom(tmp_path: Path) -> Path:
    """`small_ct` as a folder of DICOM slices."""
    image, affine = small_ct()
    folder = tmp_path / "small_dicom"
    write_ct_series(image, affine, folder)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real CT, where there is one."""
    folder = Path(os.environ.get(DATA_VARIABLE, DEFAULT_DATA))
    if not folder.is_dir():
        pytest.skip(f"real CT is absent: set {DATA_VARIABLE} to its folder")
    return folder
