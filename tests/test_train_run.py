"""How the command hands a training to MONAI: folders as text, nothing evaluated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import pytest
from conftest import phantom

from liverseg.bundle_files import checked_weights
from liverseg.train_run import Training, _folders, environment, train


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVERSEG_DATA", "LIVERSEG_DATA_LIST", "LIVERSEG_OUTPUT"):
        monkeypatch.delenv(name, raising=False)


def test_paths_of_a_given_list_start_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = _folders(Training(data_list=tmp_path / "$(x)" / "list.json"), tmp_path / "bundle")
    assert folders["LIVERSEG_DATA"] == tmp_path / "$(x)"
    assert folders["LIVERSEG_OUTPUT"] == tmp_path / "output"


def test_option_comes_before_the_environment_and_that_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LIVERSEG_DATA", "LIVERSEG_DATA_LIST", "LIVERSEG_OUTPUT"):
        monkeypatch.setenv(name, str(tmp_path / name))
    told = _folders(Training(), tmp_path / "bundle")
    assert told == {name: tmp_path / name for name in told}
    chosen = Training(data_list=tmp_path / "l", data=tmp_path / "d", output=tmp_path / "o")
    assert [path.name for path in _folders(chosen, tmp_path / "bundle").values()] == ["l", "d", "o"]


def test_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVERSEG_DATA", "before")
    monkeypatch.delenv("LIVERSEG_OUTPUT", raising=False)
    with environment({"LIVERSEG_DATA": "$within", "LIVERSEG_OUTPUT": "out"}):
        assert os.environ["LIVERSEG_DATA"] == "$within"
    assert os.environ["LIVERSEG_DATA"] == "before"
    assert "LIVERSEG_OUTPUT" not in os.environ


def test_recipe_that_is_unknown_is_named() -> None:
    with pytest.raises(ValueError, match=r"one of default, finetune, paper, .*; got secret"):
        train(Training(recipe="secret"))


def test_network_that_the_recipe_does_not_train_is_named() -> None:
    with pytest.raises(ValueError, match=r"^only should be one of coarse, fine; got both$"):
        train(Training(only="both"))
    with pytest.raises(ValueError, match=r"^recipe paper trains one network, not a coarse one$"):
        train(Training(recipe="paper", only="coarse"))


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A list of three phantoms whose liver is label 1."""
    image, affine, liver = phantom()
    nib.save(nib.Nifti1Image(image, affine), tmp_path / "ct.nii.gz")
    nib.save(nib.Nifti1Image(liver, affine), tmp_path / "label.nii.gz")
    for copy in ("ct2.nii.gz", "ct3.nii.gz"):
        (tmp_path / copy).write_bytes((tmp_path / "ct.nii.gz").read_bytes())
    items = [{"image": name, "label": "label.nii.gz"} for name in ("ct.nii.gz", "ct2.nii.gz")]
    held_out = [{"image": "ct3.nii.gz", "label": "label.nii.gz"}]
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": items, "validation": held_out}))
    return path


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`liverseg train` in a process of its own."""
    line = [sys.executable, "-m", "liverseg.cli", "train", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_command_trains_quietly_and_leaves_weights(cases: Path, tmp_path: Path) -> None:
    done = command(
        "--data-list", cases, "-o", tmp_path / "out", "--epochs", 1, "--liver-labels", 1, "--quiet"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"training ended; weights, curves and log: {tmp_path / 'out'}\n"
    assert not [line for line in done.stderr.splitlines() if "epoch" in line.lower()]
    assert len(checked_weights(tmp_path / "out" / "model.pt")) == 64


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: None, "label.nii.gz should hold 7 where the liver is; it holds 0, 1"),
        (
            lambda folder: (folder / "label.nii.gz").write_bytes(b"text"),
            "label.nii.gz should be a whole NIfTI label",
        ),
        (
            lambda folder: (folder / "ct2.nii.gz").write_bytes(
                (folder / "ct.nii.gz").read_bytes()[:2000]
            ),
            "(ct2.nii.gz)",
        ),
    ],
)
def test_bad_training_file_is_one_line_and_status_2(
    cases: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(tmp_path)
    label = 7 if "hold 7" in message else 1
    done = command("--data-list", cases, "-o", tmp_path / "out", "--liver-labels", label, "-q")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
