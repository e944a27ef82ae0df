"""Networks translated for OpenVINO, kept in the user's cache folder under a hash of all they are.

A model is a folder that is renamed into place when it is whole, so that several processes can
look for it, make it and find it at the same time. Where the folder cannot be written, nothing is
kept.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import tempfile
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch

from liverseg import __version__
from liverseg.cache import is_kept, user_cache
from liverseg.heads import LiverHeads

logger = logging.getLogger(__name__)

MODEL_FILE = "model.xml"  # its weights are beside it
EXAMPLE_SIDE = 32  # voxels of the image that a network is translated with, any multiple of 4
PRIVATE_MODE = 0o700


@cache
def core() -> Any:
    """The one openvino.Core of this process, kept to its end.

    Each sets an alternate signal stack and puts the one before back when it goes (OpenVINO 2026.4);
    where two go in the order they came in, the one that is left is not there any more, and the
    next signal, such as Ctrl-C's, ends the process.
    """
    import openvino

    return openvino.Core()


def kept_model(heads: LiverHeads) -> Any:
    """The network as an OpenVINO model of any size, from the cache or translated now.

    Args:
        heads: on the CPU, float32, in evaluation mode.

    Returns:
        An openvino.Model.
    """
    place = user_cache() / "openvino" / _key(heads)
    if is_kept(place) and _is_ours(place.parent):
        try:
            return core().read_model(place / MODEL_FILE)
        except RuntimeError:
            logger.debug("a kept model was damaged; it is made again")
            shutil.rmtree(place, ignore_errors=True)
    model = translated(heads)
    try:
        _keep(model, place)
    except (OSError, RuntimeError) as error:
        logger.debug("the translated model is not kept: %s", type(error).__name__)
    return model


def translated(heads: LiverHeads) -> Any:
    """The network as an OpenVINO model of any size that is a multiple of the stride.

    Args:
        heads: on the CPU, float32, in evaluation mode.

    Returns:
        An openvino.Model.
    """
    # openvino.convert_model would do the same and send statistics of it.
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(1, heads.in_channels, *[EXAMPLE_SIDE] * 3)
    with warnings.catch_warnings(), torch.no_grad():
        # torch's tracing has no annotations and is deprecated; OpenVINO reads nothing else at any
        # size.
        warnings.simplefilter("ignore")
        traced: Any = torch.jit.trace(heads, example, check_trace=False)  # type: ignore[no-untyped-call]
        # All of these have to live until the model is made.
        decoder = TorchScriptPythonDecoder(traced)
        manager = FrontEndManager()
        frontend = manager.load_by_framework("pytorch")
        read = frontend.load(decoder)
        return frontend.convert(read)


def _key(heads: LiverHeads) -> str:
    """A hash of the layers, the weights, and the versions that translate them."""
    from importlib.metadata import version

    parts = [str(heads), __version__, version("openvino"), version("torch")]
    digest = hashlib.sha256("\0".join(parts).encode())
    for name, tensor in sorted(heads.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can have put a model there."""
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _keep(model: Any, place: Path) -> None:
    import openvino

    place.parent.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=place.parent))
    try:
        openvino.save_model(model, temporary / MODEL_FILE, compress_to_fp16=False)
        if not place.exists():  # another process may just have been quicker
            temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
