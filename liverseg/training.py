"""Handlers of a training that can be stopped at any time, resumed exactly, and looked at."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.losses import DeepSupervisionLoss
from monai.transforms import Compose
from torch import nn

logger = logging.getLogger(__name__)

HEADS = ("main", "layer6", "layer3")


class EpochSeed:
    """Seeds everything random when an epoch starts, so that epoch n is the same after a resume.

    Args:
        transform: the training transforms, whose random ones are seeded.
        seed: of the first epoch; each epoch adds 1.
    """

    def __init__(self, transform: Compose, seed: int) -> None:
        self.transform = transform
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Seed when an epoch starts, before its first batch is drawn."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for the engine's epoch."""
        seed = self.seed + engine.state.epoch
        torch.manual_seed(seed)
        self.transform.set_random_state(seed=seed)


class KeepBest:
    """Keeps the weights with the best validation metric, as a plain state_dict.

    Args:
        network: whose weights are kept.
        path: the file; it is replaced in one step.
        metric: name of the validator's metric, higher is better.
    """

    def __init__(self, network: nn.Module, path: str | Path, metric: str) -> None:
        self.network = network
        self.path = Path(path)
        self.metric = metric
        self.best = -math.inf
        self.epoch = 0

    def attach(self, engine: Engine) -> None:
        """Compare when the validator has finished."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Keep the weights if the validator's metric is the best so far."""
        value = float(engine.state.metrics[self.metric])
        if value > self.best:
            self.best, self.epoch = value, engine.state.epoch
            state = {key: value.cpu() for key, value in self.network.state_dict().items()}
            save_atomically(state, self.path)
            logger.info("epoch %d has the best %s: %.4f", self.epoch, self.metric, self.best)

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint holds of this."""
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take what a checkpoint held."""
        self.best, self.epoch = float(state["best"]), int(state["epoch"])


