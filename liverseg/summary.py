"""Statistics of a column of figures, and of two systems on the same cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 10_000
CHUNK = 500  # resamples at once, which bounds the memory
SEED = 20070000  # of the bootstrap: the same cases give the same interval


@dataclass(frozen=True)
class Summary:
    """One figure over the cases where it is defined.

    Args:
        count: how many cases.
        mean: NaN without a case.
        std: of the sample (divided by count - 1); NaN below two cases.
        low: of the 95 % confidence interval of the mean; NaN below two cases.
        high: as low.
    """

    count: int
    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One figure of two systems over the cases where both are defined.

    Args:
        count: how many cases.
        mean: of the first system; NaN without a case.
        versus: of the second.
        p_value: of the Wilcoxon signed-rank test, two-sided, not corrected for the number of
            figures that are compared; NaN where no case differs.
    """

    count: int
    mean: float
    versus: float
    p_value: float


def summary(values: Sequence[float]) -> Summary:
    """Mean, standard deviation and a bootstrap interval of the mean.

    The interval is the percentile bootstrap over cases, 10,000 resamples from a fixed seed.

    Args:
        values: a figure of each case; NaN (not defined) is left out.
    """
    defined = np.array([value for value in values if not math.isnan(value)])
    if not defined.size:
        return Summary(0, math.nan, math.nan, math.nan, math.nan)
    mean = float(defined.mean())
    if defined.size == 1:
        return Summary(1, mean, math.nan, math.nan, math.nan)
    low, high = _interval(defined)
    return Summary(defined.size, mean, float(defined.std(ddof=1)), low, high)


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    generator = np.random.default_rng(SEED)
    means = [
        generator.choice(values, (CHUNK, values.size)).mean(axis=1)
        for _ in range(RESAMPLES // CHUNK)
    ]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def compare(values: Sequence[float], versus: Sequence[float]) -> Comparison:
    """Compare a figure of two systems on the same cases.

    Args:
        values: of the first system, a figure of each case; NaN where it is not defined.
        versus: of the second, in the same order of cases.

    Returns:
        Cases where one of the two is not defined are left out.

    Raises:
        ValueError: the two differ in length.
    """
    if len(values) != len(versus):
        raise ValueError(f"both should have the same cases; got {len(values)} and {len(versus)}")
    both = np.array([values, versus], dtype=np.float64)
    both = both[:, np.isfinite(both).all(axis=0)]
    if not both.size:
        return Comparison(0, math.nan, math.nan, math.nan)
    means = both.mean(axis=1)
    return Comparison(both.shape[1], float(means[0]), float(means[1]), _p_value(both[0] - both[1]))


def _p_value(differences: npt.NDArray[np.float64]) -> float:
    from scipy import stats

    if not differences.any():
        return math.nan
    return float(stats.wilcoxon(differences).pvalue)
