"""The command, to be sent a signal: run by test_cli.py as a program of its own."""

from __future__ import annotations

import os
import signal
import sys

import torch
from tiny_pipeline import Source

import liverseg.batch
from liverseg import cli


def interrupts(image: torch.Tensor) -> torch.Tensor:
    """A network during which somebody presses Ctrl-C."""
    os.kill(os.getppid(), signal.SIGINT)
    signal.pause()
    return image


def terminates(image: torch.Tensor) -> torch.Tensor:
    """A network during which the system shuts down."""
    os.kill(os.getppid(), signal.SIGTERM)
    signal.pause()
    return image


def hangs_up(image: torch.Tensor) -> torch.Tensor:
    """A network during which the terminal is closed."""
    os.kill(os.getppid(), signal.SIGHUP)
    signal.pause()
    return image


if __name__ == "__main__":
    # The function that is pickled must be one that the other process can import.
    import signalled_command

    source = Source(network=getattr(signalled_command, sys.argv[1]))
    liverseg.batch.BundlePipeline = lambda device, **options: source  # type: ignore[assignment,misc]
    sys.exit(cli.main(sys.argv[2:]))
