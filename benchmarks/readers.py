"""The catalogue of deliveries, read by ours, by MONAI's two readers and by SimpleITK: who is right.

    python -m benchmarks.readers [--only WORD]

Each reader is given the folder of each delivery (the file, where there is only one) in a process
of its own with a time limit. MONAI's readers are called as LoadImage calls them; SimpleITK reads
every series that it finds. Wants `pip install -e '.[bench]'` and what `make test` installs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from catalogue import CATALOGUE
from rows import Case, Truth

SECONDS = 60.0  # for one delivery, with the start of the process
PLACE_MM = 0.01
COLUMN = 36  # letters
READS = "reads it"  # what ours refuses, with the values and the place that were sent
Volumes = list[Truth]


def ours(path: Path) -> tuple[Volumes, list[str]]:
    """What was read, and the codes of what was refused."""
    from liverseg.errors import ScanRejected
    from liverseg.scans import found_scans, read_scan

    volumes, codes = [], []
    with found_scans([path]) as scans:
        for scan in scans:
            try:
                volume = read_scan(scan)
                volumes.append(Truth(volume.image, volume.affine))
            except ScanRejected as error:
                codes.append(error.code)
    return volumes, codes


def _monai(reader: Any, path: Path) -> tuple[Volumes, list[str]]:
    """One volume, as LoadImage would take it from the reader."""
    image, meta = reader.get_data(reader.read(path))
    return [Truth(np.asarray(image), np.asarray(meta["affine"], dtype=np.float64))], []


def monai_itk(path: Path) -> tuple[Volumes, list[str]]:
    """MONAI's ITKReader."""
    from monai.data import ITKReader

    return _monai(ITKReader(), path)


def monai_pydicom(path: Path) -> tuple[Volumes, list[str]]:
    """MONAI's PydicomReader."""
    from monai.data import PydicomReader

    return _monai(PydicomReader(), path)


def simpleitk(path: Path) -> tuple[Volumes, list[str]]:
    """SimpleITK's series reader, for every series of the folder; its image reader for a file."""
    import SimpleITK

    if path.is_file():
        return [_from_itk(SimpleITK.ReadImage(str(path)))], []
    volumes = []
    for uid in SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(path)):
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path), uid))
        volumes.append(_from_itk(reader.Execute()))
    if not volumes:
        raise ValueError("no series")
    return volumes, []


