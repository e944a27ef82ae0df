"""The optimiser: even steps for kernels, AdamW for the rest, resumable."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from liverseg.dsn import DSN
from liverseg.muon import ADAM_SIZE, Muon, orthogonalised


@pytest.mark.parametrize("shape", [(8, 200), (200, 8), (16, 16)])
def test_singular_values_become_even_and_directions_stay(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    left, sizes, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    sizes = sizes.max() * torch.logspace(0, -1.5, len(sizes))
    even = orthogonalised(left * sizes @ right)
    inner = left.T @ even @ right.T  # diagonal where the directions are the same
    assert torch.allclose(inner, torch.diag(inner.diagonal()), atol=1e-4)
    assert inner.diagonal().min() > 0.5
    assert inner.diagonal().max() < 1.3


def test_a_direction_that_is_absent_stays_absent() -> None:
    column, row = torch.randn(6, 1), torch.randn(1, 9)
    even = orthogonalised(column @ row)
    assert torch.linalg.matrix_rank(even, rtol=1e-3) == 1
    assert torch.equal(orthogonalised(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_the_step_does_not_depend_on_the_size_of_the_gradient_and_is_as_large_as_adams() -> None:
    steps = []
    for size in (1e-3, 1e3):
        torch.manual_seed(0)
        kernel = nn.Parameter(torch.zeros(16, 8, 3, 3, 3))
        kernel.grad = size * torch.randn_like(kernel)
        Muon([kernel], lr=0.5, weight_decay=0).step()
        assert float((kernel.detach() * kernel.grad).sum()) < 0
        steps.append(kernel.detach())
    assert torch.allclose(*steps, rtol=1e-3, atol=1e-5)
    assert float(steps[0].square().mean().sqrt()) == pytest.approx(0.5 * ADAM_SIZE, rel=0.2)


def test_the_layout_in_memory_changes_nothing() -> None:
    kernels = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        torch.manual_seed(0)
        kernel = nn.Parameter(torch.randn(4, 6, 3, 3, 3).to(memory_format=layout))
        optimizer = Muon([kernel])
        for _ in range(3):
            kernel.grad = torch.randn(4, 6, 3, 3, 3).to(memory_format=layout)
            optimizer.step()
        kernels.append(kernel.detach())
    assert torch.allclose(*kernels, atol=1e-6)


def test_biases_are_taken_by_adamw() -> None:
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(7))
    theirs = nn.Parameter(ours.detach().clone())
    both = Muon([ours], lr=0.01, weight_decay=0.1)
    adam = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1)
    for _ in range(5):
        ours.grad = torch.randn(7)
        theirs.grad = ours.grad.clone()
        both.step()
        adam.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_kernel_decays_by_the_learning_rate_times_the_decay() -> None:
    kernel = nn.Parameter(torch.ones(3, 4))
    kernel.grad = torch.zeros(3, 4)
    Muon([kernel], lr=0.5, weight_decay=0.1).step()
    assert torch.allclose(kernel, torch.full((3, 4), 0.95))


def test_what_has_no_gradient_stays_and_a_closure_is_evaluated() -> None:
    kernel = nn.Parameter(torch.ones(3, 4))
    frozen = nn.Parameter(torch.ones(3, 4))

    def closure() -> torch.Tensor:
        loss = (kernel * kernel).sum()
        loss.backward()
        return loss

    assert Muon([kernel, frozen]).step(closure).item() == 12
    assert torch.equal(frozen, torch.ones(3, 4))
    assert not torch.equal(kernel, torch.ones(3, 4))


def test_state_that_is_saved_and_loaded_goes_on_as_if_never_stopped() -> None:
    torch.manual_seed(0)
    network = DSN(channels=[2, 2, 2, 2, 2, 2], kernel_sizes=[[3, 3, 3]] * 6, norm="batch")
    optimizer = Muon(network.parameters())

    def step(net: DSN, opt: Muon, seed: int) -> None:
        image = torch.rand(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(seed))
        opt.zero_grad()
        sum(head.square().mean() for head in net(image)).backward()
        opt.step()

    step(network, optimizer, 1)
    other = copy.deepcopy(network)
    resumed = Muon(other.parameters())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in (2, 3):
        step(network, optimizer, seed)
        step(other, resumed, seed)
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_wrong_settings_are_refused_in_one_line() -> None:
    for settings in ({"lr": -1.0}, {"momentum": 1.0}, {"weight_decay": -0.1}):
        with pytest.raises(ValueError, match="are wanted; got"):
            Muon([nn.Parameter(torch.ones(2, 2))], **settings)
