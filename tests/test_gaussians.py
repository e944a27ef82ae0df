"""Expansions of a Gaussian against the Gaussian itself."""

from __future__ import annotations

import math

import pytest
import torch

from liverseg.gaussians import expansion, gaussian, levels_of


def test_gaussian_of_two_places_is_its_formula() -> None:
    found = gaussian(torch.tensor([0.0, 3.0]), 2.0, torch.tensor([1.0]))
    assert found.flatten().tolist() == pytest.approx([math.exp(-1 / 8), math.exp(-4 / 8)])


@pytest.mark.parametrize(("sigma", "rank"), [(1.0, 50), (6.0, 50), (20.0, 11), (1000.0, 3)])
def test_expansion_is_the_gaussian_with_few_columns(sigma: float, rank: int) -> None:
    places = torch.arange(50) * 2.0
    factor = expansion(places, sigma)
    assert (factor.double() @ factor.double().T - gaussian(places, sigma)).abs().max() < 1e-3
    assert factor.shape[1] <= rank


def test_expansion_holds_between_its_nodes() -> None:
    nodes, places = torch.linspace(0, 10, 41), torch.linspace(0, 10, 333)
    factor = expansion(nodes, 2.0, places).double()
    assert (factor @ factor.T - gaussian(places, 2.0)).abs().max() < 2e-3


def test_levels_are_where_the_values_are() -> None:
    image = torch.tensor([-100.0, 0.0, 250.0]).view(3, 1, 1)
    table, level = levels_of(image, 20.0)
    rows = table[level.flatten().long()].double()
    expected = gaussian(image.flatten(), 20.0)
    assert (rows @ rows.T - expected).abs().max() < 0.01


def test_values_that_are_all_one_have_one_level() -> None:
    table, level = levels_of(torch.full((2, 2, 2), 40.0), 20.0)
    assert bool((level == 0).all())
    assert float((table[0] ** 2).sum()) == pytest.approx(1.0, abs=1e-3)
