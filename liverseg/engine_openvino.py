"""The engine for the CPU: OpenVINO, one compiled model for each size, translations kept on disk."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from liverseg.engine_torch import without_batch_norms
from liverseg.heads import LiverHeads
from liverseg.openvino_models import core, kept_model

# A scan has one size of tile, two where the last one is narrower; the next scan has others.
MOST_SIZES = 2


class OpenVinoEngine(nn.Module):
    """A network that OpenVINO runs on the CPU.

    Args:
        network: in evaluation mode; it stays as it is.
        amp: whether it computes in bfloat16.
    """

    def __init__(self, network: nn.Module, amp: bool = True) -> None:
        super().__init__()
        self.heads = LiverHeads(without_batch_norms(network)).eval().requires_grad_(False)
        self.halo = self.heads.halo
        self.stride = self.heads.stride
        self.in_channels = self.heads.in_channels
        self.precision = "bf16" if amp else "f32"
        self.name = f"openvino-{self.precision}"
        self._model: Any = None
        self._compiled: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logit differences of all heads.

        Args:
            image: (1, C, X, Y, Z) float on the CPU.

        Returns:
            (1, heads, X, Y, Z) float32.
        """
        x, y, z = image.shape[2:]
        # What is translated knows no other sizes than multiples of the stride.
        stride = self.stride or 1
        padding = [0, -z % stride, 0, -y % stride, 0, -x % stride]
        if any(padding):
            image = functional.pad(image, padding)
        request = self._request(tuple(image.shape))
        answer = request.infer([image.float().contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(next(iter(answer.values())))[:, :, :x, :y, :z]

    def __getstate__(self) -> dict[str, Any]:
        """All but what is compiled, which no other process can use."""
        return {**self.__dict__, "_model": None, "_compiled": OrderedDict()}

    def _request(self, shape: tuple[int, ...]) -> Any:
        """What runs the model compiled for a shape: one of fixed sizes is a quarter faster."""
        if shape in self._compiled:
            self._compiled.move_to_end(shape)
            return self._compiled[shape]
        if self._model is None:
            self._model = kept_model(self.heads)
        model = self._model.clone()
        model.reshape(list(shape))
        settings = {"INFERENCE_PRECISION_HINT": self.precision, "PERFORMANCE_HINT": "LATENCY"}
        # A compiled model keeps the memory of its last pass, so few are kept.
        while len(self._compiled) >= MOST_SIZES:
            self._compiled.popitem(last=False)
        compiled = core().compile_model(model, "CPU", settings)
        self._compiled[shape] = compiled.create_infer_request()
        return self._compiled[shape]