class TrainingLog:
    """One row an epoch: loss of every head, their weights, learning rate, validation metric.

    Written as a CSV after every epoch and drawn as curves.png after every validation. A training
    that is resumed goes on in the same CSV; rows of epochs that are done again are replaced.

    Args:
        folder: for log.csv and curves.png.
        loss: the deep supervision loss; the loss inside it is listened to, head by head.
        optimizer: for the learning rate.
        validator: the evaluator that runs before this handler in an epoch, or None.
        metric: name of the validator's metric.
    """

    def __init__(
        self,
        folder: str | Path,
        loss: DeepSupervisionLoss,
        optimizer: torch.optim.Optimizer,
        validator: Engine | None = None,
        metric: str = "val_mean_dice",
    ) -> None:
        self.folder = Path(folder)
        self.loss = loss
        self.optimizer = optimizer
        self.validator = validator
        self.metric = metric
        self.rows: list[dict[str, float]] = []
        self._heads: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Listen to the loss and write when an epoch is complete."""
        self.loss.loss.register_forward_hook(self._hear)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def _start(self, engine: Engine) -> None:
        self._heads.clear()
        if not self.rows:
            self.rows = rows_before(self.folder / "log.csv", engine.state.epoch)

    def _hear(self, module: nn.Module, inputs: Any, value: torch.Tensor) -> None:
        self._heads.append(float(value.detach()))

    def __call__(self, engine: Engine) -> None:
        """Add the row of the epoch."""
        weights = self.loss.get_weights(len(HEADS))
        row: dict[str, float] = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "learning_rate": float(self.optimizer.param_groups[0]["lr"]),
        }
        for number, name in enumerate(HEADS):
            losses = self._heads[number :: len(HEADS)]
            row[f"loss_{name}"] = sum(losses) / len(losses)
            row[f"weight_{name}"] = weights[number]
        row["loss"] = sum(row[f"loss_{name}"] * row[f"weight_{name}"] for name in HEADS)
        validated = self.validator is not None and self.validator.state.epoch == row["epoch"]
        value = self.validator.state.metrics[self.metric] if validated and self.validator else None
        row[self.metric] = math.nan if value is None else float(value)
        self.rows.append(row)
        self._write()
        if validated:
            draw_curves(self.rows, self.metric, self.folder / "curves.png")

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / "log.csv.part"
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            for row in self.rows:
                texts = {key: f"{value:.6g}" for key, value in row.items()}
                writer.writerow({key: "" if text == "nan" else text for key, text in texts.items()})
        part.replace(self.folder / "log.csv")


class ResumableCheckpoint:
    """Saves the whole state of a training, and starts from it when there is one.

    The trainer's epoch and iteration and, with mixed precision, its gradient scaler are part of
    it; so is everything in objects. To be the last of the trainer's handlers.

    Args:
        path: the checkpoint; it is replaced in one step.
        objects: name to anything with state_dict and load_state_dict.
        every_epochs: how often it is saved.
        resume: False to start afresh and overwrite it.
    """

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        every_epochs: int = 1,
        resume: bool = True,
    ) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.every_epochs = every_epochs
        self.resume = resume

    def attach(self, engine: Engine) -> None:
        """Load when the trainer starts, save when an epoch is complete."""
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every_epochs), self.save)
        engine.add_event_handler(Events.COMPLETED, self.save)

    def save(self, engine: Engine) -> None:
        """Save everything."""
        state = {name: item.state_dict() for name, item in self.objects.items()}
        state["trainer"] = {"iteration": engine.state.iteration, "epoch": engine.state.epoch}
        scaler = getattr(engine, "scaler", None)
        if scaler is not None:
            state["scaler"] = scaler.state_dict()
        save_atomically(state, self.path)

    def load(self, engine: Engine) -> None:
        """Load everything, if there is a checkpoint.

        Raises:
            ValueError: if the checkpoint is of another training or of more epochs than wanted.
        """
        if not (self.resume and self.path.is_file()):
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        missing = sorted(set(self.objects) - set(state))
        if missing:
            raise ValueError(f"{self.path.name} should hold {', '.join(missing)}; it does not")
        for name, item in self.objects.items():
            item.load_state_dict(state[name])
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and "scaler" in state:
            scaler.load_state_dict(state["scaler"])
        epoch = int(state["trainer"]["epoch"])
        if engine.state.max_epochs is not None and epoch > engine.state.max_epochs:
            raise ValueError(
                f"{self.path.name} is of epoch {epoch}; max_epochs is {engine.state.max_epochs}"
            )
        engine.state.iteration = int(state["trainer"]["iteration"])
        engine.state.epoch = epoch
        logger.info("resumed after epoch %d from %s", epoch, self.path.name)


def save_atomically(state: Mapping[str, Any], path: Path) -> None:
    """torch.save to a temporary name, then rename: never a half-written file.

    Args:
        state: what to save.
        path: the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    torch.save(state, part)
    part.replace(path)


def rows_before(log: Path, epoch: int) -> list[dict[str, float]]:
    """The rows of a log up to an epoch.

    Args:
        log: a CSV that TrainingLog wrote; it need not exist.
        epoch: the first epoch that is left out.

    Returns:
        A dictionary a row; an empty field is NaN.
    """
    if not log.is_file():
        return []
    with log.open(newline="", encoding="utf-8") as file:
        rows = [
            {key: float(text) if text else math.nan for key, text in row.items()}
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if row["epoch"] < epoch]


def draw_curves(rows: list[dict[str, float]], metric: str, path: Path) -> None:
    """A picture of a training: losses by head on the left, the validation metric on the right.

    Args:
        rows: as TrainingLog writes them.
        metric: column of the validation metric.
        path: the PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    for name in HEADS:
        if f"loss_{name}" in rows[0]:
            left.plot(epochs, [row[f"loss_{name}"] for row in rows], label=name, linewidth=1)
    left.set(xlabel="epoch", ylabel="loss", title="loss by head (training)")
    left.legend()
    validated = [row for row in rows if not math.isnan(row[metric])]
    right.plot([row["epoch"] for row in validated], [row[metric] for row in validated], marker=".")
    right.set(xlabel="epoch", ylabel=metric, title="validation", ylim=(0, 1))
    right.grid(alpha=0.3)
    part = path.with_name(f"{path.name}.part")
    figure.savefig(part, format="png", dpi=110)
    part.replace(path)
