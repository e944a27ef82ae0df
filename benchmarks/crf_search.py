"""Search the CRF's parameters on scans that the networks have not seen.

    python -m benchmarks.crf_search --networks CV [--folds 0 1 2 3 4] [--sweeps N]

CV is the folder of benchmarks.cross_validation: each fold's scans are judged by the pair that was
trained without them. One parameter after the other takes each value of its grid; the best by the
mean SLIVER07 score on the network's grid, after cleaning, is kept, and what is printed goes into
inference.yaml. A second table scores every scan with what the other scans chose: what is to be
expected on more.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.bundle import ConfigParser

from benchmarks.cross_validation import DATA, FOLDS, coarse_of, list_of
from liverseg.bundle_files import bundle_root
from liverseg.component import liver_component
from liverseg.crf import CrfParameters
from liverseg.datalist import load_data_list
from liverseg.metrics import Scores, scores
from liverseg.refinement import RefineD
from liverseg.transforms import LoadLabeld, LoadScand, ToNetworkGridd

LIVER = (5,)  # in BTCV
GRID: Mapping[str, Sequence[float]] = {
    "bilateral_weight": (0.0, 0.5, 1.0, 2.0, 5.0, 10.0),
    "gaussian_weight": (0.0, 0.5, 1.0, 3.0),
    "bilateral_mm": (5.0, 10.0, 20.0, 40.0, 80.0),
    "bilateral_hu": (5.0, 10.0, 20.0, 40.0),
    "gaussian_mm": (2.0, 4.0, 8.0),
    "tau": (0.0, 0.15, 0.3),
}
FIGURES = ("dice", "voe_percent", "asd_mm", "rmsd_mm", "msd_mm", "hd95_mm", "sliver07_score")


@dataclass(frozen=True)
class Case:
    """What a network says of a case, on its grid.

    Args:
        name: of the case.
        heads: (H, X, Y, Z) logits, liver minus the rest.
        image: (1, X, Y, Z) MetaTensor in [0, 1].
        label: (X, Y, Z) bool.
    """

    name: str
    heads: torch.Tensor
    image: Any
    label: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """A point of the grid; tau is the share of each of the branches."""

    parameters: CrfParameters
    tau: float

    def changed(self, name: str, value: float) -> Choice:
        """The point with another value of one parameter."""
        if name == "tau":
            return replace(self, tau=value)
        return replace(self, parameters=replace(self.parameters, **{name: value}))

    def value(self, name: str) -> float:
        """Of one parameter."""
        return self.tau if name == "tau" else float(getattr(self.parameters, name))


def cleaned(logit: torch.Tensor) -> npt.NDArray[np.bool_]:
    """The largest component of what is more likely liver, holes filled."""
    return liver_component((logit > 0).numpy().astype(np.uint8)).mask > 0


Scorer = Callable[[Case, Choice | None], Scores]


def remembering(window: Sequence[float], clean: bool = True) -> Scorer:
    """Figures of a case, refined where there is a choice; each is made once.

    Args:
        window: of the image, HU.
        clean: whether masks are cleaned before they are scored.
    """
    known: dict[tuple[str, Choice | None], Scores] = {}

    def score(case: Case, choice: Choice | None) -> Scores:
        key = case.name, choice
        if key not in known:
            known[key] = scored(case, choice, window, clean)
        return known[key]

    return score


def scored(case: Case, choice: Choice | None, window: Sequence[float], clean: bool) -> Scores:
    """Figures of a case on the network's grid, refined where there is a choice."""
    heads = case.heads
    if choice is not None:
        tau = (choice.tau,) * (heads.shape[0] - 1)
        step = RefineD("pred", window, choice.parameters, tau)
        heads = step({"image": case.image, "pred": heads})["pred"]
    affine = case.image.affine.numpy().astype(np.float64)
    mask = cleaned(heads[0]) if clean else (heads[0] > 0).numpy()
    return scores(mask, case.label, affine)


def search(
    cases: Sequence[Case],
    start: Choice,
    score: Scorer,
    sweeps: int = 1,
    grid: Mapping[str, Sequence[float]] = GRID,
    figure: str = "sliver07_score",
) -> Iterator[tuple[str, float, Choice]]:
    """Coordinate search over a grid, for the largest mean of a figure.

    Yields:
        The parameter just searched, the best mean so far, and the best choice so far.
    """

    def mean_score(choice: Choice) -> float:
        found = [getattr(score(case, choice), figure) for case in cases]
        return float(np.nanmean(found))

    best, best_score = start, mean_score(start)
    for _ in range(sweeps):
        for name, values in grid.items():
            for value in values:
                if value != best.value(name):
                    choice = best.changed(name, value)
                    found = mean_score(choice)
                    if found > best_score:
                        best, best_score = choice, found
            yield name, best_score, best


