"""The catalogue of deliveries: each scan is read exactly or refused with its code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from catalogue import CATALOGUE, Truth

from liverseg.errors import ScanRejected
from liverseg.scans import Volume, found_scans, read_scan


def outcomes(root: Path) -> list[Volume | str]:
    """What becomes of every scan below a folder: what was read, or its code."""
    found: list[Volume | str] = []
    with found_scans([root]) as scans:
        for scan in scans:
            try:
                found.append(read_scan(scan))
            except ScanRejected as error:
                found.append(error.code)
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of the bad files we write
@pytest.mark.parametrize("name", CATALOGUE)
def test_a_delivery_is_read_exactly_or_refused(name: str, tmp_path: Path) -> None:
    case = CATALOGUE[name]
    case.write(tmp_path / "delivery")
    found = outcomes(tmp_path / "delivery")
    codes = sorted(entry for entry in found if isinstance(entry, str))
    assert codes == sorted(entry for entry in case.outcome if isinstance(entry, str))
    wanted = [entry for entry in case.outcome if isinstance(entry, Truth)]
    volumes = [entry for entry in found if isinstance(entry, Volume)]
    assert len(volumes) == len(wanted)
    for truth in wanted:
        near = min(volumes, key=lambda volume: np.abs(volume.affine - truth.affine).max())
        np.testing.assert_allclose(near.affine, truth.affine, atol=1e-4)
        np.testing.assert_array_equal(near.image, truth.image)
