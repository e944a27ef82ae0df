"""Five-fold cross-validation on BTCV: train every fold, score its held-out scans, print the tables.

    python -m benchmarks.cross_validation --output FOLDER [--coarse-epochs N] [--fine-epochs N]
        [--folds 0 1 2 3 4] [--jobs N] [--ship] [--refine]

First the coarse networks of all folds. Then the fine ones of --folds: each learns from what is
said of a scan by the coarse network that has not seen it, as it is in use. Then the coarse ones of
--folds go on for some epochs with more lesions (coarse_more.yaml): these are used. With --ship also
all networks for all 15 scans, the fine one with the same guidance: what the bundle ships. A fold
lies in FOLDER/foldN, these in FOLDER/ship; a training that was stopped goes on, one that has ended
is not done again, and one that was done otherwise is refused. --jobs trainings run side by side,
each with its share of the cores: on a CPU as many as there are cores. Scored as `liverseg evaluate`
does, on the scans' own grids, after the whole pipeline; with --refine by the CRF too, in a second
table. Hours on two cores: without --output nothing is done.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import logging
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from liverseg.bundle_files import bundle_root
from liverseg.metrics import Scores
from liverseg.score_table import score_table
from liverseg.tables import aligned
from liverseg.train_run import environment

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("LIVERSEG_DATA", ROOT.parent / "shared" / "data"))
EVERYTHING = ROOT / "data_lists" / "btcv_all.json"
FOLDS = range(5)
LIVER = 5  # BTCV's label
MORE = Path(__file__).with_name("coarse_more.yaml")


def list_of(fold: int) -> Path:
    """The data list of a fold."""
    return ROOT / "data_lists" / f"btcv_fold{fold}.json"


def guided_list(plain: Path, output: Path, folder: Path | None = None) -> Path:
    """A copy of a data list in which each training scan names the coarse weights without it.

    Args:
        plain: a list of BTCV scans.
        output: of the cross-validation, with the coarse networks of all folds.
        folder: where the copy comes to; when None output.
    """
    unseen = {
        case["image"]: str(output / f"fold{fold}" / "coarse" / "model.pt")
        for fold in FOLDS
        for case in json.loads(list_of(fold).read_text(encoding="utf-8"))["validation"]
    }
    contents = json.loads(plain.read_text(encoding="utf-8"))
    for case in contents["training"]:
        case["coarse"] = unseen[case["image"]]
    path = (folder or output) / plain.name
    path.write_text(json.dumps(contents, indent=1), encoding="utf-8")
    return path


class Run(NamedTuple):
    """A training of one network."""

    network: str  # "coarse" or "fine"
    data_list: Path
    output: Path
    epochs: int | None  # instead of the recipe's

    def start(self, threads: int) -> None:
        """Train with `liverseg train`, which does nothing where this training has ended."""
        command = [sys.executable, "-m", "liverseg.cli", "train", "--only", self.network]
        command += ["--data-list", str(self.data_list), "--data", str(DATA)]
        command += ["-o", str(self.output), "--quiet"]
        if self.epochs is not None:
            command += ["--epochs", str(self.epochs)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})


class More(NamedTuple):
    """The second part of the training of a coarse network."""

    data_list: Path
    output: Path

    def start(self, threads: int) -> None:
        """Train by MONAI's own run of the bundle, which goes on, or does nothing at the end."""
        configs = [str(bundle_root() / "configs" / name) for name in ("train.yaml", "coarse.yaml")]
        command = [sys.executable, "-m", "monai.bundle", "run", "training"]
        command += ["--config_file", str([*configs, str(MORE)])]
        folders = {
            "LIVERSEG_DATA": str(DATA),
            "LIVERSEG_DATA_LIST": str(self.data_list),
            "LIVERSEG_OUTPUT": str(self.output / "more"),
            "LIVERSEG_INITIAL": str(first_coarse_of(self.output)),
            "OMP_NUM_THREADS": str(threads),
        }
        subprocess.run(command, check=True, env={**os.environ, **folders}, stdout=sys.stderr)


def first_coarse_of(folder: Path) -> Path:
    """The weights of a fold's coarse network after the first part of its training."""
    return folder / "coarse" / "model.pt"


def coarse_of(folder: Path) -> Path:
    """The weights of a fold's coarse network: after the second part of its training, if it was."""
    more = folder / "more" / "coarse" / "model.pt"
    return more if more.with_name("model.pt.sha256").is_file() else first_coarse_of(folder)


def train_all(
    output: Path, folds: list[int], epochs: tuple[int | None, int | None], jobs: int, ship: bool
) -> None:
    """The coarse networks of all folds, then the fine ones of some, then the coarse ones of these.

    Args:
        output: where they lie.
        folds: of the fine networks.
        epochs: of a coarse and of a fine training, instead of the recipe's.
        jobs: trainings at a time.
        ship: whether both networks are trained on all scans too.
    """
    coarse = [Run("coarse", list_of(fold), output / f"fold{fold}", epochs[0]) for fold in FOLDS]
    fine = [
        Run("fine", guided_list(list_of(fold), output), output / f"fold{fold}", epochs[1])
        for fold in folds
    ]
    more = [More(list_of(fold), output / f"fold{fold}") for fold in folds]
    if ship:
        more.append(More(EVERYTHING, output / "ship"))
        coarse.append(Run("coarse", EVERYTHING, output / "ship", epochs[0]))
        fine.append(Run("fine", guided_list(EVERYTHING, output), output / "ship", epochs[1]))
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        for runs in (coarse, fine, more):
            list(pool.map(lambda run: run.start(threads), runs))


