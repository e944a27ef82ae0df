"""The two networks in formats that other programs load: all heads as logits of liver minus rest."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from liverseg.heads import LiverHeads

EXAMPLE_SIDE = 32  # voxels of the image that a network is traced with, a multiple of its stride
ONNX_OPSET = 17
AXES = {2: "x", 3: "y", 4: "z"}  # of any length that is a multiple of the stride


def to_torchscript(network: nn.Module, path: Path) -> None:
    """The network itself, scripted, so that any size goes; ``all_heads`` gives all of them.

    Args:
        network: as trained, in evaluation mode.
        path: the file, usually .ts.
    """
    scripted = torch.jit.script(network)
    torch.jit.save(scripted, str(path))


def to_onnx(network: nn.Module, path: Path) -> None:
    """(1, C, X, Y, Z) "image" to (1, heads, X, Y, Z) "logit"; sizes are multiples of the stride.

    Args:
        network: as trained, in evaluation mode.
        path: the file, usually .onnx.
    """
    heads = LiverHeads(network).eval()
    example = torch.zeros(1, heads.in_channels, *[EXAMPLE_SIDE] * 3)
    with warnings.catch_warnings():
        # The exporter by tracing is deprecated; the other one fixes sizes and needs onnxscript.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            heads,
            (example,),
            str(path),
            dynamo=False,
            input_names=["image"],
            output_names=["logit"],
            dynamic_axes={"image": AXES, "logit": AXES},
            opset_version=ONNX_OPSET,
        )


def to_openvino(network: nn.Module, path: Path) -> None:
    """As to_onnx, for OpenVINO; the weights lie beside the .xml, in float32.

    Args:
        network: as trained, in evaluation mode.
        path: the .xml file.
    """
    import openvino

    from liverseg.openvino_models import translated

    openvino.save_model(translated(LiverHeads(network).eval()), path, compress_to_fp16=False)


def to_safetensors(network: nn.Module, path: Path) -> None:
    """The weights alone, without pickle.

    Args:
        network: as trained.
        path: the file, usually .safetensors.
    """
    from safetensors.torch import save_file

    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)


# Format to what writes it and the file name's end.
FORMATS: dict[str, tuple[Callable[[nn.Module, Path], None], str]] = {
    "torchscript": (to_torchscript, ".ts"),
    "onnx": (to_onnx, ".onnx"),
    "openvino": (to_openvino, ".xml"),
    "safetensors": (to_safetensors, ".safetensors"),
}


def export(
    networks: Mapping[str, nn.Module], folder: str | Path, formats: Sequence[str] = tuple(FORMATS)
) -> list[Path]:
    """Write networks in several formats.

    Args:
        networks: file name without its end to network.
        folder: made when missing.
        formats: keys of FORMATS.

    Returns:
        The files, those beside an OpenVINO .xml left out.

    Raises:
        ValueError: there is no such format, or what writes it is not installed.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise ValueError(f"formats should be of {', '.join(FORMATS)}; got {', '.join(unknown)}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    written = []
    for kind in formats:
        write, end = FORMATS[kind]
        for name, network in networks.items():
            path = Path(folder) / f"{name}{end}"
            try:
                write(network.cpu().eval(), path)
            except ImportError as error:
                raise ValueError(
                    f"{kind} needs {error.name}: pip install 'liverseg[export]'"
                ) from error
            written.append(path)
    return written
