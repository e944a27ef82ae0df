"""Handlers of a training that can be stopped at any time, resumed exactly, and looked at."""

from __future__ import annotations

import logging
import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.transforms import Compose
from torch import nn

from liverseg.weight_files import save_atomically, save_weights

logger = logging.getLogger(__name__)

RANK_SEED = 1_000_003  # further apart than a training has epochs


class EpochSeed:
    """Seeds everything random when an epoch starts, so that epoch n is the same after a resume.

    Args:
        transform: the training transforms, whose random ones are seeded.
        seed: of the first epoch; each epoch adds 1.
        rank: of this process among several that train together: their patches differ.
    """

    def __init__(self, transform: Compose, seed: int, rank: int = 0) -> None:
        self.transform = transform
        self.seed = seed
        self.rank = rank

    def attach(self, engine: Engine) -> None:
        """Seed when an epoch starts, before its first batch is drawn."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for the engine's epoch."""
        seed = self.seed + engine.state.epoch
        torch.manual_seed(seed)
        self.transform.set_random_state(seed=seed + RANK_SEED * self.rank)


class Attach:
    """Attaches a handler that has a name of its own in a configuration.

    MONAI's check of a workflow takes every entry of the list of handlers for a dictionary.

    Args:
        handler: with a method attach.
    """

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def attach(self, engine: Engine) -> None:
        """Attach the handler."""
        self.handler.attach(engine)


class LastValidation:
    """Validates after the last epoch where that is not one of the interval's.

    Args:
        validator: the evaluator.
        interval: of MONAI's ValidationHandler.
    """

    def __init__(self, validator: Evaluator, interval: int) -> None:
        self.validator = validator
        self.interval = interval

    def attach(self, engine: Engine) -> None:
        """Look when an epoch is complete."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Validate if the epoch is the last and was not validated yet."""
        epoch = engine.state.epoch
        if epoch == engine.state.max_epochs and epoch % self.interval != 0:
            self.validator.run(epoch)


class KeepBest:
    """Keeps the weights with the best validation metric, a plain state_dict, and their SHA-256.

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
            save_weights(self.network, self.path)
            logger.info("epoch %d has the best %s: %.4f", self.epoch, self.metric, self.best)

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint holds of this."""
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take what a checkpoint held."""
        self.best, self.epoch = float(state["best"]), int(state["epoch"])


class KeepLast:
    """Keeps the weights of the last epoch, a plain state_dict, and their SHA-256.

    Args:
        network: whose weights are kept.
        path: the file; it is replaced in one step.
        every_epochs: how often, so that a training that is stopped has left some.
    """

    def __init__(self, network: nn.Module, path: str | Path, every_epochs: int = 5) -> None:
        self.network = network
        self.path = Path(path)
        self.every_epochs = every_epochs

    def attach(self, engine: Engine) -> None:
        """Save when so many epochs are complete, and at the end."""
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every_epochs), self)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save."""
        save_weights(self.network, self.path)


class ResumableCheckpoint:
    """Saves the whole state of a training, and starts from it when there is one.

    The trainer's epoch and iteration and, with mixed precision, its gradient scaler are part of
    it; so is everything in objects. To be the last of the trainer's handlers.

    Args:
        path: the checkpoint; it is replaced in one step.
        objects: name to anything with state_dict and load_state_dict.
        settings: what makes this training the one that it is: numbers, texts and lists of them.
            A checkpoint of other settings is refused, not gone on from.
        every_epochs: how often it is saved.
        resume: False to start afresh and overwrite it.
        writes: False to load only: of several processes that train together one saves.
    """

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        settings: Mapping[str, Any],
        every_epochs: int = 1,
        resume: bool = True,
        writes: bool = True,
    ) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.settings = dict(settings)
        self.every_epochs = every_epochs
        self.resume = resume
        self.writes = writes

    def attach(self, engine: Engine) -> None:
        """Load when the trainer starts, save when an epoch is complete."""
        engine.add_event_handler(Events.STARTED, self.load)
        if not self.writes:
            return
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.every_epochs), self.save)
        engine.add_event_handler(Events.COMPLETED, self.save)

    def save(self, engine: Engine) -> None:
        """Save everything."""
        state = {name: item.state_dict() for name, item in self.objects.items()}
        state["settings"] = self.settings
        state["trainer"] = {"iteration": engine.state.iteration, "epoch": engine.state.epoch}
        scaler = getattr(engine, "scaler", None)
        if scaler is not None:
            state["scaler"] = scaler.state_dict()
        save_atomically(state, self.path)

    def load(self, engine: Engine) -> None:
        """Load everything, if there is a checkpoint.

        Raises:
            ValueError: if the checkpoint cannot be read or is of another training.
        """
        if not (self.resume and self.path.is_file()):
            return
        state = self._read()
        for name, item in self.objects.items():
            item.load_state_dict(state[name])
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and state.get("scaler"):
            scaler.load_state_dict(state["scaler"])
        engine.state.iteration = int(state["trainer"]["iteration"])
        engine.state.epoch = int(state["trainer"]["epoch"])
        done = " already complete" if engine.state.epoch == engine.state.max_epochs else ""
        logger.info("resumed after epoch %d:%s %s", engine.state.epoch, done, self.path.name)

    def _read(self) -> dict[str, Any]:
        name = self.path.name
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
            raise ValueError(
                f"{name} should be a checkpoint; reading it: {type(error).__name__}"
            ) from error
        missing = sorted({*self.objects, "settings", "trainer"} - set(state))
        if missing:
            raise ValueError(f"{name} should hold {', '.join(missing)}; it does not")
        before = state["settings"]
        for key in sorted({*self.settings, *before}):
            wanted, found = self.settings.get(key), before.get(key)
            if wanted != found:
                raise ValueError(
                    f"{name} is of another training: its {key} is {str(found)[:200]}; "
                    f"{str(wanted)[:200]} is wanted. Do not resume, or write elsewhere"
                )
        return dict(state)


def warm_polynomial(warm_up: int, steps: int, power: float = 0.9) -> Callable[[int], float]:
    """A learning rate that rises linearly, and falls to 0 as a power of what is left.

    Args:
        warm_up: steps until the rise ends, at least 1.
        steps: of the whole training.
        power: 1 falls linearly.

    Returns:
        A function from the number of steps done to the factor of the learning rate.
    """

    def factor(done: int) -> float:
        left = max(0.0, 1 - done / steps)
        return float(left**power * min(1, (done + 1) / warm_up))

    return factor
