"""What a training writes, keeps and takes up again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from liverseg.bundle_files import checked_weights
from liverseg.training import (
    EpochSeed,
    KeepBest,
    KeepLast,
    LastValidation,
    ResumableCheckpoint,
    warm_polynomial,
)

SETTINGS = {"max_epochs": 3, "cases": ["a"]}


def idle(engine: Engine, batch: object) -> None:
    """A step that does nothing."""


class Counter:
    """A state that is easy to see."""

    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


def validator(dice: float, epoch: int) -> Engine:
    engine = Engine(lambda engine, batch: None)
    engine.state.metrics = {"val_mean_dice": dice}
    engine.state.epoch = epoch
    return engine


def test_only_a_better_validation_replaces_the_best_weights(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)
    best = KeepBest(network, tmp_path / "model.pt", "val_mean_dice")
    for epoch, (weight, dice) in enumerate([(1.0, 0.5), (2.0, 0.7), (3.0, 0.6)], start=1):
        nn.init.constant_(network.weight, weight)
        best(validator(dice, epoch))
    assert float(torch.load(tmp_path / "model.pt", weights_only=True)["weight"]) == 2.0
    assert len(checked_weights(tmp_path / "model.pt")) == 64
    assert best.state_dict() == {"best": 0.7, "epoch": 2}


def test_first_validation_after_a_resume_does_not_replace_a_better_one(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)
    first = KeepBest(network, tmp_path / "model.pt", "val_mean_dice")
    first(validator(0.9, 4))
    resumed = KeepBest(network, tmp_path / "model.pt", "val_mean_dice")
    resumed.load_state_dict(first.state_dict())
    nn.init.constant_(network.weight, 7.0)
    resumed(validator(0.8, 5))
    assert float(torch.load(tmp_path / "model.pt", weights_only=True)["weight"]) != 7.0


def test_last_weights_are_kept_whatever_they_score(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)
    engine = Engine(lambda engine, batch: nn.init.constant_(network.weight, engine.state.epoch))
    KeepLast(network, tmp_path / "model.pt", every_epochs=2).attach(engine)
    engine.run([0], max_epochs=3)
    assert float(torch.load(tmp_path / "model.pt", weights_only=True)["weight"]) == 3.0
    assert len(checked_weights(tmp_path / "model.pt")) == 64


def test_learning_rate_rises_and_falls_to_nothing() -> None:
    """10 steps, 2 to warm up, linear: (1 - n / 10) * min(1, (n + 1) / 2)."""
    factor = warm_polynomial(2, 10, power=1)
    seen = [factor(done) for done in (0, 1, 5, 10, 11)]
    assert seen == pytest.approx([0.5, 0.9, 0.5, 0.0, 0.0])


def test_checkpoint_brings_back_epoch_iteration_scaler_and_objects(tmp_path: Path) -> None:
    counter = Counter()

    def step(engine: Engine, batch: int) -> None:
        counter.count += 1

    first = Engine(step)
    first.scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    ResumableCheckpoint(tmp_path / "c.pt", {"counter": counter}, SETTINGS).attach(first)
    first.run([0] * 3, max_epochs=2)
    assert counter.count == 6

    counter.count = 0
    second = Engine(step)
    second.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    ResumableCheckpoint(tmp_path / "c.pt", {"counter": counter}, SETTINGS).attach(second)
    second.run([0] * 3, max_epochs=5)
    assert counter.count == 15
    assert (second.state.epoch, second.state.iteration) == (5, 15)
    assert second.scaler.get_scale() == 512.0


def test_resume_can_be_declined(tmp_path: Path) -> None:
    counter = Counter()
    engine = Engine(lambda engine, batch: None)
    ResumableCheckpoint(tmp_path / "c.pt", {"counter": counter}, SETTINGS).attach(engine)
    engine.run([0], max_epochs=3)
    fresh = Engine(lambda engine, batch: setattr(counter, "count", counter.count + 1))
    ResumableCheckpoint(tmp_path / "c.pt", {"counter": counter}, SETTINGS, resume=False).attach(
        fresh
    )
    fresh.run([0], max_epochs=2)
    assert counter.count == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_epochs": 4, "cases": ["a"]}, r"its max_epochs is 3; 4 is wanted"),
        ({"max_epochs": 3, "cases": ["a", "b"]}, r"its cases is \['a'\]; \['a', 'b'\] is wanted"),
        ({"max_epochs": 3}, r"its cases is \['a'\]; None is wanted"),
    ],
)
def test_checkpoint_of_other_settings_is_refused(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    """Another number of epochs has another learning rate; other cases leak between folds."""
    ResumableCheckpoint(tmp_path / "c.pt", {"counter": Counter()}, SETTINGS).save(Engine(idle))
    other = ResumableCheckpoint(tmp_path / "c.pt", {"counter": Counter()}, settings)
    with pytest.raises(ValueError, match=message):
        other.load(Engine(idle))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut"])
def test_damaged_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.pt").write_bytes(content)
    checkpoint = ResumableCheckpoint(tmp_path / "c.pt", {"counter": Counter()}, SETTINGS)
    with pytest.raises(ValueError, match=r"c\.pt should be a checkpoint"):
        checkpoint.load(Engine(idle))


def test_last_epoch_is_validated_once() -> None:
    seen: list[int] = []
    score = Engine(idle)
    score.run = lambda epoch: seen.append(epoch)  # type: ignore[method-assign]
    for epochs, interval in ((5, 2), (4, 2), (1, 10)):
        engine = Engine(idle)
        LastValidation(score, interval).attach(engine)
        engine.run([0], max_epochs=epochs)
    assert seen == [5, 1]


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    checkpoint = ResumableCheckpoint(tmp_path / "c.pt", {"counter": Counter()}, SETTINGS)
    checkpoint.save(engine)
    other = ResumableCheckpoint(tmp_path / "c.pt", {"optimizer": Counter()}, SETTINGS)
    with pytest.raises(ValueError, match=r"c\.pt should hold optimizer"):
        other.load(engine)


def test_seed_of_an_epoch_does_not_depend_on_the_epochs_before() -> None:
    from monai.transforms import Compose, RandShiftIntensity

    def draws(first_epoch: int) -> list[tuple[float, float]]:
        shift = RandShiftIntensity(offsets=1.0, prob=1.0)
        engine = Engine(lambda engine, batch: None)
        seed = EpochSeed(Compose([shift]), seed=5)
        seen = []
        for epoch in range(first_epoch, 4):
            engine.state.epoch = epoch
            seed(engine)
            seen.append((float(torch.rand(())), float(shift(torch.zeros(1, 1)))))
        return seen

    assert draws(1)[1:] == draws(2)
    assert len(set(draws(1))) == 3
