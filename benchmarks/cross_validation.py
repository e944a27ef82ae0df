"""Five-fold cross-validation on BTCV: train every fold, score its held-out scans, print the table.

    python -m benchmarks.cross_validation --output FOLDER [--folds 0 1 2 3 4]

A fold lies in FOLDER/foldN; one that has both its networks is only scored, and a training that was
stopped goes on. Scored as `liverseg evaluate` does, on the scans' own grids, after the whole
pipeline. Hours on two cores: without --output nothing is done.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import logging
import os
import sys
from dataclasses import fields
from pathlib import Path

from liverseg.bundle_files import bundle_root
from liverseg.metrics import Scores
from liverseg.score_table import score_table
from liverseg.train_run import Training, environment, train

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("LIVERSEG_DATA", ROOT.parent / "shared" / "data"))
FOLDS = range(5)


def trained(fold: int, output: Path) -> Path:
    """The folder with the two networks of a fold, trained if they are not there."""
    folder = output / f"fold{fold}"
    files = (folder / "coarse" / "model.pt", folder / "model.pt")
    if not all(file.is_file() for file in files):
        train(Training(data_list=list_of(fold), data=DATA, output=folder))
    return folder


def list_of(fold: int) -> Path:
    """The data list of a fold."""
    return ROOT / "data_lists" / f"btcv_fold{fold}.json"


def score(fold: int, folder: Path) -> None:
    """Write scores.csv of the held-out scans, with MONAI's own run of evaluate.yaml."""
    from monai.bundle.scripts import run

    configs = bundle_root() / "configs"
    folders = {
        "LIVERSEG_DATA": str(DATA),
        "LIVERSEG_DATA_LIST": str(list_of(fold)),
        "LIVERSEG_OUTPUT": str(folder),
    }
    logging.disable(logging.WARNING)
    with environment(folders), contextlib.redirect_stdout(sys.stderr):
        run(
            run_id="evaluating",
            config_file=[str(configs / name) for name in ("inference.yaml", "evaluate.yaml")],
            checkpoint=str(folder / "model.pt"),
            coarse_checkpoint=str(folder / "coarse" / "model.pt"),
            logging_file=False,
        )
    logging.disable(logging.NOTSET)


def scores_of(path: Path) -> dict[str, Scores]:
    """Case to figures of a scores.csv, the mean left out."""
    names = [field.name for field in fields(Scores)]
    with path.open(encoding="utf-8") as file:
        return {
            row["case"]: Scores(**{name: float(row[name] or "nan") for name in names})
            for row in csv.DictReader(file)
            if row["case"] != "mean"
        }


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="folder of the trainings")
    parser.add_argument("--folds", type=int, nargs="+", choices=FOLDS, default=list(FOLDS))
    arguments, _ = parser.parse_known_args()
    if arguments.output is None:
        print("cross-validation trains for hours: it wants --output FOLDER")
        return
    scored: dict[str, Scores] = {}
    for fold in arguments.folds:
        folder = trained(fold, arguments.output)
        score(fold, folder)
        scored |= scores_of(folder / "scores.csv")
    print(score_table(scored))
    worst = min(scored, key=lambda name: scored[name].dice)
    print(f"worst Dice: {scored[worst].dice:.3f}, {worst}")


if __name__ == "__main__":
    main()
