"""The lists in data_lists/: complete, split by patient, and free of what must not be trained on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from liverseg.datalist import load_data_list

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "data_lists"
FOLDS = 5
# Numbers of the cases that the data folder holds (shared/data/README.md).
CASES = (5, 6, 9, 21, 23, 24, 26, 27, 28, 30, 31, 33, 34, 37, 39)
NUMBERS = [f"{case:04d}" for case in CASES]
LISTS = sorted(FOLDER.glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    contents: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return contents


def numbers(items: list[dict[str, str]]) -> list[str]:
    return [Path(item["image"]).name.split("_")[1] for item in items]


def test_there_is_a_fixed_split_and_five_folds() -> None:
    names = [path.name for path in LISTS]
    folds = [f"btcv_fold{fold}.json" for fold in range(FOLDS)]
    assert names == ["btcv.json", "btcv_all.json", *folds]


def test_the_list_of_the_shipped_weights_holds_nothing_out() -> None:
    contents = read(FOLDER / "btcv_all.json")
    assert numbers(contents["training"]) == NUMBERS
    assert contents["validation"] == []


def test_the_folds_partition_the_cases() -> None:
    held_out = [numbers(read(FOLDER / f"btcv_fold{f}.json")["validation"]) for f in range(FOLDS)]
    assert sorted(number for fold in held_out for number in fold) == NUMBERS


@pytest.mark.parametrize("fold", range(FOLDS))
def test_case_i_is_validation_in_fold_i_modulo_five(fold: int) -> None:
    contents = read(FOLDER / f"btcv_fold{fold}.json")
    assert numbers(contents["validation"]) == NUMBERS[fold::FOLDS]


def test_the_fixed_split_is_that_of_fold_0() -> None:
    fixed, fold = read(FOLDER / "btcv.json"), read(FOLDER / "btcv_fold0.json")
    assert fixed["training"] == fold["training"]
    assert fixed["validation"] == fold["validation"]


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_every_case_is_in_exactly_one_section(path: Path) -> None:
    contents = read(path)
    assert sorted(numbers(contents["training"] + contents["validation"])) == NUMBERS
    assert contents["test"] == []


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_a_list_says_what_it_holds(path: Path) -> None:
    contents = read(path)
    assert contents["labels"]["5"] == "liver"
    assert contents["modality"] == {"0": "CT"}
    assert contents["numTraining"] == len(contents["training"])
    assert contents["numValidation"] == len(contents["validation"])
    for item in contents["training"] + contents["validation"]:
        assert item["label"] == item["image"].replace("_ct.", "_label.")


def test_names_are_unique() -> None:
    names = [read(path)["name"] for path in LISTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_the_test_set_is_never_trained_on(path: Path) -> None:
    assert "ircadb" not in path.read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_every_file_that_a_list_names_is_in_the_data_folder(path: Path) -> None:
    data = Path(os.environ.get("LIVERSEG_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "btcv").is_dir():
        pytest.skip(f"no real CT in {data}: set LIVERSEG_DATA to the data folder")
    for section in ("training", "validation"):
        load_data_list(path, data, section)
