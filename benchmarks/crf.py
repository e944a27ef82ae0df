"""Our CRF beside a public one, SimpleCRF's permutohedral lattice, on a real scan: time and answer.

    python -m benchmarks.crf [SCAN REFERENCE]

By default 3D-IRCADb-01 patient 1 of the data folder (LIVERSEG_DATA). The unary is what the bundle's
network says; both get the same box, parameters and iterations. SimpleCRF is found by SIMPLECRF, a
Python that has it; an environment of its own, since it needs an old Cython and numpy:

    python -m venv env && env/bin/pip install 'cython<3' 'numpy<2' setuptools wheel
    env/bin/pip install --no-build-isolation SimpleCRF

Without it ours is timed alone. The two differ, since a lattice is an approximation; who is closer
to the truth is told by one iteration at voxels in doubt, summed over all pairs.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from monai.bundle import ConfigParser

from liverseg.bundle_files import bundle_root
from liverseg.crf import Bilateral, CrfParameters, Gaussian, refine
from liverseg.refinement import box_of_the_possible
from liverseg.transforms import LoadLabeld, LoadScand, ToNetworkGridd

DATA = Path(os.environ.get("LIVERSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
# Run by the other Python: reads the arrays, refines, says how long it took.
THEIRS = """
import sys, time
import numpy as np
import denseCRF3D
given = np.load(sys.argv[1])
p = given["probability"].clip(1e-6, 1 - 1e-6)
start = time.perf_counter()
found = denseCRF3D.densecrf3d(
    given["image"][..., None], np.stack([1 - p, p], -1), {
        "MaxIterations": float(given["iterations"]), "ModalityNum": 1.0,
        "PosW": float(given["gaussian_weight"]), "BilateralW": float(given["bilateral_weight"]),
        "PosRStd": given["gaussian"][0], "PosCStd": given["gaussian"][1],
        "PosZStd": given["gaussian"][2], "BilateralRStd": given["bilateral"][0],
        "BilateralCStd": given["bilateral"][1], "BilateralZStd": given["bilateral"][2],
        "BilateralModsStds": (float(given["grey"]),),
    })
print(time.perf_counter() - start, file=sys.stderr)
np.save(sys.argv[2], found)
"""
DOUBT = 3.0  # logits of less, of either sign
SAMPLES = 200
GREYS = 255.0  # of the image that SimpleCRF takes


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """Dice of two masks."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def theirs(
    python: str,
    probability: npt.NDArray[np.float32],
    image: npt.NDArray[np.float32],
    window: tuple[float, float],
    spacing_mm: list[float],
    wanted: CrfParameters,
) -> tuple[npt.NDArray[np.bool_], float]:
    """SimpleCRF's mask and its seconds. Its axes are (D, H, W), with D called Z."""
    z, x, y = spacing_mm  # our first axis is its D, then its rows and columns
    order = np.array([x, y, z])
    low, high = window
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "given.npz"), Path(folder, "found.npy")
        np.savez(
            given,
            probability=probability,
            image=((image - low) / (high - low) * GREYS).round().astype(np.uint8),
            gaussian=wanted.gaussian_mm / order,
            bilateral=wanted.bilateral_mm / order,
            grey=wanted.bilateral_hu / (high - low) * GREYS,
            gaussian_weight=wanted.gaussian_weight,
            bilateral_weight=wanted.bilateral_weight,
            iterations=wanted.iterations,
        )
        done = subprocess.run(
            [python, "-c", THEIRS, str(given), str(found)],
            check=True,
            capture_output=True,
            text=True,
        )
        return np.load(found) > 0, float(done.stderr.split()[-1])


def summed(
    logit: torch.Tensor,
    image: torch.Tensor,
    spacing_mm: list[float],
    wanted: CrfParameters,
    voxels: torch.Tensor,
) -> torch.Tensor:
    """The logit of some voxels after one iteration, every pair summed in double precision.

    The counts n_j that the bilateral kernel is normalised with are those of our filter, except at
    the voxels themselves.
    """
    belief = torch.tanh(logit / 2).flatten().double()
    axes = [torch.arange(n) * mm for n, mm in zip(logit.shape, spacing_mm, strict=True)]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3).double()
    hu = image.flatten().double()
    ours = Bilateral(image, spacing_mm, wanted.bilateral_mm, wanted.bilateral_hu)
    counts = ours.count.flatten().double()
    like = Gaussian(logit, spacing_mm, wanted.gaussian_mm).own.flatten().double()
    found = logit.flatten()[voxels].double()
    for number, voxel in enumerate(voxels.tolist()):
        far = ((places - places[voxel]) ** 2).sum(1)
        unlike = (hu - hu[voxel]) ** 2
        for weight, kernel, n in (
            (
                wanted.bilateral_weight,
                torch.exp(
                    -far / (2 * wanted.bilateral_mm**2) - unlike / (2 * wanted.bilateral_hu**2)
                ),
                counts,
            ),
            (wanted.gaussian_weight, torch.exp(-far / (2 * wanted.gaussian_mm**2)), 1 / like),
        ):
            row = kernel / (float(kernel.sum()) * n).sqrt()
            row[voxel] = 0
            found[number] += weight * float(row @ belief)
    return found


