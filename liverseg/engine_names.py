"""The names of the engines, told without torch."""

from __future__ import annotations

import os

ENGINES = ("auto", "torch", "openvino")
ENGINE_VARIABLE = "LIVERSEG_ENGINE"


def engine_from_environment() -> str:
    """The engine that the environment variable LIVERSEG_ENGINE names, else "auto".

    Raises:
        ValueError: it names none of ENGINES.
    """
    name = os.environ.get(ENGINE_VARIABLE) or "auto"
    if name not in ENGINES:
        raise ValueError(f"{ENGINE_VARIABLE} should be one of {', '.join(ENGINES)}; got {name}")
    return name
