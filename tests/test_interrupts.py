"""What interrupts.py tests, in a process of its own.

Something that other tests load leaves an alternate signal stack behind that is not there any more:
after them any signal whose handler Python has set ends this process at once.
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
