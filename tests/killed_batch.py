"""A batch to be killed: run by test_kill.py as a program of its own, which a test may end."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import torch
from tiny_pipeline import Source, threshold

from liverseg.batch import run_batch
from liverseg.case import Segmentation
from liverseg.limits import Limits

OUTPUTS = ("nifti", "dicom-seg", "dicom-sr", "report")
# Scans in work when the batch is killed, on any machine.
WORKERS = 2
# Which of the files that are put in their place the batch ends at, counted in each process.
LAST_FILE = "LIVERSEG_TEST_LAST_FILE"


def dawdling(image: torch.Tensor) -> torch.Tensor:
    """Long enough that a random moment may be in the middle of a scan."""
    end_at_file()
    time.sleep(0.1)
    return threshold(image)


def end_at_file() -> None:
    """End the whole batch at the moment when the file of that number is to get its name."""
    last = os.environ.get(LAST_FILE)
    if last is None or getattr(Path.replace, "counts", False):
        return
    put, left = Path.replace, [int(last)]

    def counted(self: Path, target: str | Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            batch = os.getppid() if "killed_batch" not in sys.argv[0] else os.getpid()
            os.kill(batch, signal.SIGKILL)
            signal.pause()
        return put(self, target)

    counted.counts = True  # type: ignore[attr-defined]
    Path.replace = counted  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    inputs, output = map(Path, sys.argv[1:3])
    if os.environ.get(LAST_FILE, "").startswith("-"):
        # A negative number counts the tables of the batch's own process.
        os.environ[LAST_FILE] = os.environ[LAST_FILE][1:]
        end_at_file()
        os.environ.pop(LAST_FILE)
    # The class that is pickled must be one that the other process can import.
    import killed_batch

    source = Source(network=killed_batch.dawdling)
    job = Segmentation(output, source, OUTPUTS)
    run_batch([inputs], output, job, limits=Limits(workers=WORKERS))