def read_cases(parser: ConfigParser, data_list: Path) -> Iterator[Case]:
    """What a pair of networks says of the scans that a list holds out."""
    pipeline = parser.get_parsed_content("pipeline")
    label_steps = (
        LoadLabeld("label", LIVER),
        ToNetworkGridd("label", parser["spacing_mm"], (0.0, 1.0)),
    )
    for item in load_data_list(data_list, DATA, "validation"):
        data = pipeline.preprocessing({"image": item["image"]})
        with torch.inference_mode():
            heads = pipeline.inferer(data["image"][None], pipeline.network)[0]
        labelled: dict[Any, Any] = LoadScand("image")(dict(item))
        for step in label_steps:
            labelled = step(labelled)
        plain = torch.as_tensor(heads).as_subclass(torch.Tensor).float().cpu()
        label = labelled["label"].as_tensor()[0].numpy() > 0.5
        yield Case(Path(item["image"]).name, plain, data["image"][:1], label)


def table(cases: Sequence[Case], choices: Sequence[Choice], score: Scorer) -> str:
    """Mean of each figure, without and with the CRF, and on how many cases it is better.

    Means are over the cases where a figure is defined without and with the CRF.

    Args:
        cases: to be scored.
        choices: for each case.
        score: gives the figures.
    """
    rows = [
        [asdict(score(case, None)) for case in cases],
        [asdict(score(case, choice)) for case, choice in zip(cases, choices, strict=True)],
    ]
    lines = [f"{'':<16}{'network':>10}{'+ CRF':>10}{'change':>10}   better on"]
    for figure in FIGURES:
        plain, refined = (np.array([row[figure] for row in one]) for one in rows)
        larger_is_better = figure in ("dice", "sliver07_score")
        better = int(((refined > plain) == larger_is_better)[refined != plain].sum())
        both = np.isfinite(plain) & np.isfinite(refined)  # without distances where a mask is empty
        before, after = (
            float(one[both].mean()) if both.any() else np.nan for one in (plain, refined)
        )
        lines.append(
            f"{figure:<16}{before:>10.3f}{after:>10.3f}{after - before:>+10.3f}"
            f"   {better} of {len(cases)}"
        )
    return "\n".join(lines)


def chosen_by_others(
    cases: Sequence[Case], start: Choice, score: Scorer, sweeps: int
) -> list[Choice]:
    """For each case what the search finds on all others."""
    return [
        list(search([other for other in cases if other is not case], start, score, sweeps))[-1][2]
        for case in cases
    ]


def bundle_parser(networks: Path) -> ConfigParser:
    """inference.yaml, with the pair of a training."""
    parser = ConfigParser()
    parser.read_config(str(bundle_root() / "configs" / "inference.yaml"))
    parser["bundle_root"] = str(bundle_root())
    parser["checkpoint"] = str(networks / "model.pt")
    parser["coarse_checkpoint"] = str(coarse_of(networks))
    return parser


def main() -> None:
    """Search and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument(
        "--networks", type=Path, metavar="CV", required=True, help="of benchmarks.cross_validation"
    )
    arguments.add_argument("--folds", type=int, nargs="+", choices=FOLDS, default=list(FOLDS))
    arguments.add_argument("--sweeps", type=int, default=1, help="over all parameters")
    args = arguments.parse_args()
    parsers = {fold: bundle_parser(args.networks / f"fold{fold}") for fold in args.folds}
    parser = parsers[args.folds[0]]
    start = Choice(parser.get_parsed_content("crf"), float(parser["tau"][0]))
    score = remembering(parser["window"])
    cases = [case for fold, one in parsers.items() for case in read_cases(one, list_of(fold))]
    print(f"searched on {', '.join(case.name for case in cases)}", flush=True)
    best = start
    for name, found, best in search(cases, start, score, args.sweeps):
        print(f"{name:<18}{best.value(name):>8g}   mean score {found:.2f}", flush=True)
    print("\nfor inference.yaml:")
    for name, value in (*asdict(best.parameters).items(), ("tau, each branch", best.tau)):
        print(f"  {name}: {value:g}")
    print(f"\nthe same scans, which chose\n{table(cases, [best] * len(cases), score)}", flush=True)
    by_others = chosen_by_others(cases, start, score, args.sweeps)
    print(f"\neach with what the other scans chose\n{table(cases, by_others, score)}")


if __name__ == "__main__":
    main()
