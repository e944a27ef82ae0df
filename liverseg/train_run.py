"""Run the bundle's training as the command does: checked first, folders through the environment."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liverseg.bundle_files import bundle_root
from liverseg.datalist import load_data_list
from liverseg.pipeline import find_device

# The configurations of each recipe: one list a training, in the order in which they run.
_PAPER = ("train.yaml", "recipe.yaml", "paper.yaml")
_BLOG = ("train.yaml", "recipe.yaml", "blog.yaml")
RECIPES: dict[str, tuple[tuple[str, ...], ...]] = {
    "default": (("train.yaml", "coarse.yaml"), ("train.yaml",)),
    "finetune": (("train.yaml", "coarse.yaml", "finetune.yaml"), ("train.yaml", "finetune.yaml")),
    "paper": (_PAPER,),
    "paper-plain": ((*_PAPER, "paper_plain.yaml"),),
    "blog": (_BLOG,),
    "blog-plain": ((*_BLOG, "blog_plain.yaml"),),
}
NETWORKS = ("coarse", "fine")
OUTPUT = "output"  # of the working directory, as train.yaml has it
LISTS_BESIDE_BUNDLE = Path("data_lists", "btcv.json")
DATA_BESIDE_CHECKOUT = Path("shared", "data")


@dataclass(frozen=True)
class Training:
    """What to train, on what, and where to.

    Args:
        recipe: a key of RECIPES.
        only: one of NETWORKS: train this one; when None all of the recipe.
        data_list: MSD-format list; when None that of LIVERSEG_DATA_LIST, else BTCV's.
        data: where the list's relative paths start; when None LIVERSEG_DATA, else the list's
            folder.
        output: for weights, log, curves and checkpoint; when None LIVERSEG_OUTPUT, else output.
        liver_labels: label values that mean liver, instead of the recipe's; other organs are
            then not learnt, since their values are not known.
        device: as for find_device.
        epochs: of each of the recipe's trainings, instead of its own.
        resume: go on from the checkpoint in output, if there is one.
        quiet: show warnings only.
    """

    recipe: str = "default"
    only: str | None = None
    data_list: Path | None = None
    data: Path | None = None
    output: Path | None = None
    liver_labels: tuple[int, ...] | None = None
    device: str = "auto"
    epochs: int | None = None
    resume: bool = True
    quiet: bool = False


def train(training: Training) -> Path:
    """Run the training.

    Returns:
        The output folder.

    Raises:
        FileNotFoundError: the data list, or files that it names, are missing.
        ValueError: the list is none, there is no such recipe, network of it or device, what
            training draws with is not installed, or no validation had a result.
        OSError: the output folder cannot be made.
    """
    for module in ("matplotlib", "tensorboard"):
        if importlib.util.find_spec(module) is None:
            raise ValueError(f"training needs {module}: pip install 'liverseg[train]'")
    runs = _runs(training)
    device = find_device(training.device)
    root = bundle_root()
    folders = _folders(training, root)
    # Looked at before MONAI starts: its own message would come wrapped, and after seconds.
    for section in ("training", "validation"):
        load_data_list(folders["LIVERSEG_DATA_LIST"], folders["LIVERSEG_DATA"], section)
    output = folders["LIVERSEG_OUTPUT"]
    output.mkdir(parents=True, exist_ok=True)
    # The device's name has been checked: it is the only text here that MONAI evaluates.
    override: dict[str, Any] = {"device": f"$torch.device('{device}')", "resume": training.resume}
    if training.epochs is not None:
        override["max_epochs"] = training.epochs
    if training.liver_labels is not None:
        override["liver_labels"] = list(training.liver_labels)
        override["other_labels"] = []
    with environment({name: str(path) for name, path in folders.items()}):
        for names in runs:
            _run([str(root / "configs" / name) for name in names], override, training.quiet)
    folder = output / "coarse" if training.only == "coarse" else output
    if not (folder / "model.pt").is_file():
        raise ValueError(f"no validation had a result, so there are no weights in {folder}")
    return output


def _runs(training: Training) -> list[tuple[str, ...]]:
    """The configurations of each training that is wanted."""
    if training.recipe not in RECIPES:
        known = ", ".join(RECIPES)
        raise ValueError(f"recipe should be one of {known}; got {training.recipe}")
    if training.only not in (None, *NETWORKS):
        raise ValueError(f"only should be one of {', '.join(NETWORKS)}; got {training.only}")
    runs = list(RECIPES[training.recipe])
    if training.only is not None and len(runs) < len(NETWORKS):
        raise ValueError(f"recipe {training.recipe} trains one network, not a {training.only} one")
    if training.only is None:
        return runs
    return [runs[NETWORKS.index(training.only)]]


def _run(configs: list[str], override: dict[str, Any], quiet: bool) -> None:
    """MONAI's run, with its messages and bars on stderr, or without them."""
    override = {**override, "show_progress": not quiet, "logging_file": False}
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    # Ignite and MONAI log an error before they raise it; the command says it once, in one line.
    figures = logging.getLogger("monai.handlers.StatsHandler")
    figures.addFilter(_is_no_error)
    if quiet:
        logging.disable(logging.WARNING)
    try:
        # MONAI's loggers write to what is stdout when they are imported.
        with contextlib.redirect_stdout(sys.stderr):
            from monai.bundle.scripts import run

            for name in ("ignite", "SupervisedTrainer", "SupervisedEvaluator"):
                logging.getLogger(name).setLevel(logging.CRITICAL)
            run(run_id="training", config_file=configs, **override)
    finally:
        logging.disable(logging.NOTSET)
        figures.removeFilter(_is_no_error)


def _is_no_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR


def _folders(training: Training, root: Path) -> dict[str, Path]:
    checkout = root.parent
    data_list = training.data_list or _from_environment("LIVERSEG_DATA_LIST")
    data = training.data or _from_environment("LIVERSEG_DATA")
    if data is None:
        data = data_list.parent if data_list else checkout.parent / DATA_BESIDE_CHECKOUT
    output = training.output or _from_environment("LIVERSEG_OUTPUT") or Path(OUTPUT)
    return {
        "LIVERSEG_DATA_LIST": (data_list or checkout / LISTS_BESIDE_BUNDLE).absolute(),
        "LIVERSEG_DATA": data.absolute(),
        "LIVERSEG_OUTPUT": output.absolute(),
    }


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment for the time of the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
