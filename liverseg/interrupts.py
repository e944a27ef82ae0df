"""Ctrl-C, SIGTERM and SIGHUP: what they may not cut in two, and what a second one does.

Python raises what these signals mean in the main thread only; in any other both blocks do nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[int, "FrameType | None"], Any]

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
# The second comes in the middle of the tidying; should that hang, the third ends it.
RAISED_AGAIN = 3


class _First:
    """Passes on the first signal, and from the third on."""

    def __init__(self) -> None:
        self.before: dict[int, Handler] = {}
        self._count = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count == 1 or self._count >= RAISED_AGAIN:
            self.before[number](number, frame)


class _Held:
    """Keeps signals for later."""

    def __init__(self) -> None:
        self.before: dict[int, Handler] = {}
        self.number: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.number = number


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Raise the first interrupt in the block; the second does not cut its tidying short.

    Within another such block it does nothing: there is one count.
    """
    if any(isinstance(signal.getsignal(number), _First) for number in SIGNALS):
        yield
        return
    with _handled_by(_First()):
        yield


@contextmanager
def held_back() -> Iterator[None]:
    """Raise an interrupt at the end of the block, not in its middle."""
    held = _Held()
    try:
        with _handled_by(held):
            yield
    finally:
        if held.number is not None:
            held.before[held.number](held.number, None)


@contextmanager
def _handled_by(handler: _First | _Held) -> Iterator[None]:
    """Have all signals handled so; what is ignored, or ends the process at once, stays so."""
    if threading.current_thread() is threading.main_thread():
        befores = {number: signal.getsignal(number) for number in SIGNALS}
        handler.before = {number: now for number, now in befores.items() if callable(now)}
    # Each is put back, also when one comes while another is.
    with ExitStack() as stack:
        for number, before in handler.before.items():
            stack.callback(signal.signal, number, before)
            signal.signal(number, handler)
        yield
