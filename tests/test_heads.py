"""Every head as the logit of liver against all the rest."""

from __future__ import annotations

import torch
from torch import nn

from liverseg.dsn import DSN
from liverseg.heads import LiverHeads, liver_logit

KERNELS = ((3, 3, 3),) * 5 + ((1, 1, 1),)


def test_all_heads_of_a_network_come_as_differences() -> None:
    torch.manual_seed(0)
    network = DSN(channels=(2, 2, 3, 3, 4, 4), kernel_sizes=KERNELS, init="he").eval()
    image = torch.rand(1, 1, 9, 8, 7)
    with torch.no_grad():
        answer = LiverHeads(network)(image)
        heads = network.all_heads(image)
    assert answer.shape == (1, 3, 9, 8, 7)
    for number, head in enumerate(heads):
        assert torch.allclose(answer[:, number], head[:, 1] - head[:, 0])


def test_sigmoid_of_the_difference_is_the_softmax_of_the_liver() -> None:
    logits = torch.randn(2, 5, 4, 3, 2)
    wanted = torch.softmax(logits, dim=1)[:, 1:2]
    assert torch.allclose(torch.sigmoid(liver_logit(logits)), wanted, atol=1e-6)


def test_one_class_is_its_own_logit() -> None:
    logits = torch.randn(2, 1, 4, 3, 2)
    assert torch.equal(liver_logit(logits), logits)


def test_a_network_of_one_head_gives_one_and_keeps_its_reach() -> None:
    network = LiverHeads(nn.Conv3d(2, 2, 1))
    assert network(torch.rand(1, 2, 4, 4, 4)).shape == (1, 1, 4, 4, 4)
    assert (network.halo, network.stride, network.in_channels) == (None, None, 2)
