"""Scores as text that a person can read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict

from liverseg.metrics import METRICS, Scores
from liverseg.summary import CONFIDENCE, compare, summary
from liverseg.tables import aligned, printable

DECIMALS = 3
P_DIGITS = 2
UNDEFINED = "-"


def score_table(scored: Mapping[str, Scores]) -> str:
    """A line a case, then mean, standard deviation, interval of the mean and how many cases.

    Args:
        scored: case to figures; at least one.
    """
    lines = [
        [printable(name), *(_number(value) for value in asdict(figures).values())]
        for name, figures in scored.items()
    ]
    summaries = [
        summary([asdict(figures)[name] for figures in scored.values()]) for name in METRICS
    ]
    percent = f"{CONFIDENCE:.0%}"
    lines += [
        ["mean", *(_number(column.mean) for column in summaries)],
        ["std", *(_number(column.std) for column in summaries)],
        [f"{percent} from", *(_number(column.low) for column in summaries)],
        [f"{percent} to", *(_number(column.high) for column in summaries)],
        ["cases", *(str(column.count) for column in summaries)],
    ]
    return aligned([["case", *METRICS], *lines])


def comparison_table(scored: Mapping[str, Scores], versus: Mapping[str, Scores]) -> str:
    """A line a figure: the means of two systems over the cases of both, and Wilcoxon's p.

    Args:
        scored: case to figures of the first system.
        versus: of the second.
    """
    names = [name for name in scored if name in versus]
    lines = [["figure", "prediction", "versus", "difference", "wilcoxon p", "cases"]]
    for metric in METRICS:
        columns = [[asdict(one[name])[metric] for name in names] for one in (scored, versus)]
        found = compare(*columns)
        p_value = UNDEFINED if math.isnan(found.p_value) else f"{found.p_value:.{P_DIGITS}g}"
        means = (found.mean, found.versus, found.mean - found.versus)
        lines.append([metric, *map(_number, means), p_value, str(found.count)])
    return aligned(lines)


def _number(value: float) -> str:
    return UNDEFINED if math.isnan(value) else f"{value:.{DECIMALS}f}"
