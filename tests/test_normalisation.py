"""Fixed statistics: the network is trained as it is used, from an epoch on and after a resume."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from torch import nn

from liverseg.normalisation import FixedStatistics, fix_statistics
from liverseg.weight_average import WeightAverage


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2), nn.ReLU())


def trainer(net: nn.Module, average: WeightAverage, after_epochs: int) -> Engine:
    """An engine that, as MONAI's, sets the network to training before each step."""

    def step(engine: Engine, batch: torch.Tensor) -> None:
        net.train()
        net(batch)

    engine = Engine(step)
    FixedStatistics(net, average, after_epochs).attach(engine)
    return engine


def test_statistics_move_before_and_are_fixed_after() -> None:
    net = network()
    average = WeightAverage(net, decay=0.5)
    means: list[torch.Tensor] = []
    engine = trainer(net, average, after_epochs=2)
    average.attach(engine)
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: means.append(net[1].running_mean.clone())
    )
    batches = [torch.randn(1, 1, 4, 4, 4) + 5 for _ in range(3)]
    engine.run(batches, max_epochs=4)
    assert not torch.equal(means[0], means[1])
    assert torch.equal(means[2], means[3])
    assert net.training  # the answer is still that of training: all heads
    assert torch.equal(net(batches[0]), net.eval()(batches[0]))


def test_network_becomes_its_average_when_the_statistics_are_fixed() -> None:
    net = network()
    average = WeightAverage(net)
    nn.init.constant_(net[0].weight, 7.0)
    trainer(net, average, after_epochs=0).run([torch.zeros(1, 1, 2, 2, 2)], max_epochs=1)
    assert torch.equal(net[0].weight, average.network[0].weight)


def test_resume_keeps_the_weights_and_fixes_the_statistics() -> None:
    net = network()
    average = WeightAverage(net)
    nn.init.constant_(net[0].weight, 7.0)
    engine = trainer(net, average, after_epochs=1)
    # As ResumableCheckpoint does: the state is set when the trainer starts.
    engine.add_event_handler(Events.STARTED, lambda: setattr(engine.state, "epoch", 2))
    before = net[1].running_mean.clone()
    engine.run([torch.ones(1, 1, 2, 2, 2)], max_epochs=3)
    assert engine.state.epoch == 3
    assert bool((net[0].weight == 7.0).all())
    assert torch.equal(net[1].running_mean, before)


def test_gradients_reach_the_scale_and_shift_of_fixed_statistics() -> None:
    net = network().train()
    fix_statistics(net)
    net(torch.randn(2, 1, 4, 4, 4)).sum().backward()
    assert float(net[1].weight.grad.abs().sum()) > 0


def test_network_without_batch_normalisation_is_left_alone() -> None:
    net = nn.Sequential(nn.Conv3d(1, 1, 1))
    average = WeightAverage(net)
    nn.init.constant_(net[0].weight, 7.0)
    trainer(net, average, after_epochs=0).run([torch.zeros(1, 1, 2, 2, 2)], max_epochs=1)
    assert net[0].weight.item() == 7.0
