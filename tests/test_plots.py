"""The plots of an evaluation: what they show, in numbers, and that they are drawn."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import AFFINE
from numpy.typing import NDArray

from liverseg import cli
from liverseg.evaluate import evaluate
from liverseg.plots import agreement, draw_plots, volume_pairs, worst_cases

VOXEL_ML = 0.009


def rod(length: int) -> NDArray[np.uint8]:
    mask = np.zeros((9, 8, 7), dtype=np.uint8)
    mask[1 : 1 + length, 3, 2] = 1
    return mask


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Four cases with Dice 1, 0.75, 0 (nothing found) and NaN (neither)."""
    lengths = {"right": (3, 3), "large": (5, 3), "none": (0, 4), "neither": (0, 0)}
    for name, (pred, ref) in lengths.items():
        for folder, length in (("p", pred), ("r", ref)):
            (tmp_path / folder).mkdir(exist_ok=True)
            path = tmp_path / folder / f"{name}.nii"
            nib.save(nib.Nifti1Image(rod(length), AFFINE), path)
    return tmp_path / "p", tmp_path / "r"


def test_volumes_are_the_mean_and_the_difference_of_both(folders: tuple[Path, Path]) -> None:
    found = evaluate(*folders)
    assert [case.name for case in found.cases] == ["large", "neither", "none", "right"]
    means, differences = volume_pairs(found.cases)
    assert means / VOXEL_ML == pytest.approx([4, 0, 2, 3])
    assert differences / VOXEL_ML == pytest.approx([2, 0, -4, 0])


def test_limits_of_agreement_are_those_of_bland_and_altman() -> None:
    bias, low, high = agreement(np.array([1.0, 3.0]))  # standard deviation of the sample: sqrt 2
    assert (bias, high - bias) == pytest.approx((2.0, 1.96 * math.sqrt(2)))
    assert low == pytest.approx(2.0 - 1.96 * math.sqrt(2))
    assert agreement(np.array([5.0]))[0] == 5.0
    assert math.isnan(agreement(np.array([5.0]))[1])


def test_worst_cases_come_first_and_undefined_ones_last(folders: tuple[Path, Path]) -> None:
    assert worst_cases(evaluate(*folders)) == ["none", "large", "right"]


def test_command_draws_every_plot_of_two_systems(folders: tuple[Path, Path]) -> None:
    pred, ref = map(str, folders)
    out = folders[0].parent / "plots"
    arguments = ["evaluate", "--prediction", pred, "--reference", ref, "--versus", ref, "-q"]
    assert cli.main([*arguments, "--plots", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["boxes.png", "volumes.png", "worst.png"]
    for path in out.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_one_case_alone_is_drawn(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = evaluate(folders[0] / "large.nii", folders[1] / "large.nii")
    assert len(draw_plots(tmp_path / "out", {"prediction": found})) == 3


def test_nothing_scored_draws_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(rod(3)[:-1], AFFINE), tmp_path / "other.nii")
    found = evaluate(folders[0] / "large.nii", tmp_path / "other.nii")
    assert draw_plots(tmp_path / "out", {"prediction": found}) == []
    assert not (tmp_path / "out").exists()


def test_files_are_written_when_the_reader_of_the_tables_goes_away(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    pred, ref = map(str, folders)
    wanted = ["-o", str(tmp_path / "scores.csv"), "--plots", str(tmp_path / "plots")]
    command = [sys.executable, "-m", "liverseg.cli", "evaluate", "-q", "--prediction", pred]
    reading, writing = os.pipe()
    os.close(reading)  # as `| head` leaves it, but before the first line
    done = subprocess.run([*command, "--reference", ref, *wanted], stdout=writing, check=False)
    os.close(writing)
    assert done.returncode == 0
    assert (tmp_path / "scores.csv").is_file()
    assert len(list((tmp_path / "plots").iterdir())) == 3
