"""Whether the heads' disagreement tells of a bad mask: held-out scans, as they are and degraded.

    python -m benchmarks.disagreement --bundle FOLD_BUNDLE [--cases 5 24 31] [-o FILE.csv]

FOLD_BUNDLE holds weights that were trained without these BTCV cases of LIVERSEG_DATA; 3D-IRCADb-01
patient 1 is taken too. Each scan is segmented as it is, with noise, with shifted HU, with fewer
slices and with a part cut away. Printed: a row a run; Spearman's rank correlation of disagreement
and Dice, with an interval by bootstrap over patients; and how well each threshold finds masks
below Dice 0.9, and below 0.7. With -o also a CSV, and a plot beside it.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform
from scipy.stats import spearmanr

from liverseg.pipeline import load_pipeline
from liverseg.scans import Volume, read_scan, scan_at

DATA = Path(os.environ.get("LIVERSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
BTCV_LIVER = 5
BAD_DICE = (0.9, 0.7)
RESAMPLES = 2000
SEED = 20161018
Image = np.ndarray


def noise(sigma_hu: float) -> Callable[[Image], Image]:
    """Gaussian noise of the voxel."""

    def change(image: Image) -> Image:
        added = np.random.default_rng(SEED).normal(0, sigma_hu, image.shape)
        return np.rint(image + added).astype(np.int16)

    return change


def shifted(hu: int) -> Callable[[Image], Image]:
    """Every value off by so many HU, as by a wrong intercept or another phase."""
    return lambda image: (image + hu).astype(np.int16)


def blanked(first: float, last: float, axis: int) -> Callable[[Image], Image]:
    """Air beyond these shares of an axis, as by a smaller field of view."""

    def change(image: Image) -> Image:
        kept = np.full_like(image, -1024)
        part = [slice(None)] * image.ndim
        part[axis] = slice(int(first * image.shape[axis]), int(last * image.shape[axis]))
        kept[tuple(part)] = image[tuple(part)]
        return kept

    return change


DEGRADED: dict[str, Callable[[Image], Image]] = {
    "as it is": lambda image: image,
    "noise of 40 HU": noise(40),
    "noise of 100 HU": noise(100),
    "noise of 200 HU": noise(200),
    "40 HU less": shifted(-40),
    "100 HU less": shifted(-100),
    "60 HU more": shifted(60),
    "120 HU more": shifted(120),
    "half the slices blank": blanked(0.5, 1.0, 2),
    "half the field of view blank": blanked(0.0, 0.55, 0),
}


def dice(pred: Image, ref: Image) -> float:
    """Dice of two masks on one grid; 0 where only one is empty."""
    return float(2 * (pred & ref).sum() / max(1, pred.sum() + ref.sum()))


def cases(numbers: list[int]) -> Iterator[tuple[str, Volume, Image]]:
    """Name, scan and reference of every case."""
    paths = [
        (
            f"btcv_{number:04d}",
            DATA / "btcv" / f"btcv_{number:04d}_ct.nii.gz",
            DATA / "btcv" / f"btcv_{number:04d}_label.nii.gz",
        )
        for number in numbers
    ]
    paths.append(("ircadb_01", DATA / "ircadb_01/dicom.zip", DATA / "ircadb_01/liver.nii.gz"))
    for name, scan_path, label_path in paths:
        with scan_at(scan_path) as scan:
            volume = read_scan(scan)
        label: Any = nib.load(label_path)
        values = np.asarray(label.dataobj)
        ref = values == BTCV_LIVER if name.startswith("btcv") else values > 0
        turn = ornt_transform(io_orientation(label.affine), io_orientation(volume.affine))
        yield name, volume, apply_orientation(ref, turn)


def measured(bundle: Path | None, numbers: list[int]) -> Iterator[dict[str, Any]]:
    """A row a run."""
    import torch

    pipeline = load_pipeline("cpu", bundle)
    for name, volume, ref in cases(numbers):
        for how, change in DEGRADED.items():
            image = change(volume.image)
            # What was cut away is no liver that could be found.
            there = ref & (image > -1024) if "blank" in how else ref
            data = pipeline.preprocessing({"image": volume._replace(image=image)})
            with torch.inference_mode():
                data["pred"] = pipeline.inferer(data["image"][None], pipeline.network)[0]
            data = pipeline.postprocessing(data)
            mask = np.asarray(torch.as_tensor(data["pred"]))[0] > 0
            yield {
                "case": name,
                "how": how,
                "dice": dice(mask, there),
                "disagreement": data["disagreement"].meta["disagreement"],
            }


def correlation(rows: list[dict[str, Any]]) -> str:
    """Spearman's rho and its interval, patients drawn with replacement."""
    patients = sorted({row["case"] for row in rows})
    draw = np.random.default_rng(SEED)

    def rho(chosen: list[dict[str, Any]]) -> float:
        pairs = np.array([(row["disagreement"], row["dice"]) for row in chosen])
        return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)

    found = []
    for _ in range(RESAMPLES):
        names = draw.choice(patients, len(patients))
        chosen = [row for name in names for row in rows if row["case"] == name]
        if len({row["disagreement"] for row in chosen}) > 1:
            found.append(rho(chosen))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return f"{rho(rows):+.2f} [{low:+.2f}, {high:+.2f}], {len(rows)} runs of {len(patients)} scans"


