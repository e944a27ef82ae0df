"""The cross-validation's own parts: who has seen what, and what is not trained again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cross_validation import DONE, EVERYTHING, FOLDS, Run, guided_list, list_of


@pytest.mark.parametrize("plain", [*map(list_of, FOLDS), EVERYTHING], ids=lambda path: path.stem)
def test_guidance_comes_from_the_fold_that_held_the_scan_out(plain: Path, tmp_path: Path) -> None:
    contents = json.loads(guided_list(plain, tmp_path).read_text())
    assert contents["validation"] == json.loads(plain.read_text())["validation"]
    for case in contents["training"]:
        fold = int(Path(case["coarse"]).relative_to(tmp_path).parts[0].removeprefix("fold"))
        trained_on = json.loads(list_of(fold).read_text())["training"]
        assert case["image"] not in [one["image"] for one in trained_on]
    assert len(contents["training"]) == (15 if plain == EVERYTHING else 12)


def test_each_scan_is_held_out_once() -> None:
    lists = [json.loads(list_of(fold).read_text()) for fold in FOLDS]
    held = [case["image"] for contents in lists for case in contents["validation"]]
    assert len(held) == len(set(held)) == 15
    for contents in lists:
        assert not {c["image"] for c in contents["training"]} & {
            c["image"] for c in contents["validation"]
        }


def test_a_training_that_has_ended_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def fake(command: list[str], check: bool, env: dict[str, str]) -> None:
        assert check
        assert env["OMP_NUM_THREADS"] == "3"
        Path(command[command.index("-o") + 1], "coarse").mkdir(parents=True, exist_ok=True)
        started.append(command)

    monkeypatch.setattr(subprocess, "run", fake)
    for network, folder in (("coarse", tmp_path / "coarse"), ("fine", tmp_path)):
        run = Run(network, EVERYTHING, tmp_path, epochs=7)
        run.start(threads=3)
        assert (folder / DONE).is_file()
        run.start(threads=3)
    assert [command[command.index("--only") + 1] for command in started] == ["coarse", "fine"]
    assert all(command[command.index("--epochs") + 1] == "7" for command in started)


def test_a_training_that_fails_is_not_marked_as_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: list[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(2, command)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(subprocess.CalledProcessError):
        Run("fine", EVERYTHING, tmp_path, epochs=None).start(threads=1)
    assert not (tmp_path / DONE).exists()
