"""Data lists: what they name is found exactly, and what is wrong with them is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from liverseg.datalist import load_data_list


def case(name: str) -> dict[str, str]:
    return {"image": f"{name}_ct.nii.gz", "label": f"{name}_label.nii.gz"}


def write_list(path: Path, contents: object) -> Path:
    path.write_text(json.dumps(contents), encoding="utf-8")
    return path


def make_files(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for file in case(name).values():
            (folder / file).touch()


def test_paths_start_from_the_base_folder(tmp_path: Path) -> None:
    make_files(tmp_path / "data", "a", "b")
    contents = {"training": [case("a")], "validation": [case("b")]}
    data_list = write_list(tmp_path / "list.json", contents)
    assert load_data_list(data_list, tmp_path / "data", "validation") == [
        {
            "image": str(tmp_path / "data" / "b_ct.nii.gz"),
            "label": str(tmp_path / "data" / "b_label.nii.gz"),
        }
    ]


def test_without_a_base_folder_paths_start_from_the_list(tmp_path: Path) -> None:
    make_files(tmp_path, "a", "b")
    contents = {
        "training": [{k: f"./{v}" for k, v in case("a").items()}],
        "validation": [case("b")],
    }
    cases = load_data_list(write_list(tmp_path / "l.json", contents), None, "training")
    assert cases == [{key: str(tmp_path / file) for key, file in case("a").items()}]


def test_absolute_paths_stay_as_they_are(tmp_path: Path) -> None:
    make_files(tmp_path / "elsewhere", "a")
    item = {key: str(tmp_path / "elsewhere" / file) for key, file in case("a").items()}
    data_list = write_list(tmp_path / "l.json", {"training": [item], "validation": [case("b")]})
    (tmp_path / "data").mkdir()
    assert load_data_list(data_list, tmp_path / "data", "training") == [item]


def test_weights_that_a_case_names_are_a_path_too(tmp_path: Path) -> None:
    make_files(tmp_path, "a", "b")
    contents = {"training": [{**case("a"), "coarse": "fold1.pt"}], "validation": [case("b")]}
    data_list = write_list(tmp_path / "list.json", contents)
    with pytest.raises(FileNotFoundError, match=r"names 3 files, 1 .* the first is .*fold1\.pt$"):
        load_data_list(data_list, None, "training")
    (tmp_path / "fold1.pt").touch()
    (found,) = load_data_list(data_list, None, "training")
    assert found["coarse"] == str(tmp_path / "fold1.pt")


@pytest.mark.parametrize(
    "name", ["$HOME", "@network", "%train", "a#1::b", "two words", "Leber_groß_肝", "a,b", "~x"]
)
def test_no_character_of_a_path_has_a_meaning(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    make_files(folder, name)
    data_list = write_list(folder / f"{name}.json", {"test": [case(name)]})
    assert load_data_list(data_list, folder, "test") == [
        {key: str(folder / file) for key, file in case(name).items()}
    ]


def test_every_fifth_training_case_is_validation_where_the_list_has_none(tmp_path: Path) -> None:
    names = [f"case{number}" for number in range(7)]
    make_files(tmp_path, *names)
    data_list = write_list(tmp_path / "l.json", {"training": [case(name) for name in names]})
    held_out = [item["image"] for item in load_data_list(data_list, None, "validation")]
    trained_on = [item["image"] for item in load_data_list(data_list, None, "training")]
    assert held_out == [str(tmp_path / f"case{number}_ct.nii.gz") for number in (0, 5)]
    assert trained_on == [str(tmp_path / f"case{number}_ct.nii.gz") for number in (1, 2, 3, 4, 6)]


def test_an_empty_validation_section_holds_nothing_out(tmp_path: Path) -> None:
    make_files(tmp_path, "a", "b")
    contents = {"training": [case("a"), case("b")], "validation": []}
    data_list = write_list(tmp_path / "l.json", contents)
    assert len(load_data_list(data_list, None, "training")) == 2
    assert load_data_list(data_list, None, "validation") == []


def test_a_test_case_may_be_a_plain_path(tmp_path: Path) -> None:
    make_files(tmp_path, "a")
    data_list = write_list(tmp_path / "l.json", {"test": ["a_ct.nii.gz"]})
    assert load_data_list(data_list, None, "test") == [{"image": str(tmp_path / "a_ct.nii.gz")}]


def test_an_empty_test_section_is_no_error(tmp_path: Path) -> None:
    assert load_data_list(write_list(tmp_path / "l.json", {"test": []}), None, "test") == []


def test_missing_files_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    make_files(tmp_path, "a")
    contents = {"training": [case("a"), case("b")], "validation": [case("c")]}
    data_list = write_list(tmp_path / "l.json", contents)
    with pytest.raises(FileNotFoundError, match=r"names 4 files, 2 of .* is .*b_ct\.nii\.gz$"):
        load_data_list(data_list, None, "training")


def test_only_the_section_asked_for_has_to_be_there(tmp_path: Path) -> None:
    make_files(tmp_path, "a")
    contents = {"training": [case("a")], "validation": [case("gone")]}
    assert len(load_data_list(write_list(tmp_path / "l.json", contents), None, "training")) == 1


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is none at .*nothing\.json$"):
        load_data_list(tmp_path / "nothing.json", None, "training")


def test_a_missing_base_folder_is_named(tmp_path: Path) -> None:
    data_list = write_list(tmp_path / "l.json", {"test": ["a.nii.gz"]})
    with pytest.raises(FileNotFoundError, match=r"should be a folder; .*gone is none$"):
        load_data_list(data_list, tmp_path / "gone", "test")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b'{"training": [}', r"should be JSON; line 1 column 15"),
        (b"\xff\xfe\x00", r"JSON in UTF-8; byte 0"),
        (b"[]", r"a JSON object; got list"),
        (b'{"test": []}', r"a list called 'training'; it has test$"),
        (b"{}", r"a list called 'training'; it has none$"),
        (b'{"training": {"0": "a"}}', r"a list called 'training'; it has none$"),
        (b'{"training": [], "validation": ["a"]}', r"at least 1 cases in 'training'; got 0$"),
        (b'{"training": ["a"]}', r"at least 2 cases in 'training', or a validation .* got 1$"),
        (b'{"training": ["a", "b"]}', r"training\[1\] should name a file as 'label'; got None$"),
        (b'{"training": [0, 1]}', r"training\[1\] should be an object with image and label; got 1"),
        (b'{"training": [0, {"image": 3}]}', r"training\[1\] should name a file as 'image'; got 3"),
        (b'{"training": [0, {"image": ""}]}', r"training\[1\] should name a file as 'image'"),
    ],
)
def test_a_bad_list_says_where_it_is_bad(tmp_path: Path, contents: bytes, message: str) -> None:
    data_list = tmp_path / "l.json"
    data_list.write_bytes(contents)
    with pytest.raises(ValueError, match=message) as caught:
        load_data_list(data_list, None, "training")
    assert "\n" not in str(caught.value)


def test_an_unknown_section_is_a_wrong_argument(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of training, validation, test; got 'valid'$"):
        load_data_list(write_list(tmp_path / "l.json", {}), None, "valid")


def test_image_in_training_and_in_validation_is_named(tmp_path: Path) -> None:
    case = {"image": "same.nii.gz", "label": "label.nii.gz"}
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": [case, {**case, "image": "b"}], "validation": [case]}))
    with pytest.raises(ValueError, match=r"1 images are in both sections, .* same\.nii\.gz"):
        load_data_list(path, None, "training")
