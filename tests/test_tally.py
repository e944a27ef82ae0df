"""Mean, median and spread inside a mask, against numpy's own."""

from __future__ import annotations

import numpy as np
import pytest

from liverseg.report.tally import Tally


@pytest.mark.parametrize("voxels", [1, 2, 7, 1000])
def test_a_tally_gives_what_numpy_gives_of_the_values(voxels: int) -> None:
    chance = np.random.default_rng(voxels)
    image = chance.integers(-1024, 3000, (voxels, 2, 3)).astype(np.int16)
    mask = np.zeros(image.shape, np.uint8)
    mask[:, 1, 2] = 1
    inside = image[:, 1, 2].astype(np.float64)
    tally = Tally.of(image, mask)
    assert tally.voxels == voxels
    assert tally.mean_hu == pytest.approx(inside.mean(), abs=1e-9)
    assert tally.std_hu == pytest.approx(inside.std(), abs=1e-9)
    assert tally.median_hu == np.median(inside)


def test_the_ends_of_int16_are_counted() -> None:
    image = np.array([-32768, 32767], np.int16).reshape(2, 1, 1)
    tally = Tally.of(image, np.ones((2, 1, 1), np.uint8))
    assert (tally.mean_hu, tally.median_hu, tally.std_hu) == (-0.5, -0.5, 32767.5)
