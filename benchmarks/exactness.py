"""What speed must not cost: the box against the whole scan, averaging against plain interpolation.

    python -m benchmarks.exactness [CASE ...]

For every BTCV case of LIVERSEG_DATA, in one run: Dice between the mask of the box and that of the
fine network over the whole scan (`box`), the same for the scan cut through the middle of its liver,
its lower and its upper half (`low`, `high`), and how often the box grew; Dice between the masks of
the scan averaged down to the network's grid and of the scan interpolated there (`ways`), and Dice
of either with the label. The shipped weights have seen these labels: the last columns compare the
two ways, they do not judge the weights. 3D-IRCADb-01 patient 1 they have not seen.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from liverseg.cascade import CascadeInferer, coarse_image, guidance, with_coarse
from liverseg.component import liver_component
from liverseg.grid import Grid, to_network_grid, to_scan_grid
from liverseg.masks import read_pair
from liverseg.outputs import write_nifti
from liverseg.pipeline import load_pipeline
from liverseg.scans import found_scans, read_scan

DATA = Path(os.environ.get("LIVERSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
LIVER = {"btcv": (5,), "ircadb_01": ()}  # values of the labels; any but 0 where there are none


@dataclass
class Cascade:
    """The bundle's cascade, with the passes of the fine network counted.

    Attributes:
        inferer: the cascade.
        network: the fine network.
        passes: since it was last set to 0.
    """

    inferer: CascadeInferer
    network: Any
    passes: int = 0

    @property
    def in_channels(self) -> int:
        """Of the fine network."""
        return int(self.network.in_channels)

    @property
    def halo(self) -> Any:
        """Of the fine network."""
        return self.network.halo

    @property
    def stride(self) -> Any:
        """Of the fine network."""
        return self.network.stride

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """The fine network itself, counted."""
        self.passes += 1
        return self.network(image)  # type: ignore[no-any-return]

    def boxed(self, image: torch.Tensor) -> torch.Tensor:
        """(X, Y, Z) logit as the product makes it."""
        return self.inferer(image[None, None], self)[0, 0]

    def whole(self, image: torch.Tensor) -> torch.Tensor:
        """(X, Y, Z) logit of the fine network over the whole scan."""
        given = image[None, None]
        tiles, factor = self.inferer.tiles, self.inferer.factor
        looked = tiles(coarse_image(given, factor), self.inferer.coarse).float()
        x, y, z = image.shape
        guide = guidance(looked[:, :1], (x, y, z), factor)
        logits = tiles(torch.cat([given, guide], dim=1), self.network)
        return with_coarse(logits, guide, self.inferer.coarse_weight)[0, 0]


def liver(logit: torch.Tensor) -> NDArray[np.bool_]:
    """The largest component on the network's grid."""
    return liver_component((logit > 0).numpy().astype(np.uint8)).mask > 0


def dice(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Dice of two masks; 1 where both are empty."""
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return 1.0 if total == 0 else 2 * np.count_nonzero((one > 0) & (other > 0)) / total


def halves(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The slices below and from the middle of a mask on."""
    held = np.flatnonzero(mask.any(axis=(0, 1)))
    middle = int(held.mean())
    return slice(0, middle), slice(middle, mask.shape[2])


def interpolated(image: NDArray[np.int16], shape: torch.Size, window: tuple[float, float]) -> Any:
    """The scan on a grid of that shape by linear interpolation alone; its axes go along R, A, S."""
    low, high = window
    values = (torch.from_numpy(np.ascontiguousarray(image)).float().clamp(low, high) - low) / (
        high - low
    )
    size = tuple(shape)
    return functional.interpolate(values[None, None], size, mode="trilinear")[0, 0]


def case(name: str, path: Path, label: Path, cascade: Cascade) -> list[float]:
    """The row of one scan."""
    import tempfile

    from nibabel.orientations import apply_orientation, io_orientation

    with found_scans([path]) as scans:
        volume = read_scan(next(scan for scan in scans if scan.accepted))
    spacing, window = (2.0, 2.0, 2.0), (-125.0, 275.0)
    image, grid = to_network_grid(volume.image, volume.affine, spacing, window)
    cascade.passes = 0
    logit = cascade.boxed(image)
    grown = cascade.passes - 1
    row = [dice(liver(logit), liver(cascade.whole(image)))]
    for part in halves(liver(logit)):
        cut = image[:, :, part].contiguous()
        row.append(dice(liver(cascade.boxed(cut)), liver(cascade.whole(cut))))
    ras = apply_orientation(volume.image, io_orientation(volume.affine))
    other = cascade.boxed(interpolated(ras, image.shape, window))
    scan = Grid(volume.image.shape, volume.affine)
    masks = [liver_component(to_scan_grid(one, grid, scan)).mask for one in (logit, other)]
    row += [float(grown), dice(*masks)]
    with tempfile.TemporaryDirectory() as folder:
        for mask in masks:
            written = Path(folder) / "mask.nii.gz"
            write_nifti(written, mask, volume.affine)
            pair = read_pair(written, label, LIVER[path.parent.name])
            row.append(dice(pair.pred, pair.ref))
    print(f"{name:<12}" + "".join(f"{value:9.4f}" for value in row), flush=True)
    return row


def main(wanted: list[str]) -> None:
    """Print the table."""
    pipeline = load_pipeline("cpu")
    cascade = Cascade(pipeline.inferer, pipeline.network)  # type: ignore[arg-type]
    found = {path.name[:9]: path for path in sorted((DATA / "btcv").glob("*_ct.nii.gz"))}
    print(f"{pipeline.engine}; grew is a count, the rest Dice")
    print("case             box      low     high     grew     ways averaged   linear")
    rows = []
    with torch.inference_mode():
        for name, path in found.items():
            if not wanted or name in wanted:
                label = path.with_name(f"{name}_label.nii.gz")
                rows.append(case(name, path, label, cascade))
        if not wanted:
            folder = DATA / "ircadb_01"
            case("ircadb_01", folder / "dicom.zip", folder / "liver.nii.gz", cascade)
    print(f"{'mean':<12}" + "".join(f"{value:9.4f}" for value in np.mean(rows, axis=0)))
    print(f"{'lowest':<12}" + "".join(f"{value:9.4f}" for value in np.min(rows, axis=0)))


if __name__ == "__main__":
    main(sys.argv[1:])