def _from_itk(image: Any) -> Truth:
    """(X, Y, Z) and the RAS affine of an ITK image."""
    import SimpleITK

    dimensions = image.GetDimension()
    affine = np.eye(4)
    directions = np.reshape(image.GetDirection(), (dimensions, dimensions))[:3, :3]
    affine[:3, :3] = directions * np.array(image.GetSpacing())[:3]
    affine[:3, 3] = np.array(image.GetOrigin())[:3]
    values = SimpleITK.GetArrayFromImage(image).T
    return Truth(values, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


READERS: dict[str, Callable[[Path], tuple[Volumes, list[str]]]] = {
    "liverseg": ours,
    "MONAI ITKReader": monai_itk,
    "MONAI PydicomReader": monai_pydicom,
    "SimpleITK": simpleitk,
}


def difference(read: Truth, truth: Truth) -> str:
    """What is wrong with a volume, in whatever order its axes are; "" when nothing is."""
    image = np.squeeze(read.image)
    if image.ndim != 3:
        return f"{image.ndim}-D"
    got, wanted = (_canonical(Truth(np.squeeze(v.image), v.affine)) for v in (read, truth))
    spacings = [np.linalg.norm(volume.affine[:3, :3], axis=0) for volume in (got, wanted)]
    if np.abs(spacings[0] - spacings[1]).max() > PLACE_MM:
        worst = int(np.abs(spacings[0] - spacings[1]).argmax())
        return f"{spacings[0][worst]:.3f} mm for {spacings[1][worst]:.3f}"
    if got.image.shape != wanted.image.shape:
        shape = " x ".join(map(str, got.image.shape))
        return f"{shape}"
    if np.abs(got.affine[:3, :3] - wanted.affine[:3, :3]).max() > PLACE_MM:
        return "directions"
    if np.abs(got.affine - wanted.affine).max() > PLACE_MM:
        return "place"
    gap = got.image.astype(np.float64) - wanted.image
    if np.abs(gap).max() > 0.5:
        offset = float(gap.flat[0])
        constant = bool((gap == offset).all())
        return f"HU off by {offset:g}" if constant else f"HU wrong in {np.mean(gap != 0):.0%}"
    return ""


def _canonical(volume: Truth) -> Truth:
    """The volume with its axes as near to RAS as turning them allows."""
    image = nib.Nifti1Image(volume.image.astype(np.float64), volume.affine)
    image = nib.as_closest_canonical(image)
    return Truth(np.asarray(image.dataobj), image.affine)


def verdict(case: Case, volumes: Volumes, codes: Sequence[str]) -> str:
    """Right, refused with its codes, READS, or what is wrong."""
    wanted = [entry for entry in case.outcome if isinstance(entry, Truth)]
    refusals = sorted(entry for entry in case.outcome if isinstance(entry, str))
    if codes and (sorted(codes) != refusals or len(volumes) != len(wanted)):
        return f"WRONG: {', '.join(codes)}"
    left = list(wanted)
    for volume in volumes:
        match = next((truth for truth in left if not difference(volume, truth)), None)
        if match is None:
            if not wanted:
                wrong = difference(volume, case.start)
                return f"WRONG: reads it ({wrong})" if wrong else READS
            return f"WRONG: {difference(volume, (left or wanted)[0]) or 'once more'}"
        left = [truth for truth in left if truth is not match]
    if not volumes:
        return f"refused ({', '.join(sorted(set(codes)))})" if codes else "nothing"
    return "right" if not left else f"WRONG: {len(volumes)} of {len(wanted)} scans"


@dataclass
class Child:
    """A process that one reader works in, replaced when it dies or is late."""

    reader: str
    pipe: Connection | None = None
    process: Any = None

    def ask(self, name: str, path: Path) -> str:
        """The verdict on one delivery."""
        if self.pipe is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=work, args=(theirs, self.reader), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send((name, path))
        try:
            if self.pipe.poll(SECONDS):
                return str(self.pipe.recv())
            answer = f"error: over {SECONDS:.0f} s"
        except EOFError:
            answer = "error: the process died"
        self.process.kill()
        self.process.join()
        self.pipe = None
        return answer


def work(pipe: Connection, reader: str) -> None:
    """Read the deliveries that come through the pipe."""
    warnings.simplefilter("ignore")
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    while True:
        try:
            name, path = pipe.recv()
        except EOFError:
            return
        try:
            answer = verdict(CATALOGUE[name], *READERS[reader](path))
        except Exception as error:  # noqa: BLE001  that a reader fails is a result
            answer = f"error: {type(error).__name__}"
        pipe.send(answer)


def rows(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The verdict of every reader on every delivery."""
    children = [Child(reader) for reader in READERS]
    with tempfile.TemporaryDirectory(prefix="readers-") as temporary:
        for number, name in enumerate(names):
            folder = Path(temporary) / str(number) / "delivery"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                CATALOGUE[name].write(folder)
            inside = list(folder.iterdir())
            path = inside[0] if len(inside) == 1 and inside[0].is_file() else folder
            yield name, [child.ask(name, path) for child in children]


def main() -> None:
    """Print the table and its sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="deliveries whose name holds this word")
    names = [name for name in CATALOGUE if parser.parse_args().only in name]
    head = "".join(f"{reader:<{COLUMN}}" for reader in READERS)
    print(f"{'delivery':<48}{head}")
    sums = [Counter[str]() for _ in READERS]
    for name, cells in rows(names):
        print(f"{name:<48}" + "".join(f"{cell[: COLUMN - 1]:<{COLUMN}}" for cell in cells))
        for total, cell in zip(sums, cells, strict=True):
            total[cell.partition(":")[0].partition(" (")[0]] += 1
    for kind in ("right", "refused", "nothing", "error", READS, "WRONG"):
        print(f"{kind:<48}" + "".join(f"{total[kind]:<{COLUMN}}" for total in sums))


if __name__ == "__main__":
    main()
