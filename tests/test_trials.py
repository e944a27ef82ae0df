"""The trials of trainings: each changes what the bundle has, and nothing that it has not."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser

from benchmarks import trials
from benchmarks.trials import Averaged, Remembered, Trial, chosen, filled, read_trials, row
from liverseg.bundle_files import bundle_root
from liverseg.dsn import DSN
from liverseg.heads import LiverHeads
from liverseg.inferer import autocast, has_fast_bfloat16
from liverseg.metrics import scores

CPU = torch.device("cpu")
CONFIGS = bundle_root() / "configs"


def parser_of(*files: Path) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(file) for file in files])
    parser["bundle_root"] = str(bundle_root())
    return parser


@pytest.mark.parametrize("trial", read_trials(), ids=lambda trial: trial.name)
def test_a_trial_changes_what_there_is(trial: Trial, tmp_path: Path) -> None:
    """A misspelt id would be a new one, and the trial the same as the recipe."""
    for changes, name in ((trial.training, "train.yaml"), (trial.scoring, "inference.yaml")):
        plain = parser_of(CONFIGS / name)
        overlay = tmp_path / "overlay.yaml"
        overlay.write_text(yaml.safe_dump(dict(changes)))
        changed = parser_of(CONFIGS / name, overlay)
        for key, value in changes.items():
            if key.startswith("extra_"):
                assert any(f"@{key}" in str(other) for other in changes.values())
                continue
            before = plain.config
            for part in key.split("#"):
                before = before[int(part) if isinstance(before, list) else part]
            assert changed[key] == value != before
    both = [parser_of(CONFIGS / name) for name in ("train.yaml", "inference.yaml")]
    for parser, changes in zip(both, (trial.training, trial.scoring), strict=True):
        parser["device"] = torch.device("cpu")
        for key, value in changes.items():
            if not key.startswith("initial_"):
                parser[key] = value
    networks = [parser.get_parsed_content("network_def") for parser in both]
    shapes = [
        {name: value.shape for name, value in network.state_dict().items()} for network in networks
    ]
    assert shapes[0] == shapes[1]  # both sides build the same network
    assert both[0]["spacing_mm"] == both[1]["spacing_mm"]
    assert both[0]["factor"] == both[1]["factor"]
    # A step of the training.
    network = both[0].get_parsed_content("module")
    optimizer, loss = (both[0].get_parsed_content(name) for name in ("optimizer", "loss"))
    assert isinstance(loss.loss, torch.nn.Module)  # which the log listens to
    liver = torch.zeros(1, 16, 16, 16, dtype=torch.long)
    liver[:, 4:12, 4:12, 4:12] = 1
    answers = network.train()(torch.rand(1, 2, 16, 16, 16))
    target = torch.nn.functional.one_hot(liver, answers[0].shape[1]).movedim(-1, 1).float()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    loss(answers, target).backward()
    optimizer.step()
    moved = [
        bool((old != new).any()) for old, new in zip(before, network.parameters(), strict=True)
    ]
    assert any(moved)
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def test_parts_with_other_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "trials.yaml"
    path.write_text("one:\n  train: {seed: 1}\n")
    with pytest.raises(ValueError, match=r"one should hold .* only; got \['train'\]"):
        read_trials(path)


def test_an_unknown_trial_is_named() -> None:
    with pytest.raises(ValueError, match=r"should be one of as in train.yaml, .*; got nine"):
        chosen(["nine"])


def test_places_for_folder_and_fold_are_filled() -> None:
    changes = {"initial_checkpoint": "{networks}/fold{fold}/model.pt", "extra": ["{trials}/a", 1]}
    assert filled(changes, Path("/cv"), Path("/out"), 3) == {
        "initial_checkpoint": "/cv/fold3/model.pt",
        "extra": ["/out/a", 1],
    }


def test_a_trial_runs_the_bundles_training_with_its_overlay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(
        trials.subprocess, "run", lambda command, **kwargs: started.append((command, kwargs))
    )
    trial = Trial("one", {"seed": 3, "max_epochs": 5})
    trials.train(trial, 2, tmp_path / "cv", tmp_path, epochs=8, threads=2)
    folder = tmp_path / "one" / "fold2"
    (command, kwargs), overlay = started[0], folder / "overlay.yaml"
    assert command[1:5] == ["-m", "monai.bundle", "run", "training"]
    assert command[6] == repr([str(CONFIGS / "train.yaml"), str(overlay)])
    assert kwargs["env"]["LIVERSEG_OUTPUT"] == str(folder)
    assert kwargs["env"]["LIVERSEG_DATA_LIST"] == str(folder / "btcv_fold2.json")
    assert kwargs["env"]["OMP_NUM_THREADS"] == "2"
    written = yaml.safe_load(overlay.read_text())
    assert written["seed"] == 3
    assert written["max_epochs"] == 5  # the trial's own
    assert written["coarse_checkpoint"] == str(tmp_path / "cv/fold2/coarse/model.pt")


def test_a_training_of_another_overlay_is_not_taken_for_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials.subprocess, "run", lambda command, **kwargs: None)
    for _ in range(2):
        trials.train(Trial("one", {"seed": 3}), 2, tmp_path, tmp_path, epochs=8, threads=2)
    with pytest.raises(ValueError, match="should have one overlay"):
        trials.train(Trial("one", {"seed": 4}), 2, tmp_path, tmp_path, epochs=8, threads=2)


def test_a_trial_that_fails_does_not_take_the_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(trial: Trial, *_: object) -> None:
        if trial.name == "another seed":
            raise ValueError("it fails")

    eye = np.zeros((8, 8, 8), bool)
    eye[2:6, 2:6, 2:6] = True
    monkeypatch.setattr(trials, "train", fail)
    monkeypatch.setattr(trials, "score", lambda *_, **__: {"scan": scores(eye, eye, np.eye(4))})
    words = ["trials", "another seed", "1 mm", "--networks", "a", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match="1"):
        trials.main()
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["trial", "1"]
    assert "another seed: it fails" in err


def test_a_row_has_the_means_of_all_scans_and_of_each_fold(tmp_path: Path) -> None:
    mask = np.zeros((8, 8, 8), bool)
    mask[2:6, 2:6, 2:6] = True
    other = np.roll(mask, 1, axis=0)
    scored = {
        0: {"a": scores(mask, mask, np.eye(4)), "b": scores(other, mask, np.eye(4))},
        1: {"c": scores(mask, mask, np.eye(4))},
    }
    cells = row(Trial("one"), 1920, scored)
    assert cells[:4] == ["one", "1,920", "0.9167", "0.750"]
    assert cells[-2:] == ["0.8750", "1.0000"]


def test_steps_are_those_of_the_log(tmp_path: Path) -> None:
    with (tmp_path / "log.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerows([["epoch", "iteration"], [1, 240], [2, 480]])
    assert trials.steps_of(tmp_path) == 480


def test_averaged_is_the_mean_over_networks_and_mirrorings(tmp_path: Path) -> None:
    network = DSN(in_channels=2, channels=[2] * 6, kernel_sizes=[[3, 3, 3]] * 6, skips=True)
    image, answers, paths = torch.rand(1, 2, 16, 16, 16), [], []
    turned = torch.empty(0)
    for seed in range(2):
        torch.manual_seed(seed)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        paths.append(str(tmp_path / f"{seed}.pt"))
        torch.save(network.state_dict(), paths[-1])
        with torch.no_grad(), autocast(CPU, has_fast_bfloat16(CPU)):
            answers.append(LiverHeads(network.eval())(image).float())
            if seed == 0:
                turned = LiverHeads(network)(image.flip(2, 4)).flip(2, 4).float()
    for parameter in network.parameters():  # what it is given is not what it answers with
        torch.nn.init.zeros_(parameter)
    one, other = answers
    with torch.no_grad():
        assert torch.allclose(Averaged(network, paths[:1], CPU)(image), one, atol=1e-5)
        assert torch.allclose(Averaged(network, paths, CPU)(image), (one + other) / 2, atol=1e-5)
        mirrored = Averaged(network, paths[:1], CPU, flips=[[], [2, 4]])
        assert torch.allclose(mirrored(image), (one + turned) / 2, atol=1e-5)
    assert not torch.allclose(one, other, atol=1e-3)
    assert not torch.allclose(one, turned, atol=1e-3)
    assert (mirrored.halo, mirrored.stride, mirrored.in_channels) == (network.halo, 4, 2)


def test_a_scan_is_read_once(tmp_path: Path) -> None:
    read = []

    def step(data: dict[str, str]) -> dict[str, object]:
        read.append(data["image"])
        return {"image": torch.ones(1), "liver": torch.zeros(1)}

    for _ in range(2):  # as another program would
        answer = Remembered([step], str(tmp_path / "read"))(
            {"image": "a/scan.nii.gz", "label": "b/scan.nii.gz", "coarse": "c.pt"}
        )
        assert answer == {"image": torch.ones(1), "liver": torch.zeros(1), "coarse": "c.pt"}
    assert read == ["a/scan.nii.gz"]


def test_trials_of_other_spacings_have_scans_of_their_own(tmp_path: Path) -> None:
    steps = [
        trials.remembering(trial.training, tmp_path)["load_steps"][0]
        for trial in chosen(["as in train.yaml", "1 mm", "1.5 mm", "hard examples"])
    ]
    folders = [step["folder"] for step in steps]
    assert len(set(folders)) == 3
    assert folders[0] == folders[3]
