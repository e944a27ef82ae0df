"""What interrupts.py tests, in a process of its own.

Tests that use an openvino.Core of their own may leave a signal stack behind that is not there any
more (`liverseg.openvino_models.core`): after them a signal may end this process at once.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_interrupts_in_a_process_of_their_own() -> None:
    path = Path(__file__).with_name("interrupts.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:]
