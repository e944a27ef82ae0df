"""Exports: the same logits from every format, at a size that none was traced with."""

from __future__ import annotations

from pathlib import Path

import monai.bundle
import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from liverseg.bundle_files import bundle_root
from liverseg.dsn import DSN
from liverseg.export import FORMATS, export
from liverseg.heads import LiverHeads

TOLERANCE = 1e-4


def small(in_channels: int) -> DSN:
    """A small network with running statistics of its own."""
    torch.manual_seed(0)
    made = DSN(
        in_channels=in_channels,
        out_channels=9 if in_channels == 1 else 2,
        channels=(4, 4, 8, 8, 8, 8),
        kernel_sizes=((3, 3, 3),) * 6,
        norm="batch",
        init="he",
        skips=True,
    )
    made.train()(torch.rand(2, in_channels, 16, 16, 16))
    return made.eval()


def shipped(name: str) -> nn.Module:
    """A network of the bundle, with its weights."""
    parser = ConfigParser()
    parser.read_config(bundle_root() / "configs" / "inference.yaml")
    loaded, network = {
        "coarse": ("coarse_loaded", "coarse_network_def"),
        "fine": ("loaded", "network_def"),
    }[name]
    assert parser.get_parsed_content(loaded)
    made: nn.Module = parser.get_parsed_content(network)
    return made.eval()


@pytest.fixture(params=["small coarse", "small fine", "shipped coarse", "shipped fine"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    size, name = request.param.split()
    return shipped(name) if size == "shipped" else small(1 if name == "coarse" else 2)


@pytest.fixture
def image(network: nn.Module) -> torch.Tensor:
    return torch.rand(1, network.in_channels, 24, 28, 20)


def expected(network: nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        heads: torch.Tensor = LiverHeads(network).eval()(image)
    return heads


def test_torchscript_gives_every_head(
    network: nn.Module, image: torch.Tensor, tmp_path: Path
) -> None:
    (path,) = export({"model": network}, tmp_path, ["torchscript"])
    loaded = torch.jit.load(str(path))
    with torch.no_grad():
        heads = zip(loaded.all_heads(image), network.all_heads(image), strict=True)
    assert all(torch.allclose(a, b, atol=TOLERANCE) for a, b in heads)


def test_onnx_gives_every_head(network: nn.Module, image: torch.Tensor, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    (path,) = export({"model": network}, tmp_path, ["onnx"])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (answer,) = session.run(["logit"], {"image": image.numpy()})
    assert torch.allclose(torch.from_numpy(answer), expected(network, image), atol=TOLERANCE)


def test_openvino_gives_every_head(network: nn.Module, image: torch.Tensor, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    (path,) = export({"model": network}, tmp_path, ["openvino"])
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = torch.from_numpy(compiled(image.numpy())[0])
    assert torch.allclose(answer, expected(network, image), atol=TOLERANCE)


def test_safetensors_hold_the_weights_exactly(network: nn.Module, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    (path,) = export({"model": network}, tmp_path, ["safetensors"])
    loaded = safetensors.load_file(path)
    assert set(loaded) == set(network.state_dict())
    assert all(torch.equal(loaded[key], value) for key, value in network.state_dict().items())


def test_unknown_format_is_named(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"of {', '.join(FORMATS)}; got tensorrt"):
        export({"model": network}, tmp_path, ["tensorrt"])


@pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")
def test_bundle_exports_both_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVERSEG_OUTPUT", str(tmp_path))
    configs = bundle_root() / "configs"
    monai.bundle.run(
        "exporting",
        config_file=[str(configs / name) for name in ("inference.yaml", "export.yaml")],
        formats=["torchscript"],
        logging_file=False,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coarse.ts", "model.ts"]
    weights = torch.load(bundle_root() / "models" / "model.pt", weights_only=True)
    exported = torch.jit.load(str(tmp_path / "model.ts")).state_dict()
    assert all(torch.equal(exported[key], value) for key, value in weights.items())
