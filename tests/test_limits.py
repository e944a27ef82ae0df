"""What one scan may use, and what the system tells of it."""

from __future__ import annotations

import math
import os
import sys

import pytest

from liverseg.limits import Limits, machine_bytes, resident_bytes

MIB = 1 << 20


@pytest.mark.parametrize("timeout_s", [0, -1, math.nan, math.inf])
def test_time_limit_is_a_number_above_zero(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s should be a number above 0"):
        Limits(timeout_s=timeout_s)


def test_memory_limit_is_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0; got 0 bytes"):
        Limits(memory_bytes=0)


def test_memory_limit_is_three_quarters_of_the_machine_unless_given() -> None:
    assert Limits().most_bytes == int(0.75 * machine_bytes())
    assert Limits(memory_bytes=5).most_bytes == 5


def test_scans_in_work_at_a_time_are_two_where_there_are_cores_and_at_least_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for cores, workers in ((1, 1), (2, 2), (64, 2)):
        monkeypatch.setattr("liverseg.limits.usable_cores", lambda cores=cores: cores)
        assert Limits().most_workers == workers
    assert Limits(workers=5).most_workers == 5
    with pytest.raises(ValueError, match="workers should be a whole number from 1; got 0"):
        Limits(workers=0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_in_use_is_that_of_the_process() -> None:
    before = resident_bytes(os.getpid())
    held = b"x" * (64 * MIB)
    after = resident_bytes(os.getpid())
    assert before is not None
    assert after is not None
    # Other threads of the test run may give some back meanwhile.
    assert 48 * MIB < after - before < 96 * MIB
    assert len(held) == 64 * MIB


def test_process_that_is_not_there_uses_nothing_that_is_known() -> None:
    assert resident_bytes(0) is None
