"""Why a stock MONAI pipeline's mask is not quite ours: from it to ours, one change after the other.

    python -m benchmarks.agreement [SCAN REFERENCE]

The same two networks with the same weights. The stock pipeline is that of benchmarks.stock, but it
gives the coarse network windows too; then, each on top of the last: the coarse network gets its
image in one pass, the fine one is run in the box, exactly, instead of in windows that are averaged;
the logit is brought back instead of the probability; the scan is averaged down to our grid instead
of interpolated by Spacingd; OpenVINO in bfloat16 instead of torch in float32. Dice of each mask
with the one before, with ours, and with the reference.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray

from benchmarks.exactness import dice
from benchmarks.stock import networks, nifti, postprocessing, preprocessing
from liverseg.bundle_files import bundle_root
from liverseg.cascade import CascadeInferer, coarse_image, guidance, with_coarse
from liverseg.component import liver_component
from liverseg.engine import make_engine
from liverseg.grid import Grid, to_network_grid, to_scan_grid
from liverseg.inferer import TiledInferer
from liverseg.masks import read_pair
from liverseg.outputs import write_nifti
from liverseg.scans import found_scans, read_scan

DATA = Path(os.environ.get("LIVERSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
WINDOWS = {"roi_size": (96, 96, 96), "sw_batch_size": 1, "overlap": 0.5, "mode": "gaussian"}
CPU = torch.device("cpu")
MOST = 50.0  # logits beyond this are certain


def in_windows(
    image: torch.Tensor, engines: list[Any], factor: int, weight: float, coarse_too: bool
) -> torch.Tensor:
    """(X, Y, Z) logit of the fine network in windows; the coarse one in windows or one pass."""
    coarse, fine = (lambda given, engine=engine: engine(given)[:, :1] for engine in engines)
    small = coarse_image(image, factor)
    looked = (
        sliding_window_inference(small, predictor=coarse, **WINDOWS)
        if coarse_too
        else coarse(small)
    )
    x, y, z = image.shape[2:]
    guide = guidance(looked, (x, y, z), factor)
    both = torch.cat([image, guide], dim=1)
    logits = sliding_window_inference(both, predictor=fine, **WINDOWS)
    return with_coarse(logits, guide, weight)[0, 0]  # type: ignore[arg-type]


def masks(scan: Path, folder: Path) -> tuple[dict[str, NDArray[np.uint8]], Any]:
    """The masks by what is new in them, the last one ours; and the affine."""
    parser = ConfigParser()
    parser.read_config(str(bundle_root() / "configs" / "inference.yaml"))
    pair = networks(parser, "cpu")
    pre = preprocessing(parser)
    data = pre({"image": str(nifti(scan, folder))})
    with found_scans([scan]) as scans:
        volume = read_scan(next(one for one in scans if one.accepted))
    own = Grid(volume.image.shape, volume.affine)
    spacing, window = tuple(parser["spacing_mm"]), tuple(parser["window"])
    theirs = data["image"][None].as_tensor()
    their_grid = Grid(tuple(theirs.shape[2:]), data["image"].affine.numpy().astype(np.float64))
    ours, our_grid = to_network_grid(volume.image, volume.affine, spacing, window)
    engines = {
        amp: [make_engine(one, CPU, "auto" if amp else "torch", amp) for one in pair]
        for amp in (False, True)
    }

    def in_box(image: torch.Tensor, amp: bool) -> torch.Tensor:
        names = ("factor", "threshold", "margin", "coarse_weight")
        settings = {name: parser[name] for name in names}
        tiles = TiledInferer(amp=False, dtype=torch.float16 if amp else torch.float32)
        return CascadeInferer(engines[amp][0], tiles=tiles, **settings)(image, engines[amp][1])[
            0, 0
        ]

    def their_way(logit: torch.Tensor) -> NDArray[np.uint8]:
        logit = logit.clamp(-MOST, MOST)
        pred = MetaTensor(torch.stack([-logit / 2, logit / 2]), affine=data["image"].affine)
        back = postprocessing(pre)({**data, "pred": pred})["pred"][0]
        return back.numpy().astype(np.uint8)  # type: ignore[no-any-return]

    def our_way(logit: torch.Tensor, grid: Grid) -> NDArray[np.uint8]:
        return liver_component(to_scan_grid(logit, grid, own)).mask

    boxed = in_box(theirs, False)
    factor, weight = parser["factor"], parser["coarse_weight"]
    return {
        "stock, coarse in windows": their_way(
            in_windows(theirs, engines[False], factor, weight, True)
        ),
        "coarse in one pass": their_way(in_windows(theirs, engines[False], factor, weight, False)),
        "fine in the box, exact": their_way(boxed),
        "logit brought back": our_way(boxed, their_grid),
        "averaged to our grid": our_way(in_box(ours[None, None], False), our_grid),
        f"{engines[True][1].name}, half precision": our_way(
            in_box(ours[None, None], True), our_grid
        ),
    }, volume.affine


def main(scan: Path, reference: Path) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        found, affine = masks(scan, Path(name))
        before = None
        ours = list(found.values())[-1]
        print("Dice with                     the one before     ours   reference")
        for what, mask in found.items():
            path = Path(name) / "mask.nii.gz"
            write_nifti(path, mask, affine)
            pair = read_pair(path, reference)
            step = "" if before is None else f"{dice(mask, before):.4f}"
            print(f"{what:<28}{step:>16}{dice(mask, ours):9.4f}{dice(pair.pred, pair.ref):12.4f}")
            before = mask


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    folder = DATA / "ircadb_01"
    main(*(arguments or [folder / "dicom.zip", folder / "liver.nii.gz"]))
