"""What a further scan costs: ours or the stock pipeline, one process, the second of two scans.

    python -m benchmarks.further ours|stock FIRST SCAN DEVICE

prints wall and processor seconds of SCAN, from the file to the written mask, and the seconds of
each stage, as JSON. `benchmarks.speed stock` puts the two beside each other; without arguments, as
in `make bench`, there is nothing to do.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from liverseg.job import Stopwatch

OUTPUTS = ("nifti",)
Way = Callable[[Path, Path], dict[str, float]]


def ours(device: str) -> Way:
    """What finds, segments and writes a scan as `liverseg segment` does; gives seconds a stage."""
    from liverseg.case import Segmentation
    from liverseg.layout import CASES, REPORT_FILE
    from liverseg.pipeline import BundlePipeline
    from liverseg.scans import found_scans

    source = BundlePipeline(device)

    def segment(path: Path, folder: Path) -> dict[str, float]:
        job.output = folder
        start = time.perf_counter()
        with found_scans([path]) as scans:
            finding = time.perf_counter() - start
            scan = next(scan for scan in scans if scan.accepted)
            job.process(scan)
        report = json.loads((folder / CASES / scan.case_id / REPORT_FILE).read_text())
        return {"finding": finding} | report["seconds"]

    job = Segmentation(Path(), source, OUTPUTS)
    job.begin()
    gc.freeze()  # as the command's own process of the scans does
    return segment


def stock(device: str) -> Way:
    """What does so with MONAI's parts."""
    from benchmarks.stock import Stock

    pipeline = Stock(device)

    def segment(path: Path, folder: Path) -> dict[str, float]:
        watch = Stopwatch()
        pipeline.segment(path, folder / "stock.nii.gz", watch)
        return watch.seconds

    return segment


def main(way: str, first: Path, scan: Path, device: str) -> None:
    """Print the figures of the second scan."""
    segment = {"ours": ours, "stock": stock}[way](device)
    with tempfile.TemporaryDirectory() as name:
        segment(first, Path(name))
        wall, processor = time.perf_counter(), time.process_time()
        stages = segment(scan, Path(name))
        row = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    print(json.dumps(row | {"stages": stages}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
    else:
        print("benchmarks.further is what benchmarks.speed starts: nothing measured by itself")
