"""The log of a training: every head, every epoch once."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from monai.losses import DeepSupervisionLoss
from torch import nn

from liverseg.training_log import TrainingLog


def test_log_has_the_mean_loss_of_every_head(tmp_path: Path) -> None:
    """Two steps an epoch; head h of step s has the loss 10 s + h."""
    loss = DeepSupervisionLoss(nn.L1Loss(), weights=[1.0, 0.4, 0.3])
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.25)
    score = Engine(lambda engine, batch: None)
    score.state.metrics, score.state.epoch = {"val_mean_dice": 0.5}, 2
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
