"""The search of the CRF's parameters: what it keeps, and what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from benchmarks.crf_search import (
    Case,
    Choice,
    chosen_by_others,
    remembering,
    search,
    table,
)
from liverseg.crf import CrfParameters
from liverseg.metrics import METRICS, Scores

START = Choice(CrfParameters(5.0, 20.0, 20.0, 1.0, 4.0), 0.0)
GRID = {"bilateral_weight": (0.0, 2.0, 5.0), "tau": (0.0, 0.15, 0.3)}


def case(name: str) -> Case:
    shape = (6, 5, 4)
    label = np.zeros(shape, dtype=bool)
    label[1:4, 1:4, 1:3] = True
    logit = torch.where(torch.from_numpy(label), 2.0, -2.0)
    values = torch.from_numpy(label)[None].float()  # a liver that is 400 HU above the rest
    image = MetaTensor(values, affine=torch.diag(torch.tensor([3.0, 2, 4, 1])))
    return Case(name, torch.stack([logit, logit]), image, label)


def likes(weight: float, tau: float) -> Scores:
    """Figures whose score tells how far a choice is from one weight and tau."""
    return Scores(**{**dict.fromkeys(METRICS, 0.0), "sliver07_score": 100 - weight - 10 * tau})


def wants(**weights: float) -> object:
    """A scorer by which each case likes the weight under its name, and a tau of 0.15."""

    def score(one: Case, choice: Choice | None) -> Scores:
        if choice is None:
            return likes(50.0, 0.0)
        away = abs(choice.parameters.bilateral_weight - weights[one.name])
        return likes(away, abs(choice.tau - 0.15))

    return score


def test_each_parameter_takes_the_best_value_of_its_grid() -> None:
    cases = [case("a"), case("b")]
    steps = list(search(cases, START, wants(a=2.0, b=2.0), grid=GRID))
    assert [name for name, _, _ in steps] == ["bilateral_weight", "tau"]
    best = steps[-1][2]
    assert best == Choice(replace(START.parameters, bilateral_weight=2.0), 0.15)
    assert steps[-1][1] == pytest.approx(100.0)


def test_a_case_has_no_say_in_what_it_is_scored_with() -> None:
    cases = [case("a"), case("b")]
    choices = chosen_by_others(cases, START, wants(a=0.0, b=10.0), sweeps=1)
    assert [choice.parameters.bilateral_weight for choice in choices] == [10.0, 0.0]


def test_figures_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def scored(one: Case, choice: Choice | None, window: object, clean: bool) -> Scores:
        asked.append((one.name, choice, clean))
        return likes(0.0, 0.0)

    monkeypatch.setattr("benchmarks.crf_search.scored", scored)
    score = remembering((-125.0, 275.0), clean=False)
    one = case("a")
    for choice in (None, START, None, replace(START, tau=0.3), START):
        score(one, choice)
    assert asked == [("a", None, False), ("a", START, False), ("a", replace(START, tau=0.3), False)]


def test_masks_that_are_right_stay_right_and_the_table_says_so() -> None:
    one = case("a")
    lines = table([one], [START], remembering((-125.0, 275.0))).splitlines()
    assert lines[1].split() == ["dice", "1.000", "1.000", "+0.000", "0", "of", "1"]


def test_a_mask_that_vanishes_leaves_its_distances_undefined() -> None:
    one = case("a")
    blank = replace(one, image=one.image * 0)
    lines = table([blank], [START], remembering((-125.0, 275.0))).splitlines()
    assert lines[1].split()[:3] == ["dice", "1.000", "0.000"]
    assert lines[3].split()[:3] == ["asd_mm", "nan", "nan"]
