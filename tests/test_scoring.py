"""The bundle's scores: one row a case, whatever their files are called."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from conftest import AFFINE
from ignite.engine import Engine
from monai.data import MetaTensor

from liverseg.scoring import ScoreCases


def rod(length: int, name: str = "") -> MetaTensor:
    """Voxels in a row along x, 2 mm apart."""
    mask = torch.zeros(1, 9, 8, 7, dtype=torch.uint8)
    mask[0, 1 : 1 + length, 3, 2] = 1
    return MetaTensor(mask, affine=torch.from_numpy(AFFINE), meta={"filename_or_obj": name})


def test_cases_of_one_file_name_keep_a_row_each_and_the_engine_gets_the_mean(
    tmp_path: Path,
) -> None:
    lengths = [(5, 3), (4, 4)]
    engine = Engine(
        lambda _, index: [
            {
                "image": rod(0, f"patient{index}/ct.nii.gz"),
                "pred": rod(lengths[index][0]),
                "label": rod(lengths[index][1]),
            }
        ]
    )
    ScoreCases(tmp_path / "eval").attach(engine)
    engine.run([0, 1])
    with (tmp_path / "eval" / "scores.csv").open() as file:
        rows = {row["case"]: row["asd_mm"] for row in csv.DictReader(file)}
    assert rows == {"ct": "0.7500", "ct (2)": "0.0000", "mean": "0.3750"}
    assert engine.state.metrics["asd_mm"] == pytest.approx(0.375)
    assert engine.state.metrics["dice"] == pytest.approx(0.875)
