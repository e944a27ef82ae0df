"""`liverseg evaluate`: the table, the CSV, the exit status, and what it says of bad pairs."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import AFFINE
from numpy.typing import NDArray

from liverseg import cli
from liverseg.evaluate import COLUMNS, evaluate

CONTRACT = (
    "case,dice,voe_percent,rvd_percent,asd_mm,rmsd_mm,msd_mm,hd95_mm,nsd_1mm,nsd_2mm,nsd_3mm,"
    "volume_error_ml,sliver07_score"
)


def rod(length: int) -> NDArray[np.uint8]:
    """Voxels in a row along x, 2 mm apart."""
    mask = np.zeros((9, 8, 7), dtype=np.uint8)
    mask[1 : 1 + length, 3, 2] = 1
    return mask


def save(path: Path, values: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, AFFINE), path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """Two cases: one of 5 voxels for 3, one that found nothing of 4."""
    for name, pred, ref in (("a", rod(5), rod(3)), ("b", rod(0), rod(4))):
        save(tmp_path / "p" / f"{name}.nii.gz", pred)
        save(tmp_path / "r" / f"{name}.nii.gz", ref * np.uint8(5))
    return str(tmp_path / "p"), str(tmp_path / "r")


def run(folders: tuple[str, str], *more: str) -> int:
    return cli.main(["evaluate", "--prediction", folders[0], "--reference", folders[1], *more])


def test_csv_has_a_row_a_case_and_the_mean_of_what_is_defined(
    folders: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "scores.csv"
    assert run(folders, "-o", str(path), "--quiet") == 0
    lines = path.read_text().splitlines()
    assert lines[0] == CONTRACT == ",".join(COLUMNS)
    rows = {row["case"]: row for row in csv.DictReader(lines)}
    assert list(rows) == ["a", "b", "mean"]
    assert rows["a"]["asd_mm"] == "0.7500"  # 0 0 0 2 4 and 0 0 0
    assert rows["b"]["asd_mm"] == ""
    assert rows["b"]["sliver07_score"] == "0.0000"
    assert rows["mean"]["dice"] == "0.3750"  # of 0.75 and 0
    assert rows["mean"]["asd_mm"] == "0.7500"
    assert rows["mean"]["volume_error_ml"] == "-0.0090"  # of 2 and -4 voxels of 0.009 ml


def test_table_has_mean_spread_interval_and_how_many_cases(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folders) == 0
    captured = capsys.readouterr()
    cells = {line.split("  ")[0]: line.split() for line in captured.out.splitlines()}
    assert cells["case"] == CONTRACT.split(",")
    assert cells["mean"][1] == "0.375"
    assert cells["std"][1] == "0.530"  # sqrt(2) x 0.375
    assert cells["95% from"][2] == "0.000"
    assert cells["cases"][1] == "2"
    assert cells["cases"][4] == "1"  # the distances of one case are not defined
    assert cells["b"][4] == "-"
    assert captured.err.splitlines() == ["[1/2] a dice 0.750", "[2/2] b dice 0.000"]


def test_unpaired_cases_are_named_in_one_line_and_the_rest_is_scored(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "p" / "x.nii.gz", rod(1))
    for name in ("y", "z"):
        save(tmp_path / "r" / f"{name}.nii", rod(1))
    assert run(folders, "-q") == 1
    captured = capsys.readouterr()
    assert captured.err == "liverseg: unpaired: predictions x; references y, z\n"
    assert captured.out.splitlines()[1].startswith("a ")


def test_a_pair_that_cannot_be_compared_is_one_line_and_the_rest_is_scored(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "r" / "a.nii.gz", rod(3)[:-1])
    assert run(folders, "-q", "-o", str(tmp_path / "s.csv")) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("liverseg: a: prediction and reference should lie on one grid;")
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert [row["case"] for row in rows] == ["b", "mean"]


def test_where_nothing_could_be_scored_no_older_figures_stay(
    folders: tuple[str, str], tmp_path: Path
) -> None:
    run(folders, "-q", "-o", str(tmp_path / "s.csv"))
    for name in ("a", "b"):
        (tmp_path / "r" / f"{name}.nii.gz").write_bytes(b"no image")
    assert run(folders, "-q", "-o", str(tmp_path / "s.csv")) == 1
    assert (tmp_path / "s.csv").read_text().count("\n") == 1


def test_a_case_may_be_called_mean(folders: tuple[str, str], tmp_path: Path) -> None:
    for folder in folders:
        save(Path(folder) / "mean.nii.gz", rod(3))
    run(folders, "-q", "-o", str(tmp_path / "s.csv"))
    rows = list(csv.DictReader((tmp_path / "s.csv").read_text().splitlines()))
    assert [(row["case"], row["dice"]) for row in rows][2:] == [
        ("mean", "1.0000"),
        ("mean", "0.5833"),
    ]


def test_nothing_paired_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "p" / "a.nii", rod(1))
    (tmp_path / "r").mkdir()
    assert run((str(tmp_path / "p"), str(tmp_path / "r")), "-o", str(tmp_path / "s.csv")) == 2
    captured = capsys.readouterr()
    assert "nothing to compare" in captured.err
    assert captured.out == ""
    assert not (tmp_path / "s.csv").exists()


def test_missing_folder_is_2_and_one_line(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run((folders[0], f"{folders[1]}/none")) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("liverseg: the reference should exist")
    assert captured.err.count("\n") == 1


def test_two_files_are_scored(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run((f"{folders[0]}/a.nii.gz", f"{folders[1]}/b.nii.gz"), "-q") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["b", "0.889"]  # 8 / 9


def test_reference_labels_choose_and_several_values_are_told(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    organs = rod(3) * np.uint8(5)
    organs[0, 0, :] = 2
    save(tmp_path / "r" / "a.nii.gz", organs)
    assert run(folders, "-q", "--reference-labels", "5", "6") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines()[1].split()[1] == "0.750"
    assert run(folders, "-q") == 0
    captured = capsys.readouterr()
    assert captured.err == (
        "liverseg: references hold 2, 5, all taken for liver; --reference-labels chooses\n"
    )
    assert captured.out.splitlines()[1].split()[1] == "0.400"  # 2 x 3 / (5 + 10)


def test_a_second_system_is_compared_case_by_case(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, length in (("a", 3), ("b", 2)):
        save(tmp_path / "p2" / f"{name}.nii.gz", rod(length))
    assert run(folders, "-q", "--versus", str(tmp_path / "p2")) == 0
    _, table = capsys.readouterr().out.split("\n\n")
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    # Dice 0.75 and 0 against 1 and 4 / 6; two cases of one sign: 2 of 4 signs are as extreme.
    assert rows["dice"] == ["0.375", "0.833", "-0.458", "0.5", "2"]
    assert rows["asd_mm"][-1] == "1"


def test_more_neighbours_make_more_border(tmp_path: Path) -> None:
    cube = np.zeros((9, 9, 9), dtype=np.uint8)
    cube[2:7, 2:7, 2:7] = 1
    cube[2, 2, 4] = 0  # the voxel below this edge is border by its edge, not by a face
    save(tmp_path / "p.nii", cube)
    cube[6, 6, 4] = 0
    save(tmp_path / "r.nii", cube)
    found = [
        evaluate(tmp_path / "p.nii", tmp_path / "r.nii", connectivity=connectivity).scored["r"]
        for connectivity in (1, 3)
    ]
    assert found[0].nsd_1mm != found[1].nsd_1mm
    assert found[0].dice == found[1].dice


def test_output_that_is_a_folder_is_2_before_anything_is_scored(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folders, "-o", str(tmp_path)) == 2
    captured = capsys.readouterr()
    assert (captured.out, "should name a file" in captured.err) == ("", True)
    assert captured.err.count("\n") == 1
