"""Score predictions against references, case by case, and write the CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from liverseg.masks import read_pair
from liverseg.metrics import METRICS, Scores, scores, volume_ml
from liverseg.outputs import write_text
from liverseg.pairs import Pairs, pairs
from liverseg.surface import FACES

COLUMNS = ("case", *METRICS)
MEAN = "mean"  # in the column of the case, of the last row
DECIMALS = 4  # of every figure in the CSV


@dataclass(frozen=True)
class Case:
    """A pair of masks that was scored, or why it could not be.

    Args:
        name: of the case.
        scores: None when it could not be scored.
        error: why, in one sentence; "" when it was scored.
        ref_values: the values of the reference that counted as liver.
        ref_ml: volume of the reference; NaN when the case could not be scored.
    """

    name: str
    scores: Scores | None
    error: str = ""
    ref_values: tuple[float, ...] = ()
    ref_ml: float = math.nan


@dataclass(frozen=True)
class Evaluation:
    """The cases of two folders.

    Args:
        cases: in order of name, those that could not be scored too.
        pairs: what belonged together, and what stood alone.
    """

    cases: tuple[Case, ...]
    pairs: Pairs

    @property
    def scored(self) -> dict[str, Scores]:
        """The cases that could be scored."""
        return {case.name: case.scores for case in self.cases if case.scores is not None}


def evaluate(
    prediction: Path,
    reference: Path,
    *,
    ref_labels: Sequence[int] = (),
    connectivity: int = FACES,
    on_case: Callable[[Case, int, int], None] | None = None,
) -> Evaluation:
    """Score one mask or a folder of masks; a pair that cannot be compared does not stop it.

    Args:
        prediction: a .nii(.gz), a folder of those, or an output folder of `liverseg segment`.
        reference: as prediction; paired by name, see `liverseg.pairs`.
        ref_labels: the values that mean liver in the reference; any but 0 when there are none.
        connectivity: what makes a border voxel: 1, 2 or 3, see `liverseg.surface`.
        on_case: called after every case with its number and the number of cases.

    Raises:
        FileNotFoundError: prediction or reference does not exist.
        ValueError: one is a file and the other a folder, or a folder has two files of one name.
    """
    found = pairs(prediction, reference)
    cases = []
    for number, (name, files) in enumerate(found.files.items(), start=1):
        try:
            pair = read_pair(*files, ref_labels)
            figures = scores(pair.pred, pair.ref, pair.affine, connectivity)
            ref_ml = volume_ml(pair.ref, pair.affine)
            case = Case(name, figures, ref_values=pair.ref_values, ref_ml=ref_ml)
        except ValueError as error:
            case = Case(name, None, str(error))
        cases.append(case)
        if on_case is not None:
            on_case(case, number, len(found.files))
    return Evaluation(tuple(cases), found)


def mean_scores(cases: Sequence[Scores]) -> Scores:
    """The mean of every figure over the cases where it is defined; NaN where it never is."""
    columns = zip(*(astuple(case) for case in cases), strict=True)
    defined = [[value for value in column if not math.isnan(value)] for column in columns]
    return Scores(*(float(np.mean(values)) if values else math.nan for values in defined))


def write_scores(path: Path, scored: dict[str, Scores]) -> None:
    """Write a row a case and one, last, with the mean; an undefined figure is an empty cell.

    Of each figure the mean is over the cases where it is defined: where a liver was missed there
    are no distances. Without cases there is no row, so that an older file passes for nothing.

    Args:
        path: of the CSV; its folder is made when missing.
        scored: case to figures; a case may be called mean, too.

    Raises:
        OSError: the file cannot be written.
    """
    rows = list(scored.items())
    if rows:
        rows.append((MEAN, mean_scores(list(scored.values()))))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, figures in rows:
        cells = ("" if math.isnan(value) else f"{value:.{DECIMALS}f}" for value in astuple(figures))
        writer.writerow([name, *cells])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())
