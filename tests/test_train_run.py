"""How the command hands a training to MONAI: folders as text, nothing evaluated."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from liverseg.train_run import Training, _folders, environment, train


def test_paths_of_a_given_list_start_beside_it(tmp_path: Path) -> None:
    folders = _folders(Training(data_list=tmp_path / "$(x)" / "list.json"), tmp_path / "bundle")
    assert folders["LIVERSEG_DATA"] == tmp_path / "$(x)"
    assert folders["LIVERSEG_OUTPUT"] == tmp_path / "bundle" / "output"


def test_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVERSEG_DATA", "before")
    monkeypatch.delenv("LIVERSEG_OUTPUT", raising=False)
    with environment({"LIVERSEG_DATA": "$within", "LIVERSEG_OUTPUT": "out"}):
        assert os.environ["LIVERSEG_DATA"] == "$within"
    assert os.environ["LIVERSEG_DATA"] == "before"
    assert "LIVERSEG_OUTPUT" not in os.environ


def test_recipe_that_is_unknown_is_named() -> None:
    with pytest.raises(ValueError, match="one of default; got secret"):
        train(Training(recipe="secret"))
