"""Finding and reading DICOM beside other readers: seconds and peak memory, each in its own process.

    python -m benchmarks.intake [--slices 1000] [--files 20000] [--rounds 3] [--slow]

Wants SimpleITK (pip install -e '.[bench]') and dcm2niix (apt-get install dcm2niix) for comparison;
--slow adds MONAI's two readers (ITKReader needs the package itk). A machine is never quiet: the
readers take turns, and the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom

from liverseg.dicom.write import write_ct_series
from liverseg.scans import found_scans, read_scan

ROWS = 512
SMALL_ROWS, SMALL_SLICES = 64, 100  # of the many series that are only looked for
SPACING_MM = (0.8, 0.7, 1.0)
KIB_PER_MIB = 1024
TABLE = "{:<28}{:>9}{:>12}{:>14}{:>14}"


def liverseg_find(folder: Path) -> int:
    """What `liverseg inspect` does."""
    with found_scans([folder]) as scans:
        return sum(scan.slices for scan in scans)


def liverseg_read(folder: Path) -> int:
    """Find, judge and read."""
    with found_scans([folder]) as scans:
        return read_scan(scans[0]).image.shape[2]


def simpleitk(folder: Path) -> int:
    """SimpleITK's series reader."""
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return int(reader.Execute().GetSize()[2])


def pydicom_plain(folder: Path) -> int:
    """A loop over the files: no checks, sorted by position."""
    slices = [pydicom.dcmread(path) for path in folder.iterdir()]
    slices.sort(key=lambda item: item.ImagePositionPatient[2])
    image = np.stack(
        [item.pixel_array * item.RescaleSlope + item.RescaleIntercept for item in slices], axis=-1
    )
    return image.astype(np.int16).shape[2]


def dcm2niix(folder: Path) -> int:
    """The converter, without compression; it also writes the file."""
    with tempfile.TemporaryDirectory() as output:
        command = ["dcm2niix", "-z", "n", "-b", "n", "-o", output, str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return len(list(Path(output).glob("*.nii")))


def monai_itk(folder: Path) -> int:
    """MONAI's LoadImage with ITKReader."""
    from monai.transforms import LoadImage

    return int(LoadImage(reader="ITKReader", image_only=True)(folder).shape[2])


def monai_pydicom(folder: Path) -> int:
    """MONAI's LoadImage with PydicomReader."""
    from monai.transforms import LoadImage

    return int(LoadImage(reader="PydicomReader", image_only=True)(folder).shape[2])


JOBS: dict[str, Callable[[Path], int]] = {
    "liverseg, find": liverseg_find,
    "liverseg, find and read": liverseg_read,
    "SimpleITK series reader": simpleitk,
    "pydicom in a loop": pydicom_plain,
    "dcm2niix": dcm2niix,
    "MONAI ITKReader": monai_itk,
    "MONAI PydicomReader": monai_pydicom,
}
SLOW = ("MONAI ITKReader", "MONAI PydicomReader")
REFERENCE = "SimpleITK series reader"


def available(name: str) -> str:
    """What is missing for a reader; "" when nothing is."""
    if name == REFERENCE and importlib.util.find_spec("SimpleITK") is None:
        return "not here: pip install -e '.[bench]'"
    if name == "dcm2niix" and shutil.which("dcm2niix") is None:
        return "not here: apt-get install dcm2niix"
    if name == "MONAI ITKReader" and importlib.util.find_spec("itk") is None:
        return "not here: pip install itk"
    return ""


def warm_up(name: str, folder: Path) -> None:
    """Import what the reader imports, on a few slices, so that only the reading is measured."""
    with tempfile.TemporaryDirectory() as few:
        for path in sorted(path for path in folder.rglob("*") if path.is_file())[:10]:
            shutil.copy(path, few)
        JOBS[name](Path(few))


def measure_here(name: str, folder: Path) -> None:
    """Run one reader in this process and print its seconds and peak MiB above the start."""
    warm_up(name, folder)
    before = memory_kib("VmRSS")
    start = time.perf_counter()
    JOBS[name](folder)
    seconds = time.perf_counter() - start
    peak_kib = memory_kib("VmHWM") - before
    if name == "dcm2niix":
        peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps([seconds, peak_kib / KIB_PER_MIB]))