def within(rows: list[dict[str, Any]]) -> str:
    """Spearman's rho over the scans as they are: what a flag would mean on an ordinary day."""
    pairs = [(row["disagreement"], row["dice"]) for row in rows if row["how"] == "as it is"]
    if len(pairs) < 3:
        return f"not computed from {len(pairs)}"
    found = spearmanr([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return f"{found.statistic:+.2f}, p = {found.pvalue:.2f}, {len(pairs)} scans"


def thresholds(rows: list[dict[str, Any]]) -> Iterator[str]:
    """How well each threshold tells bad masks from the others."""
    values = sorted(row["disagreement"] for row in rows)
    quantiles = [float(np.quantile(values, share)) for share in (0.25, 0.5, 0.75, 0.9)]
    for level in BAD_DICE:
        yield f"masks below Dice {level}:"
        bad = [row["dice"] < level for row in rows]
        for at in quantiles:
            over = [row["disagreement"] > at for row in rows]
            found = sum(b and o for b, o in zip(bad, over, strict=True))
            false = sum(o and not b for b, o in zip(bad, over, strict=True))
            others = len(bad) - sum(bad)
            yield f"  above {at:.3f}: {found} of {sum(bad)} bad, {false} of {others} others"


def draw_plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Dice over disagreement, a mark a way of degrading."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    for how in DEGRADED:
        chosen = [row for row in rows if row["how"] == how]
        axes.scatter([r["disagreement"] for r in chosen], [r["dice"] for r in chosen], label=how)
    axes.set_xlabel("disagreement of the heads (1 - soft Dice)")
    axes.set_ylabel("Dice of the mask")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="its weights (default: the one shipped)")
    parser.add_argument("--cases", type=int, nargs="+", default=[5, 24, 31])
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.csv")
    args = parser.parse_args()
    rows = []
    for row in measured(args.bundle, args.cases):
        print(f"{row['case']:<12}{row['how']:<30}{row['dice']:8.3f}{row['disagreement']:8.3f}")
        rows.append(row)
    known = [row for row in rows if not np.isnan(row["disagreement"])]
    print(f"no liver found in {len(rows) - len(known)} of {len(rows)} runs")
    print(f"Spearman, all runs: {correlation(known)}")
    print(f"Spearman, scans as they are: {within(known)}")
    print("\n".join(thresholds(known)))
    if args.output is not None:
        with args.output.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        draw_plot(known, args.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
