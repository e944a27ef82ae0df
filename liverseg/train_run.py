"""Run the bundle's training as the command does: checked first, folders through the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liverseg.bundle_files import bundle_root
from liverseg.datalist import load_data_list
from liverseg.pipeline import find_device

# The overlay on train.yaml of each recipe; the default is train.yaml alone.
RECIPES: dict[str, str | None] = {"default": None}
TRAIN_CONFIG = "train.yaml"
# As train.yaml has it: in a checkout the folder is ignored by git.
OUTPUT_IN_BUNDLE = "output"
LISTS_BESIDE_BUNDLE = Path("data_lists", "btcv.json")
DATA_BESIDE_CHECKOUT = Path("shared", "data")


@dataclass(frozen=True)
class Training:
    """What to train, on what, and where to.

    Args:
        recipe: a key of RECIPES.
        data_list: MSD-format list; the bundle's own when None.
        data: where the list's relative paths start; the list's folder when None.
        output: for weights, log, curves and checkpoint; the bundle's output folder when None.
        device: as for find_device.
        epochs: instead of the recipe's.
        resume: go on from the checkpoint in output, if there is one.
    """

    recipe: str = "default"
    data_list: Path | None = None
    data: Path | None = None
    output: Path | None = None
    device: str = "auto"
    epochs: int | None = None
    resume: bool = True


def train(training: Training) -> Path:
    """Run the training.

    Returns:
        The output folder.

    Raises:
        FileNotFoundError: the data list, or files that it names, are missing.
        ValueError: the list is none, or there is no such recipe or device.
        OSError: the output folder cannot be made.
    """
    if training.recipe not in RECIPES:
        known = ", ".join(RECIPES)
        raise ValueError(f"recipe should be one of {known}; got {training.recipe}")
    device = find_device(training.device)
    root = bundle_root()
    folders = _folders(training, root)
    # Looked at before MONAI starts: its own message would come wrapped, and after seconds.
    for section in ("training", "validation"):
        load_data_list(folders["LIVERSEG_DATA_LIST"], folders["LIVERSEG_DATA"], section)
    output = folders["LIVERSEG_OUTPUT"]
    output.mkdir(parents=True, exist_ok=True)
    overlay = RECIPES[training.recipe]
    names = [TRAIN_CONFIG] if overlay is None else [TRAIN_CONFIG, overlay]
    # The device's name has been checked: it is the only text here that MONAI evaluates.
    override: dict[str, Any] = {"device": f"$torch.device('{device}')", "resume": training.resume}
    if training.epochs is not None:
        override["max_epochs"] = training.epochs
    from monai.bundle.scripts import run

    with environment({name: str(path) for name, path in folders.items()}):
        run(
            run_id="training",
            config_file=[str(root / "configs" / name) for name in names],
            **override,
        )
    return output


def _folders(training: Training, root: Path) -> dict[str, Path]:
    checkout = root.parent
    data_list = training.data_list or checkout / LISTS_BESIDE_BUNDLE
    if training.data is not None:
        data = training.data
    elif training.data_list is not None:
        data = data_list.parent
    else:
        data = Path(os.environ.get("LIVERSEG_DATA") or checkout.parent / DATA_BESIDE_CHECKOUT)
    output = training.output or root / OUTPUT_IN_BUNDLE
    return {
        "LIVERSEG_DATA_LIST": data_list.absolute(),
        "LIVERSEG_DATA": data.absolute(),
        "LIVERSEG_OUTPUT": output.absolute(),
    }


@contextmanager
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
