"""The cross-validation's own parts: who has seen what, and what is not trained again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from benchmarks.cross_validation import (
    EVERYTHING,
    FOLDS,
    MORE,
    More,
    Run,
    coarse_of,
    guided_list,
    list_of,
)
from liverseg.bundle_files import bundle_root


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


def test_both_trainings_are_started_with_the_list_and_the_share_of_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def fake(command: list[str], check: bool, env: dict[str, str]) -> None:
        assert check
        assert env["OMP_NUM_THREADS"] == "3"
        started.append(command)

    monkeypatch.setattr(subprocess, "run", fake)
    for network in ("coarse", "fine"):
        Run(network, EVERYTHING, tmp_path, epochs=7).start(threads=3)
    options = []
    for command in started:
        words = [word for word in command[command.index("train") + 1 :] if word != "--quiet"]
        options.append(dict(zip(words[::2], words[1::2], strict=True)))
    assert [one["--only"] for one in options] == ["coarse", "fine"]
    for one in options:
        assert one["--epochs"] == "7"
        assert one["--data-list"] == str(EVERYTHING)
        assert one["-o"] == str(tmp_path)


def test_second_part_starts_from_the_first_and_is_used_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []

    def fake(command: list[str], env: dict[str, str], **options: object) -> None:
        started.append((command, env))

    monkeypatch.setattr(subprocess, "run", fake)
    first, more = tmp_path / "coarse" / "model.pt", tmp_path / "more" / "coarse" / "model.pt"
    More(EVERYTHING, tmp_path).start(threads=1)
    ((command, env),) = started
    assert str(MORE) in command[command.index("--config_file") + 1]
    assert env["LIVERSEG_INITIAL"] == str(first)
    assert env["LIVERSEG_OUTPUT"] == str(tmp_path / "more")
    assert coarse_of(tmp_path) == first
    more.parent.mkdir(parents=True)
    more.with_name("model.pt.sha256").write_text("")
    assert coarse_of(tmp_path) == more


def test_second_part_changes_what_the_recipe_has() -> None:
    """The overlay's number of a step is that of the lesions."""
    parser = ConfigParser()
    configs = bundle_root() / "configs"
    parser.read_config([str(configs / name) for name in ("train.yaml", "coarse.yaml")])
    parser.update(ConfigParser.load_config_file(str(MORE)))
    assert parser["train#random_steps#2#_target_"].endswith("RandLesionsd")
    assert parser["train#random_steps#2#probability"] == 0.6