def score(
    fold: int, folder: Path, refine: bool = False, changes: Mapping[str, Any] | None = None
) -> dict[str, Scores]:
    """The figures of the held-out scans, by MONAI's own run of evaluate.yaml.

    Args:
        fold: whose scans.
        folder: with its networks; scores.csv comes to it, or to a folder in it with the CRF.
        refine: whether the CRF refines the masks.
        changes: to inference.yaml and evaluate.yaml.
    """
    from monai.bundle.scripts import run

    configs = bundle_root() / "configs"
    output = folder / "refined" if refine else folder
    folders = {
        "LIVERSEG_DATA": str(DATA),
        "LIVERSEG_DATA_LIST": str(list_of(fold)),
        "LIVERSEG_OUTPUT": str(output),
    }
    networks = {
        "checkpoint": str(folder / "model.pt"),
        "coarse_checkpoint": str(coarse_of(folder)),
    }
    logging.disable(logging.WARNING)
    with environment(folders), contextlib.redirect_stdout(sys.stderr):
        run(
            run_id="evaluating",
            config_file=[str(configs / name) for name in ("inference.yaml", "evaluate.yaml")],
            refine=refine,
            logging_file=False,
            **{**networks, **(changes or {})},
        )
    logging.disable(logging.NOTSET)
    names = [field.name for field in fields(Scores)]
    with (output / "scores.csv").open(encoding="utf-8") as file:
        return {
            row["case"]: Scores(**{name: float(row[name] or "nan") for name in names})
            for row in csv.DictReader(file)
            if row["case"] != "mean"
        }


class Traits(NamedTuple):
    """What the scans are divided by."""

    slice_mm: float
    liver_hu: float
    liver_ml: float


def traits(fold: int) -> dict[str, Traits]:
    """Of a fold's held-out scans, from the image and the experts' label."""
    found = {}
    for case in json.loads(list_of(fold).read_text(encoding="utf-8"))["validation"]:
        image = nib.load(DATA / case["image"])
        liver = np.asarray(nib.load(DATA / case["label"]).dataobj) == LIVER
        spacing = image.header.get_zooms()[:3]
        found[Path(case["image"]).name.removesuffix(".nii.gz")] = Traits(
            float(max(spacing)),
            float(np.asarray(image.dataobj)[liver].mean()),
            float(liver.sum() * np.prod(spacing, dtype=np.float64) / 1000),
        )
    return found


def subgroups(scored: Mapping[str, Scores], traits: Mapping[str, Traits]) -> str:
    """A table: for each trait the scans below its median, and the others."""
    lines = [["half", "scans", "dice", "worst dice", "asd_mm", "volume_error_ml"]]
    for trait in Traits._fields:
        values = {name: getattr(traits[name], trait) for name in scored}
        middle = statistics.median(values.values())
        for text, low in (("below", True), ("from", False)):
            half = [scored[name] for name in scored if (values[name] < middle) == low]
            if not half:
                continue
            means = [
                f"{statistics.fmean(getattr(one, name) for one in half):.{digits}f}"
                for name, digits in (("dice", 3), ("asd_mm", 2), ("volume_error_ml", 0))
            ]
            worst = f"{min(one.dice for one in half):.3f}"
            row = [f"{trait} {text} {middle:.4g}", str(len(half)), means[0], worst, *means[1:]]
            lines.append(row)
    return aligned(lines)


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="folder of the trainings")
    parser.add_argument("--folds", type=int, nargs="+", choices=FOLDS, default=list(FOLDS))
    parser.add_argument("--coarse-epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--fine-epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--ship", action="store_true", help="train on all scans too")
    parser.add_argument("--refine", action="store_true", help="score with the CRF too")
    arguments, _ = parser.parse_known_args()
    if arguments.output is None:
        print("cross-validation trains for hours: it wants --output FOLDER")
        return
    output = arguments.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    epochs = (arguments.coarse_epochs, arguments.fine_epochs)
    train_all(output, arguments.folds, epochs, arguments.jobs, arguments.ship)
    known: dict[str, Traits] = {}
    for fold in arguments.folds:
        known |= traits(fold)
    for refine in (False, True)[: 1 + arguments.refine]:
        scored: dict[str, Scores] = {}
        for fold in arguments.folds:
            scored |= score(fold, output / f"fold{fold}", refine)
        print("with the CRF\n" * refine + score_table(scored))
        worst = min(scored, key=lambda name: scored[name].dice)
        print(f"worst Dice: {scored[worst].dice:.3f}, {worst}\n")
        print(subgroups(scored, known), flush=True)


if __name__ == "__main__":
    main()
