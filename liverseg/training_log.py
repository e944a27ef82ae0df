"""The log of a training: a CSV with the loss of every head, and a picture of its curves."""

from __future__ import annotations

import csv
import importlib.util
import math
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.losses import DeepSupervisionLoss
from torch import nn

HEADS = ("main", "layer6", "layer3")


class TrainingLog:
    """One row an epoch: loss of every head, their weights, learning rate, validation metric.

    Written as a CSV after every epoch, drawn as curves.png after every validation and at the end.
    A training that is resumed goes on in the same CSV; rows of epochs that are done again are
    replaced.

    Args:
        folder: for log.csv and curves.png.
        loss: the deep supervision loss; the loss inside it is listened to, head by head.
        optimizer: for the learning rate.
        validator: the evaluator that runs before this handler in an epoch, or None.
        metric: name of the validator's metric.
        writes: False where another of several processes that train together writes. All of them
            need this handler: the losses are the means over the processes.

    Raises:
        ValueError: if matplotlib is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        loss: DeepSupervisionLoss,
        optimizer: torch.optim.Optimizer,
        validator: Engine | None = None,
        metric: str = "val_mean_dice",
        writes: bool = True,
    ) -> None:
        if importlib.util.find_spec("matplotlib") is None:
            raise ValueError("training draws its curves: pip install 'liverseg[train]'")
        self.folder = Path(folder)
        self.loss = loss
        self.optimizer = optimizer
        self.validator = validator
        self.metric = metric
        self.writes = writes
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
        losses = torch.tensor(self._heads).reshape(-1, len(HEADS)).mean(dim=0)
        for number, (name, mean) in enumerate(zip(HEADS, _over_processes(losses), strict=True)):
            row[f"loss_{name}"] = mean
            row[f"weight_{name}"] = weights[number]
        row["loss"] = sum(row[f"loss_{name}"] * row[f"weight_{name}"] for name in HEADS)
        validated = self.validator is not None and self.validator.state.epoch == row["epoch"]
        value = self.validator.state.metrics[self.metric] if validated and self.validator else None
        row[self.metric] = math.nan if value is None else float(value)
        self.rows.append(row)
        if not self.writes:
            return
        self._write()
        if validated or row["epoch"] == engine.state.max_epochs:
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


def _over_processes(values: torch.Tensor) -> list[float]:
    """The means over all processes that train together, or the values where there is one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return list(values.tolist())
    on_gpu = torch.distributed.get_backend() == "nccl"
    total = values.cuda() if on_gpu else values.clone()
    torch.distributed.all_reduce(total)
    return list((total / torch.distributed.get_world_size()).tolist())


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
