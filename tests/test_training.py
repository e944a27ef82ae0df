"""What a training writes, keeps and takes up again."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from monai.losses import DeepSupervisionLoss
from torch import nn

from liverseg.training import EpochSeed, KeepBest, ResumableCheckpoint, TrainingLog


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


def test_checkpoint_brings_back_epoch_iteration_scaler_and_objects(tmp_path: Path) -> None:
    counter = Counter()

    def step(engine: Engine, batch: int) -> None:
        counter.count += 1

    first = Engine(step)
    first.scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    ResumableCheckpoint(tmp_path / "c.pt", {"counter": counter}).attach(first)
    first.run([0] * 3, max_epochs=2)
    assert counter.count == 6

    counter.count = 0
    second = Engine(step)
    second.scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    ResumableCheckpoint(tmp_path / "c.pt", {"counter": counter}).attach(second)
    second.run([0] * 3, max_epochs=5)
    assert counter.count == 15
    assert (second.state.epoch, second.state.iteration) == (5, 15)
    assert second.scaler.get_scale() == 512.0


def test_resume_can_be_declined(tmp_path: Path) -> None:
    counter = Counter()
    engine = Engine(lambda engine, batch: None)
    ResumableCheckpoint(tmp_path / "c.pt", {"counter": counter}).attach(engine)
    engine.run([0], max_epochs=3)
    fresh = Engine(lambda engine, batch: setattr(counter, "count", counter.count + 1))
    ResumableCheckpoint(tmp_path / "c.pt", {"counter": counter}, resume=False).attach(fresh)
    fresh.run([0], max_epochs=2)
    assert counter.count == 2


def test_checkpoint_of_more_epochs_than_wanted_is_refused(tmp_path: Path) -> None:
    for epochs, context in ((3, None), (2, pytest.raises(ValueError, match=r"epoch 3.*is 2"))):
        engine = Engine(lambda engine, batch: None)
        ResumableCheckpoint(tmp_path / "c.pt", {"counter": Counter()}).attach(engine)
        if context is None:
            engine.run([0], max_epochs=epochs)
        else:
            engine.logger.disabled = True  # ignite logs the error that the test expects
            with context:
                engine.run([0], max_epochs=epochs)


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    checkpoint = ResumableCheckpoint(tmp_path / "c.pt", {"counter": Counter()})
    checkpoint.save(engine)
    other = ResumableCheckpoint(tmp_path / "c.pt", {"optimizer": Counter()})
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


def test_log_has_the_mean_loss_of_every_head(tmp_path: Path) -> None:
    """Two steps an epoch; head h of step s has the loss 10 s + h."""
    loss = DeepSupervisionLoss(nn.L1Loss(), weights=[1.0, 0.4, 0.3])
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.25)
    score = validator(0.5, epoch=2)
    log = TrainingLog(tmp_path, loss, optimizer, score)

    def step(engine: Engine, batch: int) -> None:
        loss([torch.full((1, 1), 10.0 * batch + head) for head in range(3)], torch.zeros(1, 1))

    engine = Engine(step)
    log.attach(engine)
    engine.run([1, 2], max_epochs=2)
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    means = [float(rows[0][f"loss_{head}"]) for head in ("main", "layer6", "layer3")]
    assert means == [15.0, 16.0, 17.0]
    assert float(rows[0]["loss"]) == pytest.approx(15 + 0.4 * 16 + 0.3 * 17)
    assert [row["val_mean_dice"] for row in rows] == ["", "0.5"]
    assert float(rows[1]["learning_rate"]) == 0.25
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("resumed_at", "epochs"), [(3, [1, 2, 3]), (1, [1])])
def test_log_keeps_the_epochs_before_and_replaces_those_done_again(
    tmp_path: Path, resumed_at: int, epochs: list[int]
) -> None:
    (tmp_path / "log.csv").write_text(
        "epoch,iteration,learning_rate,loss_main,weight_main,loss_layer6,weight_layer6,"
        "loss_layer3,weight_layer3,loss,val_mean_dice\n"
        + "".join(f"{epoch},{epoch},1,2,1,3,0.4,4,0.3,4.4,\n" for epoch in (1, 2, 3, 4))
    )
    loss = DeepSupervisionLoss(nn.L1Loss(), weights=[1.0, 0.4, 0.3])
    log = TrainingLog(tmp_path, loss, torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0))
    engine = Engine(lambda engine, batch: loss([torch.ones(1, 1)] * 3, torch.zeros(1, 1)))
    engine.state.epoch = engine.state.iteration = resumed_at - 1
    log.attach(engine)
    engine.state.max_epochs, engine.state.epoch_length = resumed_at, 1
    engine.run([0])
    with (tmp_path / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == epochs
    assert rows[-1]["loss_main"] == "1"
