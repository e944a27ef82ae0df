"""One scan through `liverseg segment`: time a stage, time in all, peak memory, Dice.

    python -m benchmarks.segment [SCAN REFERENCE]

By default 3D-IRCADb-01 patient 1 of the data folder (LIVERSEG_DATA), which no training has seen.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

DATA = Path(os.environ.get("LIVERSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
KIB_PER_MIB = 1024


def dice(mask: Path, reference: Path) -> float:
    """Dice of two NIfTI masks, each brought to RAS axes; NaN where both are empty."""
    pred, ref = (nib.as_closest_canonical(nib.load(path)) for path in (mask, reference))
    if pred.shape != ref.shape or not np.allclose(pred.affine, ref.affine, atol=0.01):
        raise ValueError(f"the masks lie on different grids: {pred.shape} and {ref.shape}")
    a, b = (np.asanyarray(image.dataobj) > 0 for image in (pred, ref))
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def main(scan: Path, reference: Path) -> None:
    """Print the table for one scan."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-m", "liverseg.cli", "segment", str(scan), "-o", folder]
        subprocess.run([*command, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / KIB_PER_MIB
        (case,) = (Path(folder) / "cases").iterdir()
        report = json.loads((case / "report.json").read_text())
        for stage, value in report["seconds"].items():
            print(f"{stage:<24}{value:8.2f} s")
        print(f"{'whole process':<24}{seconds:8.2f} s")
        print(f"{'peak memory':<24}{peak:8.0f} MiB")
        print(f"{'volume':<24}{report['volume_ml']:8.2f} ml")
        print(f"{'Dice':<24}{dice(case / 'liver.nii.gz', reference):8.4f}")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    folder = DATA / "ircadb_01"
    main(*(arguments or [folder / "dicom.zip", folder / "liver.nii.gz"]))
