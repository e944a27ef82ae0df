"""Pairs: by file name, by case id, by the name of a source; what stands alone is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from liverseg.pairs import pairs


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_files_of_two_folders_are_paired_by_name_without_suffix(tmp_path: Path) -> None:
    pred = touch(tmp_path / "p", "b.nii.gz", "a.v2.nii", "only.nii.gz", "notes.txt", "._b.nii.gz")
    ref = touch(tmp_path / "r", "a.v2.nii.gz", "B.NII.GZ", "b.nii", "lone.nii")
    found = pairs(pred, ref)
    assert found.files == {
        "a.v2": (pred / "a.v2.nii", ref / "a.v2.nii.gz"),
        "b": (pred / "b.nii.gz", ref / "b.nii"),
    }
    assert found.lone_predictions == ("only",)
    assert found.lone_references == ("B", "lone")


def test_output_folder_of_segment_is_paired_by_case_id(tmp_path: Path) -> None:
    pred = touch(tmp_path / "out", "cases/0a1b/liver.nii.gz", "cases/failed/report.json")
    ref = touch(tmp_path / "r", "0a1b.nii.gz", "failed.nii.gz")
    found = pairs(pred, ref)
    assert found.files == {"0a1b": (pred / "cases/0a1b/liver.nii.gz", ref / "0a1b.nii.gz")}
    assert found.lone_references == ("failed",)


def output_of(folder: Path, *sources: str) -> Path:
    """An output folder of `liverseg segment`: case 1 of the first source, and so on."""
    touch(folder, *(f"cases/{case}/liver.nii.gz" for case, _ in enumerate(sources, 1)))
    rows = [f"{case},/in/{source},1.2,1.{case}\n" for case, source in enumerate(sources, 1)]
    (folder / "linkage.csv").write_text("case_id,source,study_uid,series_uid\n" + "".join(rows))
    return folder


def test_output_folder_of_segment_is_paired_by_the_name_of_the_source(tmp_path: Path) -> None:
    pred = output_of(tmp_path / "out", "ct_0005.nii.gz", "patient 7", "twice", "twice")
    ref = touch(tmp_path / "r", "ct_0005.nii.gz", "patient 7.nii", "twice.nii")
    found = pairs(pred, ref)
    assert {name: files[0].parent.name for name, files in found.files.items()} == {
        "ct_0005": "1",
        "patient 7": "2",
    }
    assert (found.lone_predictions, found.lone_references) == (("3", "4"), ("twice",))


def test_a_case_out_of_an_archive_is_called_with_its_suffix_or_without(tmp_path: Path) -> None:
    pred = output_of(tmp_path / "out", "a.zip", "b.tar.gz", "c.ZIP", "c")
    ref = touch(tmp_path / "r", "a.nii.gz", "b.tar.gz.nii", "c.nii")
    found = pairs(pred, ref)
    assert {name: files[0].parent.name for name, files in found.files.items()} == {
        "a": "1",
        "b.tar.gz": "2",
    }
    assert found.lone_references == ("c",)


def test_two_files_are_a_pair_whatever_their_names(tmp_path: Path) -> None:
    folder = touch(tmp_path, "mine.nii", "truth.nii.gz", "cases/7/liver.nii.gz")
    files = (folder / "mine.nii", folder / "truth.nii.gz")
    assert pairs(*files).files == {"truth": files}
    assert list(pairs(files[0], folder / "cases/7/liver.nii.gz").files) == ["7"]


def test_a_file_against_a_folder_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "mine.nii")
    with pytest.raises(ValueError, match="both be files or both be folders"):
        pairs(tmp_path / "mine.nii", tmp_path)


def test_two_files_for_one_case_are_named(tmp_path: Path) -> None:
    touch(tmp_path / "p", "a.nii", "a.nii.gz")
    with pytest.raises(ValueError, match=r"a\.nii and a\.nii\.gz are two"):
        pairs(tmp_path / "p", tmp_path)


def test_what_does_not_exist_is_named_by_its_role(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="the reference should exist"):
        pairs(tmp_path, tmp_path / "none")
