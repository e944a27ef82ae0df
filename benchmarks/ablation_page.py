"""The page of the ablation: our four arms beside the published ones, and what reproduces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liverseg.outputs import write_text
from liverseg.summary import compare

ARMS = (("plain", False), ("deep", False), ("plain", True), ("deep", True))
NAMES = {
    ("plain", False): "CNN",
    ("deep", False): "DSN",
    ("plain", True): "CNN + CRF",
    ("deep", True): "DSN + CRF",
}
FIGURES = {
    "voe_percent": "VOE %",
    "rvd_percent": "VD % (no sign)",
    "asd_mm": "average mm",
    "rmsd_mm": "RMS mm",
    "msd_mm": "max mm",
}
# Leave-one-out on the 20 training scans of SLIVER07, as remembered of Dou et al. 2016.
PUBLISHED = {
    ("plain", False): (7.68, 1.98, 1.56, 4.09, 45.99),
    ("deep", False): (6.27, 1.46, 1.32, 3.38, 36.49),
    ("plain", True): (5.64, 1.72, 0.89, 1.73, 34.42),
    ("deep", True): (5.37, 1.32, 0.67, 1.48, 29.63),
}
CLAIMS = (
    ("Deep supervision alone lowers it", ("plain", False), ("deep", False)),
    ("The CRF lowers it, without deep supervision", ("plain", False), ("plain", True)),
    ("The CRF lowers it, with deep supervision", ("deep", False), ("deep", True)),
    ("Deep supervision lowers it, with the CRF", ("plain", True), ("deep", True)),
)
SHOWN_EPOCHS = 10
SMALL = "What a small budget shows, not the paper's experiment:"
LEARNT = 0.5  # mean Dice of an arm, below which it has not learnt where the liver is
HEADS = ("main", "layer6", "layer3")


def write_page(path: Path, results: Mapping[str, Any], setting: Mapping[str, Any]) -> None:
    """Write the page.

    Args:
        path: the Markdown file; its folder is made when missing.
        results: "FOLD NETWORK" to what benchmarks.ablation has found.
        setting: name to value, of the budget.
    """
    rows = [row for result in results.values() for row in result["rows"]]
    folds = sorted({key.split()[0] for key in results})
    cases = sorted({str(row["case"]) for row in rows})
    minutes = sum(result["seconds"] for result in results.values()) / 60
    steps = max(result["steps"] for result in results.values())
    budget = "; ".join(f"{name} {value}" for name, value in setting.items())
    parts = [
        "# Deep supervision and the CRF: the paper's four arms",
        "Written by `make ablation`; do not edit. "
        + ("" if setting.get("schedule") == "paper" else f"**{SMALL}** ")
        + f"{steps} steps a network, {minutes:.0f} minutes of training by the clock. "
        f"Setting: {budget}. Folds {', '.join(folds)} of BTCV, {len(cases)} held-out cases. "
        "Both networks of a fold "
        "share seeds, initial weights and patches. Masks are scored on the scans' own grids, not "
        "cleaned; mean over cases, standard deviation in brackets. The published numbers are of "
        "other data (20 scans of SLIVER07, leave-one-out), another budget and a finer grid, and "
        "are quoted from memory: compare directions, not values.",
        _arms(rows),
        "## What reproduces\n\n"
        + _warning(rows)
        + "By the direction of the means over the same cases. p is Wilcoxon's, two-sided; with a "
        "few cases it cannot be small, and a direction is no proof.\n\n" + _claims(rows),
        "## Dice of each head\n\nOn the network's grid, before the CRF.\n\n" + _heads(results),
        "## Loss of the main head\n\nMean over the patches of an epoch.\n\n"
        + _curves(results, "loss_main", 4),
        "## Validation\n\nMean Dice of the main head over the held-out cases, on the network's "
        "grid. It chose nothing: the weights after the last epoch are scored.\n\n"
        + _curves(results, "val_mean_dice", 3),
        "## Gradient norms\n\nOf the weights of each layer, mean over the steps of an epoch: "
        "without and with deep supervision.\n\n" + _gradients(results),
        "## The CRF's parameters\n\nSearched on training cases of the fold, by their mean Dice.\n\n"
        + _crf(results),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n\n".join(parts) + "\n")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _warning(rows: Sequence[Mapping[str, Any]]) -> str:
    """A sentence where an arm has not learnt enough to say anything; else nothing."""
    weak = [NAMES[arm] for arm in _weak(rows)]
    if not weak:
        return ""
    return (
        f"**Not learnt:** {', '.join(weak)} stay below a mean Dice of {LEARNT:g}. Nothing follows "
        "from them for the paper's claims, and no verdict is given where they are compared. Where "
        "the gradients of the first layers below are 0, their units have died.\n\n"
    )


def _column(rows: Sequence[Mapping[str, Any]], arm: tuple[str, bool], figure: str) -> list[float]:
    """A figure of every case of an arm, in order of the cases; without its sign."""
    chosen = [row for row in rows if (row["network"], row["crf"]) == arm]
    chosen.sort(key=lambda row: str(row["case"]))
    return [abs(float(row[figure])) for row in chosen]


def _arms(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for arm in ARMS:
        cells = []
        for figure, published in zip(FIGURES, PUBLISHED[arm], strict=True):
            values = np.array(_column(rows, arm, figure))
            defined = values[np.isfinite(values)]
            spread = f" ({defined.std(ddof=1):.2f})" if defined.size > 1 else ""
            ours = f"{defined.mean():.2f}{spread}" if defined.size else "-"
            cells += [ours, f"{published:g}"]
        dice = np.mean(_column(rows, arm, "dice"))
        lines.append([NAMES[arm], f"{dice:.3f}", *cells])
    head = ["", "Dice"]
    for title in FIGURES.values():
        head += [f"{title}, here", "published"]
    return _table(head, lines)


def _weak(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, bool]]:
    """The arms that have not learnt."""
    return [arm for arm in ARMS if np.mean(_column(rows, arm, "dice")) < LEARNT]


def _claims(rows: Sequence[Mapping[str, Any]]) -> str:
    lines, weak = [], _weak(rows)
    for claim, before, after in CLAIMS:
        for figure, title in FIGURES.items():
            found = compare(_column(rows, before, figure), _column(rows, after, figure))
            column = list(FIGURES).index(figure)
            theirs = PUBLISHED[after][column] / PUBLISHED[before][column] - 1
            if found.count == 0:
                ours, verdict = "-", "not defined"
            else:
                change = found.versus / found.mean - 1 if found.mean else float("nan")
                ours = f"{change:+.0%}"
                verdict = "yes" if change < 0 else "no"
            if before in weak or after in weak:
                verdict = "not learnt"
            p_value = "-" if np.isnan(found.p_value) else f"{found.p_value:.2f}"
            lines.append([claim, title, f"{theirs:+.0%}", ours, p_value, str(found.count), verdict])
    head = ["claim", "figure", "published", "here", "p", "cases", "same direction"]
    return _table(head, lines)


def _heads(results: Mapping[str, Any]) -> str:
    lines = []
    for key, result in results.items():
        for row in result["rows"]:
            if f"dice_{HEADS[0]}" in row:
                dices = [f"{row[f'dice_{head}']:.3f}" for head in HEADS]
                fold, network = key.split()
                lines.append([fold, NAMES[(network, False)], str(row["case"]), *dices])
    return _table(["fold", "network", "case", "main", "layer 6", "layer 3"], lines)


def _curves(results: Mapping[str, Any], figure: str, decimals: int) -> str:
    """A figure of the log, at most SHOWN_EPOCHS of the epochs in which it is there."""
    lines, head = [], ["fold", "network"]
    for key, result in results.items():
        log = [row for row in result["log"] if row.get(figure)]
        places = np.unique(np.linspace(0, len(log) - 1, SHOWN_EPOCHS).round().astype(int))
        head = ["fold", "network", *(f"epoch {log[place]['epoch']}" for place in places)]
        fold, network = key.split()
        values = [f"{float(log[place][figure]):.{decimals}f}" for place in places]
        lines.append([fold, NAMES[(network, False)], *values])
    return _table(head, lines)


def _gradients(results: Mapping[str, Any]) -> str:
    lines: list[list[str]] = []
    layers: list[str] = []
    for key, result in results.items():
        fold, network = key.split()
        for row in result["gradients"]:
            layers = [name for name in row if name != "epoch"]
            norms = [f"{row[layer]:.2e}" for layer in layers]
            lines.append([fold, NAMES[(network, False)], f"{row['epoch']:.0f}", *norms])
    return _table(["fold", "network", "epoch", *layers], lines)


def _crf(results: Mapping[str, Any]) -> str:
    names: list[str] = []
    lines = []
    for key, result in results.items():
        names = list(result["crf"])
        values = [f"{result['crf'][name]:g}" for name in names]
        fold, network = key.split()
        lines.append([fold, NAMES[(network, False)], *values])
    return _table(["fold", "network", *names], lines)
