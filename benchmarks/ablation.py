"""The paper's four arms: without and with deep supervision, each without and with the CRF.

    python -m benchmarks.ablation [--epochs N] [--schedule short|paper] [--folds 0 1 ...]
                                  [--networks plain deep] [--data-list-pattern P] [-o OUT]
                                  [--page PAGE.md]

Both networks of a fold have the same seeds, initial weights, patches and number of steps; the CRF's
parameters are searched on training cases of the fold, for each network by itself. Masks are scored
on the scans' own grids and not cleaned, as in the paper's table. A fold and network that is done is
kept in OUT, so that a run goes on where it was. The page says what reproduces.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.engines.utils import IterationEvents
from monai.transforms import NormalizeIntensity
from monai.utils import set_determinism
from torch import nn

from benchmarks.ablation_page import write_page
from benchmarks.crf_search import Case, Choice, remembering, search
from liverseg.bundle_files import bundle_root
from liverseg.crf import CrfParameters
from liverseg.heads import LiverHeads
from liverseg.inferer import TiledInferer
from liverseg.metrics import scores
from liverseg.outputs import write_text
from liverseg.refinement import RefineD
from liverseg.train_run import environment
from liverseg.transforms import LoadLabeld, LoadScand, ToNetworkGridd, ToScanGridd

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("LIVERSEG_DATA", ROOT.parent / "shared" / "data"))
CONFIGS = bundle_root() / "configs"
BASE = ("train.yaml", "recipe.yaml", "paper.yaml")
SCHEDULES = {"short": (*BASE, "short.yaml"), "paper": BASE}
NETWORKS = {"plain": ("paper_plain.yaml",), "deep": ()}
HEADS = ("main", "layer6", "layer3")
# Beside what the page's setting says; what paper.yaml settles for itself is marked there.
DIFFERS = {
    "short": "He's initialisation for N(0, 0.01), Adam with a slow start for SGD, a coarse grid "
    "for each scan's own, smaller patches for 160x160x72, and far fewer steps; the loss, random "
    "patches, rotations, heads and their weights are the paper's",
    "paper": "only what paper.yaml marks as ours",
}
GRADIENT_EPOCHS = 5  # in which the gradients of the layers are looked at
VALIDATIONS = 10  # of a training; they choose nothing: the last weights are what is scored
# Of the CRF. The search is by Dice, since the SLIVER07 score of masks that are far off is 0
# whatever is done to them, and has no bilateral weight of 0: an arm with the CRF is to have one.
FIGURE = "dice"
START = CrfParameters(5.0, 20.0, 20.0, 1.0, 4.0)
SEARCH_CASES = 3  # of a fold's training cases
SEARCH_GRID: Mapping[str, Sequence[float]] = {
    "bilateral_weight": (1.0, 2.0, 5.0, 10.0),
    "gaussian_weight": (0.0, 1.0, 3.0),
    "bilateral_mm": (10.0, 20.0, 40.0),
    "bilateral_hu": (10.0, 20.0, 40.0),
    "gaussian_mm": (4.0, 8.0),
    "tau": (0.0, 0.15, 0.3),
}


class GradientNorms:
    """The mean norm of the gradient of each layer's weights, an epoch, and the epochs' seconds.

    Both are kept in a file, so that a training that is gone on with has those from before.

    Args:
        network: whose gradients.
        epochs: how many are looked at.
        path: of the file, JSON.
    """

    def __init__(self, network: nn.Module, epochs: int, path: Path) -> None:
        self.network = network
        self.epochs = epochs
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.seconds: dict[str, float] = {}  # epoch to its seconds
        if path.is_file():
            kept = json.loads(path.read_text())
            self.rows, self.seconds = kept["gradients"], kept["seconds"]
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._start = 0.0

    def attach(self, engine: Engine) -> None:
        """Look after every backward pass."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._look)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end)

    def _begin(self, engine: Engine) -> None:
        self._sums, self._steps, self._start = {}, 0, time.perf_counter()

    def _look(self, engine: Engine) -> None:
        if engine.state.epoch > self.epochs:
            return
        self._steps += 1
        for name, parameter in self.network.named_parameters():
            layer = name.partition(".")[0]
            if layer.startswith("layer") and name.endswith("weight"):
                norm = 0.0 if parameter.grad is None else float(parameter.grad.norm())
                self._sums[layer] = self._sums.get(layer, 0.0) + norm

    def _end(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        self.seconds[str(epoch)] = time.perf_counter() - self._start
        if self._steps:
            means = {layer: total / self._steps for layer, total in self._sums.items()}
            before = [row for row in self.rows if row["epoch"] < epoch]
            self.rows = [*before, {"epoch": float(epoch), **means}]
        write_text(self.path, json.dumps({"gradients": self.rows, "seconds": self.seconds}))


def train(network: str, args: argparse.Namespace, data_list: Path, folder: Path) -> dict[str, Any]:
    """Train one network; its log, gradients and seconds."""
    parser = parser_of(network, args)
    variables = {
        "LIVERSEG_DATA_LIST": str(data_list),
        "LIVERSEG_DATA": str(DATA),
        "LIVERSEG_OUTPUT": str(folder),
    }
    with environment(variables):
        set_determinism(seed=int(parser["seed"]), use_deterministic_algorithms=False)
        trainer = parser.get_parsed_content("train#trainer")
        built = parser.get_parsed_content("network")
        norms = GradientNorms(built, GRADIENT_EPOCHS, folder / "gradients.json")
        norms.attach(trainer)
        trainer.run()
        torch.save(built.state_dict(), folder / "last.pt")
    with (folder / "log.csv").open(encoding="utf-8") as file:
        log = [dict(row) for row in csv.DictReader(file)]
    return {
        "seconds": sum(norms.seconds.values()),
        "gradients": norms.rows,
        "log": log,
        "steps": int(log[-1]["iteration"]),
    }


def parser_of(network: str, args: argparse.Namespace) -> ConfigParser:
    """The configuration of a network's training."""
    parser = ConfigParser()
    names = (*SCHEDULES[args.schedule], *NETWORKS[network])
    parser.read_config([str(CONFIGS / name) for name in names])
    if args.epochs is not None:
        parser["max_epochs"] = args.epochs
    parser["val_interval"] = max(1, parser["max_epochs"] // VALIDATIONS)
    parser["show_progress"] = False
    return parser


class Predictor:
    """What a trained network says of the cases of a list.

    Args:
        parser: of its training.
        weights: its last weights.
    """

    def __init__(self, parser: ConfigParser, weights: Path) -> None:
        network = parser.get_parsed_content("network_def")
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self.device = parser.get_parsed_content("device")
        self.network = LiverHeads(network.eval()).to(self.device)
        self.inferer = TiledInferer(amp=bool(parser.get_parsed_content("amp")))
        self.window = parser["window"]
        spacing_mm = parser["spacing_mm"]
        labels = parser["liver_labels"]
        self.steps = (
            LoadScand("image"),
            LoadLabeld("label", labels),
            ToNetworkGridd("image", spacing_mm, self.window),
        )
        self.label_to_grid = ToNetworkGridd("label", spacing_mm, (0.0, 1.0))

    def __call__(self, item: Mapping[str, str]) -> tuple[dict[Any, Any], Case]:
        """The item with its label on the scan's grid, and the case on the network's."""
        data: dict[Any, Any] = dict(item)
        for step in self.steps:
            data = step(data)
        label = self.label_to_grid({"label": data["label"]})["label"].as_tensor()[0].numpy() > 0.5
        image = NormalizeIntensity()(data["image"].as_tensor())
        with torch.inference_mode():
            heads = self.inferer(image[None].to(self.device), self.network)[0].cpu()
        plain = torch.as_tensor(heads).as_subclass(torch.Tensor)
        return data, Case(Path(item["image"]).name.partition("_ct")[0], plain, data["image"], label)


def evaluate(
    network: str, args: argparse.Namespace, data_list: Path, folder: Path
) -> dict[str, Any]:
    """Search the CRF on training cases, then score the validation cases without and with it."""
    predict = Predictor(parser_of(network, args), folder / "last.pt")
    lists = json.loads(data_list.read_text())

    def items(section: str) -> list[dict[str, str]]:
        return [{key: str(DATA / path) for key, path in item.items()} for item in lists[section]]

    training = [predict(item)[1] for item in items("training")[:SEARCH_CASES]]
    # Branches that nothing was asked of have nothing to say.
    grid = {name: SEARCH_GRID[name] for name in SEARCH_GRID if network == "deep" or name != "tau"}
    score = remembering(predict.window, clean=False)
    _, _, choice = list(search(training, Choice(START, 0.0), score, grid=grid, figure=FIGURE))[-1]
    rows = []
    for item in items("validation"):
        data, case = predict(item)
        tau = (choice.tau,) * (len(case.heads) - 1)
        refine = RefineD("pred", predict.window, choice.parameters, tau)
        for crf in (False, True):
            answer: dict[Any, Any] = {"image": case.image, "pred": case.heads}
            answer = ToScanGridd("pred")(refine(answer) if crf else answer)
            label = data["label"]
            affine = label.affine.numpy().astype(np.float64)
            figures = scores(answer["pred"][0].numpy(), label.as_tensor()[0].numpy(), affine)
            rows.append({"case": case.name, "network": network, "crf": crf, **asdict(figures)})
        for head, logit in zip(HEADS, case.heads, strict=True):
            both = int(((logit > 0).numpy() & case.label).sum())
            total = int((logit > 0).sum()) + int(case.label.sum())
            rows[-1][f"dice_{head}"] = 2 * both / total
    return {"rows": rows, "crf": {**asdict(choice.parameters), "tau": choice.tau}}


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is not there yet, and write the page."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument(
        "--epochs", type=int, help="of each training; the schedule's own if none"
    )
    arguments.add_argument("--schedule", choices=list(SCHEDULES), default="short")
    arguments.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    arguments.add_argument("--folds", type=int, nargs="+", default=[0])
    arguments.add_argument(
        "--data-list-pattern", default=str(ROOT / "data_lists" / "btcv_fold{}.json")
    )
    arguments.add_argument("-o", "--output", type=Path, default=Path("ablation"))
    arguments.add_argument("--page", type=Path, help="OUT/ablation.md if none")
    args = arguments.parse_args(argv)
    results: dict[str, Any] = {}
    for fold in args.folds:
        for network in args.networks:
            key = f"{fold} {network}"
            results[key] = one_result(network, fold, args)
            print(f"fold {fold}, {network}: {results[key]['seconds']:.0f} s", flush=True)
        if set(args.networks) == set(NETWORKS):  # else the run that has both writes the page
            page_of(results, args)


def one_result(network: str, fold: int, args: argparse.Namespace) -> dict[str, Any]:
    """What is found for a network of a fold, or was found before."""
    data_list = Path(args.data_list_pattern.format(fold))
    folder = args.output / f"fold{fold}_{network}"
    done = folder / "result.json"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        result = train(network, args, data_list, folder)
        result |= evaluate(network, args, data_list, folder)
        write_text(done, json.dumps(result, indent=1))
    found: dict[str, Any] = json.loads(done.read_text())
    return found


def page_of(results: Mapping[str, Any], args: argparse.Namespace) -> None:
    """Write the page of what has been found so far."""
    parser = parser_of("deep", args)
    named = ("spacing_mm", "patch_size", "learning_rate", "max_epochs", "batch_size")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = f" with {torch.get_num_threads()} thread(s)" if device.type == "cpu" else ""
    setting = {
        "schedule": args.schedule,
        **{key: parser[key] for key in named},
        "device": f"{device.type}{threads}",
        "unlike the paper": DIFFERS[args.schedule],
    }
    page = args.page or args.output / "ablation.md"
    write_page(page, results, setting)
    print(f"the page is {page}", flush=True)


if __name__ == "__main__":
    main()
