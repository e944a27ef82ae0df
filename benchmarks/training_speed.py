"""Training steps a second: train.yaml's way against the plain MONAI way, in one run.

    python -m benchmarks.training_speed [--steps N] [--scans N]

Plain: Dataset, LoadImaged, Orientationd, Spacingd, ScaleIntensityRanged each time a scan is drawn,
RandCropByPosNegLabeld, RandAffined, float32. Ours: train.yaml as it is: read once and kept on the
grid, warped patches, all of its augmentation, bfloat16 where the processor has it. The same
network, patch, loss and optimiser step on both sides; what fills our cache is told apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset
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
from liverseg.inferer import autocast

BOTH = ("image", "label")
LIVER = 5  # in BTCV's labels


def plain(cases: list[dict[str, str]], parser: ConfigParser) -> DataLoader:
    """What a MONAI tutorial does."""
    low, high = parser["window"]
    patch = parser["patch_size"]
    steps = [
        LoadImaged(BOTH),
        EnsureChannelFirstd(BOTH),
        Orientationd(BOTH, axcodes="RAS", labels=None),
        Spacingd(BOTH, pixdim=parser["spacing_mm"], mode=("bilinear", "nearest")),
        ScaleIntensityRanged("image", low, high, 0.0, 1.0, clip=True),
        Lambdad("label", lambda label: label == LIVER),
        RandCropByPosNegLabeld(BOTH, "label", patch, pos=1, neg=1, num_samples=1),
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
    return DataLoader(Dataset(cases, Compose(steps)), batch_size=1, num_workers=0)


def steps_of(
    loader: Any, parser: ConfigParser, amp: bool, channels_last: bool
) -> Iterator[tuple[float, float]]:
    """Wall and processor seconds of one step after the other, data included."""
    network = parser.get_parsed_content("network_def", instantiate=True)
    network.train()
    if channels_last:
        network.to(memory_format=torch.channels_last_3d)
    loss = parser.get_parsed_content("loss")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    for _ in cycle([0]):
        batches = iter(loader)
        while True:
            start, used = time.perf_counter(), time.process_time()
            batch = next(batches, None)
            if batch is None:
                break
            optimizer.zero_grad()
            with autocast(torch.device("cpu"), amp):
                answer = network(batch["image"].as_subclass(torch.Tensor))
            loss(answer, batch["label"].as_subclass(torch.Tensor)).backward()
            optimizer.step()
            yield time.perf_counter() - start, time.process_time() - used


def main() -> None:
    """Print the table."""
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--steps", type=int, default=8, help="that are counted, of each way")
    parse.add_argument("--scans", type=int, default=2)
    told = parse.parse_args()
    parser = ConfigParser()
    parser.read_config(str(bundle_root() / "configs" / "train.yaml"))
    parser["bundle_root"] = str(bundle_root())
    parser["device"] = torch.device("cpu")
    dataset = parser.get_parsed_content("train#dataset")
    cases = list(dataset.data)[: told.scans]
    dataset.set_data(cases)
    amp = parser.get_parsed_content("amp")
    ways = {
        "plain MONAI": steps_of(plain(cases, parser), parser, False, False),
        "train.yaml": steps_of(parser.get_parsed_content("train#dataloader"), parser, amp, True),
    }
    print("way              first scans s   steps   wall s/step   processor s/step")
    each = {}
    for name, steps in ways.items():
        first = sum(next(steps)[0] for _ in range(told.scans))
        counted = [next(steps) for _ in range(told.steps)]
        wall, used = (sum(column) / told.steps for column in zip(*counted, strict=True))
        each[name] = used
        print(f"{name:<16}{first:14.1f}{told.steps:8}{wall:14.2f}{used:19.2f}", flush=True)
    print(f"ratio of processor time {each['plain MONAI'] / each['train.yaml']:.1f}")


if __name__ == "__main__":
    main()