def memory_kib(kind: str) -> int:
    """VmRSS or VmHWM of this process; getrusage would count its parent's peak too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind):
            return int(line.split()[1])
    raise OSError("this benchmark wants Linux's /proc")


def measured(name: str, folder: Path) -> tuple[float, float]:
    """Seconds and MiB of one reader in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.intake", "--one", name]
    done = subprocess.run([*command, str(folder)], check=True, capture_output=True, text=True)
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def write_large(folder: Path, slices: int) -> None:
    """One series of random numbers."""
    random_source = np.random.default_rng(0)
    image = random_source.integers(-1024, 2000, size=(ROWS, ROWS, slices), dtype=np.int16)
    write_ct_series(image, np.diag([-SPACING_MM[0], *SPACING_MM[1:], 1.0]), folder)


def write_many(folder: Path, files: int) -> int:
    """A tree of small series, each with identifiers of its own; how many files there are."""
    pattern = folder / "pattern"
    random_source = np.random.default_rng(0)
    shape = (SMALL_ROWS, SMALL_ROWS, SMALL_SLICES)
    image = random_source.integers(-1024, 2000, size=shape, dtype=np.int16)
    paths = write_ct_series(image, np.diag([-SPACING_MM[0], *SPACING_MM[1:], 1.0]), pattern)
    uid = pydicom.dcmread(paths[0]).SeriesInstanceUID.encode()
    count = max(1, files // SMALL_SLICES)
    for number in range(1, count):
        place = folder / f"patient{number % 50}" / f"series{number}"
        place.mkdir(parents=True)
        other = uid[:-5] + f"{number:05d}".encode()
        for path in paths:
            (place / path.name).write_bytes(path.read_bytes().replace(uid, other))
    return count * SMALL_SLICES


def print_row(name: str, seconds: float, peak: float, reference: float, volume: float) -> None:
    """One line of the table; NaN is left blank."""
    ratio = "" if np.isnan(reference) else f"{seconds / reference:.2f}"
    share = "" if np.isnan(volume) else f"{peak / volume:.2f}"
    print(TABLE.format(name, f"{seconds:.2f}", f"{peak:.0f}", ratio, share))


def main(slices: int, files: int, rounds: int, slow: bool) -> None:
    """Write the folders, let every reader take its turns and print the table."""
    names = [name for name in JOBS if name != "liverseg, find" and (slow or name not in SLOW)]
    with tempfile.TemporaryDirectory() as temporary:
        large, many = Path(temporary) / "large", Path(temporary) / "many"
        write_large(large, slices)
        count = write_many(many, files)
        best: dict[str, tuple[float, float]] = {}
        for _ in range(rounds):
            for name in names:
                if not available(name):
                    best[name] = min(best.get(name, (np.inf, np.inf)), measured(name, large))
        find_one = min(measured("liverseg, find", large) for _ in range(rounds))
        find_many = min(measured("liverseg, find", many) for _ in range(rounds))

    nan = float("nan")
    reference = best.get(REFERENCE, (nan, nan))[0]
    volume = slices * ROWS * ROWS * np.dtype(np.int16).itemsize / KIB_PER_MIB**2
    print(f"{slices} slices of {ROWS} x {ROWS}: {volume:.0f} MiB as int16")
    print(TABLE.format("", "s", "peak MiB", "to SimpleITK", "to the volume"))
    for name in names:
        if name in best:
            print_row(name, *best[name], reference, volume)
        else:
            print(f"{name:<28}{available(name)}")
    print_row(f"headers of {slices} slices", *find_one, nan, nan)
    print_row(f"headers of {count} files", *find_many, nan, nan)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="find and read DICOM beside other readers")
    parser.add_argument("--slices", type=int, default=1000)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", action="store_true", help="MONAI's readers too")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure_here(options.one[0], Path(options.one[1]))
    else:
        main(options.slices, options.files, options.rounds, options.slow)
