"""Trials of the fine network's training: a row each of what a change of the recipe brings.

    python -m benchmarks.trials --networks CV --output FOLDER [NAME ...] [--folds 0 1] [--epochs 8]
        [--jobs N] [--list]

CV is the folder of benchmarks.cross_validation, whose coarse networks say of each scan, unseen,
where the liver is. The trials are overlays on the bundle's train.yaml and inference.yaml, which are
what runs: benchmarks/trials.yaml names them; --list prints their names. A trial's networks lie in
FOLDER/NAME/foldN; a training that has ended is not done again. Scans are read once for all trials
of a spacing and kept in FOLDER/read. Scored on the held-out scans as benchmarks.cross_validation
does. Eight epochs take four minutes on a core, so all trials on two folds hours.
"""

from __future__ import annotations

import argparse
import copy
import csv
import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from monai.bundle import ConfigParser
from monai.transforms import Compose, Transform

from benchmarks.cross_validation import DATA, FOLDS, guided_list, list_of, score
from liverseg.bundle_files import bundle_root
from liverseg.heads import LiverHeads
from liverseg.inferer import autocast, has_fast_bfloat16
from liverseg.metrics import Scores
from liverseg.tables import aligned

TRIALS = Path(__file__).with_suffix(".yaml")
TRAINING = bundle_root() / "configs" / "train.yaml"
READING = ("spacing_mm", "window", "liver_labels", "other_labels")  # what load_steps depend on
PARTS = {"training", "scoring", "both", "trained"}
EPOCHS = 8


@dataclass(frozen=True)
class Trial:
    """What differs from the bundle.

    Args:
        name: as in trials.yaml.
        training: id in train.yaml to its other value.
        scoring: id in inference.yaml to its other value.
        trained: weights that are there already, instead of a training.
    """

    name: str
    training: Mapping[str, Any] = field(default_factory=dict)
    scoring: Mapping[str, Any] = field(default_factory=dict)
    trained: str | None = None

    def folder(self, output: Path, fold: int) -> Path:
        """Where its networks and figures for a fold lie."""
        name = "".join(letter if letter.isalnum() or letter == "." else "_" for letter in self.name)
        return output / name / f"fold{fold}"


def read_trials(path: Path = TRIALS) -> list[Trial]:
    """The trials of a file.

    Raises:
        ValueError: a trial has parts with other names than there are.
    """
    trials = []
    for name, parts in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        if not set(parts) <= PARTS:
            raise ValueError(f"{name} should hold of {sorted(PARTS)} only; got {sorted(parts)}")
        both = parts.get("both", {})
        training, scoring = ({**both, **parts.get(key, {})} for key in ("training", "scoring"))
        trials.append(Trial(str(name), training, scoring, parts.get("trained")))
    return trials


class Averaged(torch.nn.Module):
    """The mean of what several networks answer, each on the image and on mirrored ones.

    Args:
        network: as the bundle defines it.
        checkpoints: weights for it, one or more.
        device: where it computes.
        flips: for each answer the axes that the image is mirrored along: 2, 3, 4 are R, A, S.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        checkpoints: Sequence[str],
        device: torch.device,
        flips: Sequence[Sequence[int]] = ((),),
    ) -> None:
        super().__init__()
        members = []
        for checkpoint in checkpoints:
            member = copy.deepcopy(network).eval()
            member.load_state_dict(torch.load(checkpoint, weights_only=True))
            members.append(LiverHeads(member).to(device))
        self.members = torch.nn.ModuleList(members)
        self.halo, self.stride = members[0].halo, members[0].stride
        self.in_channels = members[0].in_channels
        self.flips = tuple(map(tuple, flips))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(B, C, X, Y, Z) to (B, heads, X, Y, Z), logits of liver minus the rest."""
        with autocast(image.device, has_fast_bfloat16(image.device)):
            answers = [
                member(image.flip(flip)).flip(flip)
                for member in self.members
                for flip in self.flips
            ]
        return torch.stack(answers).float().mean(dim=0)


