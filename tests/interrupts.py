"""What a second Ctrl-C does, and one in the middle of what is whole; test_interrupts.py runs it."""

from __future__ import annotations

import signal
import threading

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


def test_second_interrupt_does_not_cut_the_tidying_short() -> None:
    tidied = []
    with pytest.raises(KeyboardInterrupt), interrupted_once():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            tidied.append("whole")
    assert tidied == ["whole"]


def test_third_interrupt_ends_a_tidying_that_hangs() -> None:
    tidied = []
    with pytest.raises(KeyboardInterrupt), interrupted_once():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            tidied.append("whole")
    assert not tidied


@pytest.mark.usefixtures("terminated")
def test_termination_after_an_interrupt_is_a_second_one() -> None:
    tidied = []
    with pytest.raises(KeyboardInterrupt), interrupted_once():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            tidied.append("whole")
    assert tidied == ["whole"]


def test_block_within_a_block_has_the_same_count() -> None:
    tidied = []
    with pytest.raises(KeyboardInterrupt), interrupted_once():
        try:
            with interrupted_once():
                signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            tidied.append("whole")
    assert tidied == ["whole"]


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


def test_one_that_is_held_counts_as_the_first() -> None:
    tidied = []
    with pytest.raises(KeyboardInterrupt), interrupted_once():
        try:
            with held_back():
                signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)
            tidied.append("whole")
    assert tidied == ["whole"]


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
