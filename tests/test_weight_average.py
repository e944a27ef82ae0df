"""The average of the weights, by pencil, and after a resume."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from liverseg.weight_average import ClipGradients, WeightAverage


def network(weight: float) -> nn.Linear:
    linear = nn.Linear(1, 1, bias=False)
    nn.init.constant_(linear.weight, weight)
    return linear


def test_average_moves_by_what_the_decay_leaves() -> None:
    """Step 0 keeps 1/10 of what was: 0.1 * 0 + 0.9 * 1; step 1 keeps 2/11."""
    trained = network(0.0)
    average = WeightAverage(trained, decay=0.9)
    nn.init.constant_(trained.weight, 1.0)
    average(Engine(lambda engine, batch: None))
    assert float(average.network.weight) == pytest.approx(0.9)
    nn.init.constant_(trained.weight, 2.0)
    average(Engine(lambda engine, batch: None))
    assert float(average.network.weight) == pytest.approx(0.9 * 2 / 11 + 2.0 * 9 / 11)


def test_average_follows_counts_and_running_statistics() -> None:
    trained = nn.BatchNorm1d(1)
    average = WeightAverage(trained, decay=0.0)
    trained(torch.tensor([[1.0], [3.0]]))
    average(Engine(lambda engine, batch: None))
    assert int(average.network.num_batches_tracked) == 1
    assert torch.equal(average.network.running_mean, trained.running_mean)


def test_resumed_average_goes_on_where_it_was() -> None:
    trained = network(1.0)
    first = WeightAverage(trained, decay=0.9)
    nn.init.constant_(trained.weight, 5.0)
    first(Engine(lambda engine, batch: None))
    second = WeightAverage(network(0.0), decay=0.9)
    second.load_state_dict(first.state_dict())
    assert second.steps == 1
    assert torch.equal(second.network.weight, first.network.weight)


def test_decay_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="decay"):
        WeightAverage(network(0.0), decay=1.0)


def test_gradients_are_scaled_down_to_the_norm() -> None:
    trained = network(1.0)
    trained.weight.grad = torch.tensor([[30.0]])
    ClipGradients(trained, 5.0)(Engine(lambda engine, batch: None))
    assert float(trained.weight.grad) == pytest.approx(5.0, rel=1e-4)
