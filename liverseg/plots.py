"""Plots of an evaluation: a box a metric, Bland-Altman of the volumes, the worst cases."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from liverseg.evaluate import Case, Evaluation
from liverseg.masks import MaskPair, read_pair
from liverseg.metrics import METRICS
from liverseg.outputs import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORST = 3  # cases that are pictured
AGREEMENT = 1.96  # standard deviations, which hold 95 % of normal differences
BOX_COLUMNS = 4
DPI = 110
BOTH, PRED_ONLY, REF_ONLY = (0.55, 0.55, 0.55), (0.85, 0.25, 0.1), (0.1, 0.4, 0.85)
VIEWS = (("sagittal", 0), ("coronal", 1), ("axial", 2))  # with the axis across, of a RAS grid


def draw_plots(
    folder: Path, systems: Mapping[str, Evaluation], ref_labels: Sequence[int] = ()
) -> list[Path]:
    """Draw everything that the scored cases allow.

    Args:
        folder: for boxes.png, volumes.png and worst.png; made when missing.
        systems: name to evaluation; the first is the one whose worst cases are shown.
        ref_labels: as for `liverseg.evaluate.evaluate`.

    Returns:
        The files; none without a scored case.

    Raises:
        ValueError: matplotlib is not installed.
        OSError: the folder cannot be written.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("plots need matplotlib: pip install 'liverseg[train]'")
    scored = {name: found for name, found in systems.items() if found.scored}
    if not scored:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    first = next(iter(scored.values()))
    drawn = {
        "boxes.png": _boxes(scored),
        "volumes.png": _volumes(scored),
        "worst.png": _worst(first, ref_labels),
    }
    for name, figure in drawn.items():
        with whole_file(folder / name) as stream:
            figure.savefig(stream, format="png", dpi=DPI)
    return [folder / name for name in drawn]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _boxes(systems: Mapping[str, Evaluation]) -> Figure:
    """Quartiles, whiskers to 1.5 interquartile ranges, and every case as a point."""
    rows = math.ceil(len(METRICS) / BOX_COLUMNS)
    figure = _figure(3 * BOX_COLUMNS, 2.8 * rows)
    for number, metric in enumerate(METRICS):
        axes: Any = figure.add_subplot(rows, BOX_COLUMNS, number + 1)
        columns = [
            [value for scores in found.scored.values() if _defined(value := asdict(scores)[metric])]
            for found in systems.values()
        ]
        axes.boxplot(columns, widths=0.5, showfliers=False)
        for place, column in enumerate(columns, start=1):
            axes.plot([place] * len(column), column, ".", color="black", alpha=0.5)
        axes.set_xticks(range(1, len(systems) + 1), list(systems))
        axes.set_title(metric)
        axes.grid(axis="y", alpha=0.3)
    return figure


def _volumes(systems: Mapping[str, Evaluation]) -> Figure:
    """Bland-Altman: the difference of two volumes over their mean, bias and 95 % limits."""
    figure = _figure(5.5 * len(systems), 4)
    for number, (name, found) in enumerate(systems.items(), start=1):
        means, differences = volume_pairs(found.cases)
        axes = figure.add_subplot(1, len(systems), number)
        axes.plot(means, differences, "o", color="black", alpha=0.6)
        bias, low, high = agreement(differences)
        for height, style in ((bias, "-"), (low, "--"), (high, "--")):
            if _defined(height):
                axes.axhline(height, linestyle=style, color="tab:blue", linewidth=1)
        title = f"{name}: bias {bias:+.1f} ml"
        if _defined(low):
            title += f", 95 % of differences {low:+.1f} to {high:+.1f} ml"
        axes.set(
            title=title, xlabel="mean of both volumes, ml", ylabel="prediction - reference, ml"
        )
        axes.grid(alpha=0.3)
    return figure


def volume_pairs(
    cases: Sequence[Case],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and difference (prediction minus reference) of the volumes of each scored case, ml."""
    errors = np.array(
        [case.scores.volume_error_ml for case in cases if case.scores is not None], np.float64
    )
    refs = np.array([case.ref_ml for case in cases if case.scores is not None], np.float64)
    return refs + errors / 2, errors


def agreement(differences: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Bland and Altman's bias and limits of agreement.

    Args:
        differences: of each case; at least one.

    Returns:
        Mean, and mean minus and plus 1.96 standard deviations, which are NaN below two cases.
    """
    bias = float(differences.mean())
    if differences.size == 1:
        return bias, math.nan, math.nan
    reach = AGREEMENT * float(differences.std(ddof=1))
    return bias, bias - reach, bias + reach


def worst_cases(found: Evaluation) -> list[str]:
    """Names of the scored cases with the lowest Dice, the worst first; an undefined one is last."""
    scored = found.scored
    return sorted(
        scored, key=lambda name: (math.isnan(scored[name].dice), scored[name].dice, name)
    )[:WORST]


def _worst(found: Evaluation, ref_labels: Sequence[int]) -> Figure:
    names = worst_cases(found)
    figure = _figure(10, 3.4 * len(names))
    for row, name in enumerate(names):
        pair = read_pair(*found.pairs.files[name], ref_labels)
        for column, (view, axis) in enumerate(VIEWS):
            axes = figure.add_subplot(len(names), len(VIEWS), row * len(VIEWS) + column + 1)
            _show(axes, pair, axis)
            dice = found.scored[name].dice
            axes.set_title(f"{name}: Dice {dice:.3f}" if column == 0 else view, fontsize=9)
    figure.suptitle(
        "red: prediction only; blue: reference only; grey: both. Slices where the two differ most",
        fontsize=9,
    )
    return figure


def _show(axes: Axes, pair: MaskPair, axis: int) -> None:
    """The slice across an axis of the patient in which most voxels differ."""
    from nibabel.affines import voxel_sizes
    from nibabel.orientations import apply_orientation, io_orientation

    turn = io_orientation(pair.affine)
    pred, ref = (apply_orientation(mask, turn) for mask in (pair.pred, pair.ref))  # RAS
    sizes = voxel_sizes(pair.affine)[np.argsort(turn[:, 0])]
    others = tuple(other for other in range(3) if other != axis)
    differing = np.count_nonzero(pred ^ ref, axis=others)
    if not differing.any():
        differing = np.count_nonzero(pred | ref, axis=others)
    index = int(differing.argmax())
    pred, ref = pred.take(index, axis).T, ref.take(index, axis).T  # rows upwards
    picture = np.ones((*pred.shape, 3))
    for where, colour in ((pred & ref, BOTH), (pred & ~ref, PRED_ONLY), (ref & ~pred, REF_ONLY)):
        picture[where] = colour
    across, up = (float(sizes[other]) for other in others)
    # The patient's right is shown on the left, as in a radiologist's view; anterior in sagittal.
    axes.imshow(picture[:, ::-1], origin="lower", aspect=up / across, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def _defined(value: float) -> bool:
    return not math.isnan(value)