class Summed(torch.nn.Module):
    """A weighted sum of losses of (B, C, X, Y, Z) logits and targets.

    Args:
        losses: each of logits and target.
        weights: one for each.
    """

    def __init__(self, losses: Sequence[torch.nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        self.losses = torch.nn.ModuleList(losses)
        self.weights = tuple(weights)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """A scalar."""
        values = [
            weight * loss(logits.float(), target)
            for weight, loss in zip(self.weights, self.losses, strict=True)
        ]
        return torch.stack(values).sum()


class Remembered(Transform):
    """Steps that are done once a scan, for all programs: reading is a third of a trial.

    Args:
        steps: the transforms; deterministic, and the same for all who use the folder.
        folder: of their answers, a file a scan.
    """

    def __init__(self, steps: Sequence[Callable[..., Any]], folder: str) -> None:
        self.steps = Compose(list(steps))
        self.folder = Path(folder)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """What the steps make of image and label; other items stay."""
        others = {key: value for key, value in data.items() if key not in ("image", "label")}
        path = self.folder / (Path(data["image"]).name + ".pt")
        if path.is_file():
            return {**others, **torch.load(path, weights_only=False)}
        made = self.steps({key: data[key] for key in ("image", "label")})
        self.folder.mkdir(parents=True, exist_ok=True)
        mine = path.with_suffix(f".{os.getpid()}")
        torch.save(made, mine)
        mine.replace(path)
        return {**others, **made}


def remembering(changes: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Changes to train.yaml with which the reading of scans is done once for all trials."""
    parser = ConfigParser()
    parser.read_config(str(TRAINING))
    read = {key: changes.get(key, parser[key]) for key in (*READING, "load_steps")}
    name = hashlib.sha256(json.dumps([read, str(DATA)]).encode()).hexdigest()[:16]
    step = {
        "_target_": "benchmarks.trials.Remembered",
        "steps": "@read_steps",
        "folder": str(folder / name),
    }
    return {**changes, "read_steps": parser["load_steps"], "load_steps": [step]}


def filled(changes: Mapping[str, Any], networks: Path, output: Path, fold: int) -> dict[str, Any]:
    """Changes with the two folders and the fold's number in their texts."""
    text = json.dumps(changes)
    for name, value in (("networks", networks), ("trials", output), ("fold", fold)):
        text = text.replace(f"{{{name}}}", str(value))
    return dict(json.loads(text))


def train(trial: Trial, fold: int, networks: Path, output: Path, epochs: int, threads: int) -> None:
    """Train the fine network, by MONAI's own run of train.yaml with the trial's overlay.

    Raises:
        ValueError: the folder has a training of another overlay.
        CalledProcessError: the training failed; its messages lie beside it.
    """
    folder = trial.folder(output, fold)
    folder.mkdir(parents=True, exist_ok=True)
    overlay = folder / "overlay.yaml"
    changes = {
        "max_epochs": epochs,
        "coarse_checkpoint": coarse_of(networks, fold),
        "show_progress": False,
        **filled(trial.training, networks, output, fold),
    }
    changes = remembering(changes, output / "read")
    text = yaml.safe_dump(changes)
    if overlay.is_file() and overlay.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"a training should have one overlay; {folder} has another: remove that first"
        )
    overlay.write_text(text, encoding="utf-8")
    configs = [str(TRAINING), str(overlay)]
    folders = {
        "LIVERSEG_DATA": str(DATA),
        "LIVERSEG_DATA_LIST": str(guided_list(list_of(fold), networks, folder)),
        "LIVERSEG_OUTPUT": str(folder),
        "OMP_NUM_THREADS": str(threads),
    }
    command = [sys.executable, "-m", "monai.bundle", "run", "training"]
    command += ["--config_file", repr(configs), "--logging_file", "False"]
    with (folder / "messages.txt").open("w", encoding="utf-8") as messages:
        subprocess.run(
            command, check=True, env={**os.environ, **folders}, stdout=messages, stderr=messages
        )


def coarse_of(networks: Path, fold: int) -> str:
    """The weights of a fold's coarse network."""
    return str(networks / f"fold{fold}" / "coarse" / "model.pt")


def score_trial(trial: Trial, fold: int, networks: Path, output: Path) -> dict[str, Scores]:
    """The figures of a fold's held-out scans."""
    changes = {"coarse_checkpoint": coarse_of(networks, fold), **trial.scoring}
    if trial.trained is not None:
        changes["checkpoint"] = trial.trained
    return score(fold, trial.folder(output, fold), changes=filled(changes, networks, output, fold))


def steps_of(folder: Path) -> int:
    """How many steps a training has done; 0 where there was none."""
    if not (folder / "log.csv").is_file():
        return 0
    with (folder / "log.csv").open(encoding="utf-8") as file:
        return max(int(row["iteration"]) for row in csv.DictReader(file))


def row(trial: Trial, steps: int, scored: Mapping[int, Mapping[str, Scores]]) -> list[str]:
    """A line of the table: the mean Dice, ASD and NSD of all scans, and Dice of each fold."""
    every = [one for fold in scored.values() for one in fold.values()]
    return [
        trial.name,
        f"{steps:,}",
        f"{statistics.fmean(one.dice for one in every):.4f}",
        f"{min(one.dice for one in every):.3f}",
        f"{statistics.fmean(one.asd_mm for one in every):.2f}",
        f"{statistics.fmean(one.nsd_2mm for one in every):.3f}",
        *(f"{statistics.fmean(one.dice for one in fold.values()):.4f}" for fold in scored.values()),
    ]


def chosen(names: Sequence[str]) -> list[Trial]:
    """The trials of these names, in this order; without names all.

    Raises:
        ValueError: there is no such trial.
    """
    known = {trial.name: trial for trial in read_trials()}
    for name in names:
        if name not in known:
            raise ValueError(f"a trial should be one of {', '.join(known)}; got {name}")
    return [known[name] for name in names or known]


def main() -> None:
    """Train, score and print; exits with 1 where a trial failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trials", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--networks", type=Path, help="folder of benchmarks.cross_validation")
    parser.add_argument("--output", type=Path, help="folder of the trials")
    parser.add_argument("--folds", type=int, nargs="+", choices=FOLDS, default=[0, 1])
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="where a trial has no other")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--list", action="store_true", help="print the names of the trials")
    arguments = parser.parse_args()
    try:
        trials = chosen(arguments.trials)
    except ValueError as error:
        parser.error(str(error))
    if arguments.list:
        print("\n".join(trial.name for trial in trials))
        return
    if arguments.networks is None or arguments.output is None:
        parser.error("trials train for hours: they want --networks FOLDER and --output FOLDER")
    networks, output = arguments.networks.absolute(), arguments.output.absolute()
    epochs, threads = arguments.epochs, max(1, len(os.sched_getaffinity(0)) // arguments.jobs)
    pool = ThreadPoolExecutor(arguments.jobs)
    trained = {
        (trial, fold): pool.submit(train, trials[trial], fold, networks, output, epochs, threads)
        for trial in range(len(trials))
        for fold in arguments.folds
        if trials[trial].trained is None
    }
    head = ["trial", "steps", "dice", "worst", "asd_mm", "nsd_2mm"]
    lines = [[*head, *(f"fold {fold}" for fold in arguments.folds)]]
    for number, trial in enumerate(trials):
        try:
            for fold in arguments.folds:
                if trial.trained is None:
                    trained[number, fold].result()
            scored = {fold: score_trial(trial, fold, networks, output) for fold in arguments.folds}
        except (ValueError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
            print(f"{trial.name}: {error}", file=sys.stderr, flush=True)
            continue
        lines.append(row(trial, steps_of(trial.folder(output, arguments.folds[0])), scored))
        print("  ".join(lines[-1]), file=sys.stderr, flush=True)
    print(aligned(lines), flush=True)
    if len(lines) <= len(trials):
        sys.exit(1)


if __name__ == "__main__":
    main()