def main(scan: Path, reference: Path) -> None:
    """Print the table."""
    parser = ConfigParser()
    parser.read_config(str(bundle_root() / "configs" / "inference.yaml"))
    parser["bundle_root"] = str(bundle_root())
    pipeline = parser.get_parsed_content("pipeline")
    window = (float(parser["window"][0]), float(parser["window"][1]))
    wanted: CrfParameters = parser.get_parsed_content("crf")
    data = pipeline.preprocessing({"image": str(scan)})
    with torch.inference_mode():
        heads = pipeline.inferer(data["image"][None], pipeline.network)[0]
    logit = torch.as_tensor(heads).as_subclass(torch.Tensor)[0].float().cpu()
    spacing_mm = torch.linalg.norm(data["image"].affine[:3, :3], dim=0).tolist()
    box = box_of_the_possible(logit, spacing_mm)
    if box is None:
        raise ValueError("the network should find a liver to refine; it finds none")
    low, high = window
    image = data["image"].as_tensor()[0][box] * (high - low) + low
    labelled = LoadScand("image")({"image": str(scan), "label": str(reference)})
    labelled = LoadLabeld("label", (1,))(labelled)
    labelled = ToNetworkGridd("label", parser["spacing_mm"], (0.0, 1.0))(labelled)
    label = labelled["label"].as_tensor()[0][box].numpy() > 0.5
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    ours = refine(logit[box], image, spacing_mm, wanted)
    seconds = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{image.numel() / 1e6:.2f} million voxels {tuple(image.shape)}, {wanted}")
    print(f"{'':<22}{'seconds':>9}{'Dice':>9}{'voxels':>11}")
    masks = {"network": ((logit[box] > 0).numpy(), 0.0), "ours": ((ours > 0).numpy(), seconds)}
    python = os.environ.get("SIMPLECRF")
    if python:
        probability = torch.sigmoid(logit[box]).numpy()
        masks["SimpleCRF"] = theirs(python, probability, image.numpy(), window, spacing_mm, wanted)
    else:
        print("SIMPLECRF names no Python with SimpleCRF: ours alone")
    for name, (mask, took) in masks.items():
        print(f"{name:<22}{took:>9.2f}{dice(mask, label):>9.4f}{int(mask.sum()):>11}")
    print(f"memory that ours added {grown:.0f} MiB")
    if python:
        mask, took = masks["SimpleCRF"]
        print(f"Dice of ours and SimpleCRF's {dice(masks['ours'][0], mask):.4f}")
        print(f"ours takes {seconds / took:.3f} of SimpleCRF's time")
    doubted = torch.nonzero((logit[box].flatten()).abs() < DOUBT).flatten()
    some = doubted[torch.randperm(len(doubted), generator=torch.Generator().manual_seed(0))]
    some = some[:SAMPLES]
    once = replace(wanted, iterations=1)
    exact = summed(logit[box], image, spacing_mm, once, some)
    one = refine(logit[box], image, spacing_mm, once).flatten()[some]
    far = (torch.sigmoid(exact) - torch.sigmoid(one.double())).abs()
    print(
        f"one iteration at {len(some)} voxels in doubt, against the sum over all pairs: ours is "
        f"off by {far.mean():.4f} in the mean and {far.max():.4f} at most, on the other side at "
        f"{int(((exact > 0) != (one > 0)).sum())}"
    )
    if python:
        mask = theirs(python, probability, image.numpy(), window, spacing_mm, once)[0]
        other = int(((exact > 0).numpy() != mask.reshape(-1)[some.numpy()]).sum())
        print(f"SimpleCRF is on the other side at {other}")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    folder = DATA / "ircadb_01"
    main(*(arguments or [folder / "dicom.zip", folder / "liver.nii.gz"]))
