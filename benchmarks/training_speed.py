"""Training steps a second: train.yaml's way against the plain MONAI way, in one run.

    python -m benchmarks.training_speed [--steps N] [--cases N] [--device cpu]

Plain: Dataset, LoadImaged, Orientationd, Spacingd, ScaleIntensityRanged each time a scan is drawn,
RandCropByPosNegLabeld with as many patches of it as train.yaml takes in an epoch, RandAffined,
float32. Ours: train.yaml as it is: read once and kept on the grid, warped patches, all of its
augmentation, bfloat16 where the processor has it; on a GPU kept and augmented there. The same
network, size of patch, loss and optimiser step on both sides; what fills our cache is told apart.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import Dataset
from monai.transforms import (
    AsDiscreted,
    Compose,
    ConcatItemsd,
    EnsureChannelFirstd,
    Lambdad,
    LoadImaged,
    Orientationd,
    RandAffined,
    RandCropByPosNegLabeld,
    ScaleIntensityRanged,
    Spacingd,
)

from liverseg.bundle_files import bundle_root
from liverseg.datalist import load_data_list
from liverseg.inferer import autocast
from liverseg.muon import Muon

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("LIVERSEG_DATA", ROOT.parent / "shared" / "data"))
LIST = ROOT / "data_lists" / "btcv.json"
BOTH = ("image", "label")
LIVER = 5  # in BTCV's labels


def plain(cases: list[dict[str, str]], parser: ConfigParser) -> Iterator[dict[str, Any]]:
    """The patches of what a MONAI tutorial does, one at a time."""
    low, high = parser["window"]
    patch = parser["patch_size"]
    steps = [
        LoadImaged(BOTH),
        EnsureChannelFirstd(BOTH),
        Orientationd(BOTH, axcodes="RAS", labels=None),
        Spacingd(BOTH, pixdim=parser["spacing_mm"], mode=("bilinear", "nearest")),
        ScaleIntensityRanged("image", low, high, 0.0, 1.0, clip=True),
        Lambdad("label", lambda label: label == LIVER),
        RandCropByPosNegLabeld(
            BOTH, "label", patch, pos=1, neg=1, num_samples=parser["patches_per_scan"]
        ),
        RandAffined(
            BOTH,
            prob=0.8,
            rotate_range=[0.2, 0.2, 0.35],
            scale_range=[0.2] * 3,
            mode=("bilinear", "nearest"),
        ),
        AsDiscreted("label", to_onehot=2),
        ConcatItemsd(["image", "image"], name="image"),  # as many channels as with guidance
    ]
    dataset = Dataset(cases, Compose(steps))
    for number in cycle(range(len(cases))):
        for patch in dataset[number]:
            yield {key: patch[key][None] for key in BOTH}


def ours(parser: ConfigParser) -> Iterator[dict[str, Any]]:
    """The patches of train.yaml, one epoch after the other."""
    loader = parser.get_parsed_content("train#dataloader")
    while True:
        yield from loader


def steps_of(
    patches: Iterator[dict[str, Any]], parser: ConfigParser, amp: bool, channels_last: bool
) -> Iterator[tuple[float, float]]:
    """Wall and processor seconds of one step after the other, data included."""
    device = parser["device"]
    network = parser.get_parsed_content("network_def", instantiate=True).to(device)
    network.train()
    if channels_last:
        network.to(memory_format=torch.channels_last_3d)
    loss = parser.get_parsed_content("loss")
    optimizer = Muon(network.parameters())
    while True:
        start, used = time.perf_counter(), time.process_time()
        batch = {key: torch.as_tensor(item).to(device) for key, item in next(patches).items()}
        optimizer.zero_grad()
        with autocast(device, amp):
            answer = network(batch["image"].as_subclass(torch.Tensor))
        loss(answer, batch["label"].as_subclass(torch.Tensor)).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        yield time.perf_counter() - start, time.process_time() - used


def main(words: Sequence[str] | None = None) -> None:
    """Print the table.

    Args:
        words: of the command line; the program's own by default.
    """
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--steps", type=int, default=40, help="that are counted, of each way")
    parse.add_argument("--cases", type=int, default=2)
    parse.add_argument("--device", default="cpu")
    told = parse.parse_args(words)
    parser = ConfigParser()
    parser.read_config(str(bundle_root() / "configs" / "train.yaml"))
    parser["bundle_root"] = str(bundle_root())
    parser["device"] = torch.device(told.device)
    cases = load_data_list(LIST, DATA, "training")[: told.cases]
    parser["train#dataset#data"] = cases
    amp = parser.get_parsed_content("amp")
    ways = {
        "plain MONAI": steps_of(plain(cases, parser), parser, False, False),
        "train.yaml": steps_of(ours(parser), parser, amp, True),
    }
    print("way              first round s   steps   wall s/step   processor s/step")
    each = {}
    for name, steps in ways.items():
        # Until every scan has been drawn: MONAI's own way reads them again later, ours does not.
        first = [next(steps) for _ in range(told.cases * parser["patches_per_scan"])]
        counted = first if name == "plain MONAI" else [next(steps) for _ in range(told.steps)]
        wall, used = (sum(column) / len(counted) for column in zip(*counted, strict=True))
        each[name] = wall, used
        reading = sum(one for one, _ in first)
        print(f"{name:<16}{reading:14.1f}{len(counted):8}{wall:14.3f}{used:19.3f}", flush=True)
    ratios = [each["plain MONAI"][kind] / each["train.yaml"][kind] for kind in (0, 1)]
    print(f"ratio           {ratios[0]:36.1f}{ratios[1]:19.1f}")


if __name__ == "__main__":
    main()
