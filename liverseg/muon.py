"""An optimiser that turns every kernel's step into one of even strength in all directions.

Adam scales each weight's gradient alone. Muon takes a kernel as the matrix that it is, output
channels by everything that reaches them (of a transposed one, input channels by everything that
they reach), and replaces the averaged gradient by the nearest matrix whose singular values are
equal: rare directions are learnt as fast as common ones (benchmarks/trials.md has what it brings).

References:
    [1] Jordan et al.: Muon: An optimizer for hidden layers in neural networks. 2024,
        https://kellerjordan.github.io/posts/muon/. The averaged gradient and the iteration.
    [2] Liu et al.: Muon is Scalable for LLM Training. 2025, arXiv 2502.16982. A step as large as
        Adam's, so that both parts share a learning rate.
    [3] Loshchilov, Hutter: Decoupled Weight Decay Regularization. ICLR 2019. AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

# Of the quintic whose repetition brings singular values in (0, 1] to about 1, from [1].
QUINTIC = (3.4445, -4.7750, 2.0315)
REPETITIONS = 5
ADAM_SIZE = 0.2  # root mean square of AdamW's step over its learning rate, from [2]
BETAS = (0.9, 0.999)  # of the part that is AdamW
EPS = 1e-8


class Muon(torch.optim.Optimizer):
    """Muon for kernels, AdamW for what has one axis: biases and normalisation.

    torch.optim.Muon takes matrices only; a kernel (out, in, x, y, z) is one here, (out, in x y z),
    and a transposed one (in, out, x, y, z) is (in, out x y z).

    Args:
        params: of a network.
        lr: learning rate of both parts.
        momentum: share of a kernel's averaged gradient that stays in a step (Nesterov).
        weight_decay: decoupled, of both parts.

    Raises:
        ValueError: if the learning rate or the decay is negative, or the momentum is not from 0
            to below 1.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 0.003,
        momentum: float = 0.95,
        weight_decay: float = 1e-4,
    ) -> None:
        if not lr >= 0 or not weight_decay >= 0 or not 0 <= momentum < 1:
            raise ValueError(
                "a learning rate and a weight decay of at least 0 and a momentum from 0 to below 1 "
                f"are wanted; got {lr}, {weight_decay} and {momentum}"
            )
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step.

        Args:
            closure: evaluates the loss again, with gradients.

        Returns:
            What it returns, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                way = self._even(weight.grad, state, group["momentum"])
                weight.add_(way, alpha=-group["lr"])
        return loss

    def _even(self, gradient: torch.Tensor, state: dict[str, Any], momentum: float) -> torch.Tensor:
        """The step of a weight for a learning rate of 1."""
        if gradient.dim() < 2:
            return _adam(gradient, state)
        if not state:
            state["average"] = torch.zeros_like(gradient)
        average = state["average"].lerp_(gradient, 1 - momentum)
        matrix = gradient.lerp(average, momentum).flatten(1)
        size = ADAM_SIZE * math.sqrt(max(matrix.shape))
        return (size * orthogonalised(matrix)).view(gradient.shape)


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """About the nearest matrix whose singular values are equal, by the iteration of [1].

    Args:
        matrix: (rows, columns) float.

    Returns:
        (rows, columns) with singular values from about 0.7 to 1.2; those below about 0.005 of the
        matrix's norm stay smaller, and 0 stays 0.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x: torch.Tensor = (matrix if wide else matrix.T).float()
    x = x / (x.norm() + EPS)
    a, b, c = QUINTIC
    for _ in range(REPETITIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x if wide else x.T


def _adam(gradient: torch.Tensor, state: dict[str, Any]) -> torch.Tensor:
    """AdamW's step for a learning rate of 1, without the decay."""
    if not state:
        state["step"] = 0
        state["exp_avg"] = torch.zeros_like(gradient)
        state["exp_avg_sq"] = torch.zeros_like(gradient)
    state["step"] += 1
    first, second = BETAS
    state["exp_avg"].lerp_(gradient, 1 - first)
    state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
    mean: torch.Tensor = state["exp_avg"] / (1 - first ** state["step"])
    spread: torch.Tensor = (state["exp_avg_sq"] / (1 - second ** state["step"])).sqrt()
    return mean / (spread + EPS)
