"""Statistics: by hand where a hand can, by a formula where the bootstrap has one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from liverseg.summary import compare, summary


def test_undefined_figures_are_left_out_and_counted() -> None:
    found = summary([1.0, math.nan, 3.0])
    assert (found.count, found.mean) == (2, 2.0)
    assert found.std == pytest.approx(math.sqrt(2))  # of the sample: (1 + 1) / (2 - 1)
    # Of two cases a resample is 1, 2, 2 or 3 on average: a quarter lies at each end.
    assert (found.low, found.high) == (1.0, 3.0)


def test_interval_of_many_cases_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = summary(values.tolist())
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)
    assert found == summary(values.tolist())


def test_one_case_has_a_mean_and_no_spread() -> None:
    found = summary([0.9])
    assert (found.count, found.mean) == (1, 0.9)
    assert all(math.isnan(value) for value in (found.std, found.low, found.high))


def test_no_case_has_nothing() -> None:
    assert summary([math.nan]).count == 0
    assert math.isnan(summary([]).mean)


def test_systems_are_compared_on_the_cases_of_both() -> None:
    found = compare([1.0, 2.0, 3.0, math.nan, 5.0, 9.0], [2.0, 4.0, 6.0, 1.0, 9.0, math.nan])
    assert (found.count, found.mean, found.versus) == (4, 11 / 4, 21 / 4)
    # All four differences have one sign: 2 of the 2 ** 4 signs are as extreme.
    assert found.p_value == pytest.approx(2 / 16)


def test_systems_that_never_differ_have_no_p_value() -> None:
    assert math.isnan(compare([1.0, 2.0], [1.0, 2.0]).p_value)


def test_some_cases_that_do_not_differ_are_no_trouble() -> None:
    found = compare([1.0, 2.0, 3.0, 4.0, 7.0, 8.0], [1.0, 2.0, 4.0, 6.0, 5.0, 9.0])
    assert 0.5 < found.p_value <= 1


def test_systems_without_a_common_case_have_nothing() -> None:
    found = compare([math.nan, 1.0], [1.0, math.nan])
    assert found.count == 0
    assert math.isnan(found.mean)


def test_different_numbers_of_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 and 2"):
        compare([1.0], [1.0, 2.0])
