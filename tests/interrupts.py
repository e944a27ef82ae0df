"""What a second Ctrl-C does, and one in the middle of what is whole; test_interrupts.py runs it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

from liverseg.interrupts import held_back, interrupted_once

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def terminated() -> object:
    """SIGTERM as the command has it: an exception."""

    def raised(number: int, frame: object) -> None:
        raise SystemExit(number)

    before = signal.signal(signal.SIGTERM, raised)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("terminated")
@pytest.mark.parametrize(
    ("first", "later", "is_whole"),
    [
        (nullcontext, (signal.SIGINT,), True),
        (nullcontext, (signal.SIGTERM,), True),
        (nullcontext, (signal.SIGINT, signal.SIGINT), False),  # should the tidying hang
        (interrupted_once, (signal.SIGINT,), True),  # there is one count
        (held_back, (signal.SIGINT,), True),
    ],
)
def test_second_signal_does_not_cut_the_tidying_short_and_a_third_does(
    first: Callable[[], AbstractContextManager[None]],
    later: tuple[signal.Signals, ...],
    is_whole: bool,
) -> None:
    tidied = []
    with pytest.raises(KeyboardInterrupt), interrupted_once():
        try:
            with first():
                signal.raise_signal(signal.SIGINT)
        finally:
            for number in later:
                signal.raise_signal(number)
            tidied.append("whole")
    assert bool(tidied) == is_whole


@pytest.mark.usefixtures("terminated")
@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_interrupt_waits_for_the_end_of_what_is_held(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    done = []
    with pytest.raises(raised), held_back():
        signal.raise_signal(number)
        done.append("whole")
    assert done == ["whole"]


def test_interrupt_is_not_lost_when_what_is_held_fails() -> None:
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.raise_signal(signal.SIGINT)
        raise OSError


@pytest.mark.usefixtures("terminated")
@pytest.mark.parametrize("block", [held_back, interrupted_once])
def test_handlers_are_as_before_afterwards(block: type) -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with block():
        assert [signal.getsignal(number) for number in BOTH] != before
    assert [signal.getsignal(number) for number in BOTH] == before


@pytest.mark.parametrize("block", [held_back, interrupted_once])
def test_ignored_signal_stays_ignored(block: type) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with block():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("block", [held_back, interrupted_once])
def test_other_threads_have_no_signals_to_handle(block: type) -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def inside() -> None:
        with block():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
