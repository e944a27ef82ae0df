"""How fast and how small: end to end against a stock MONAI pipeline, engines, sizes, a folder.

    python -m benchmarks.speed [TABLE ...] [--scan SCAN] [--device cpu] [--slices N ...] [--scans N]

Tables: stock, engines, case, sizes, folder; all by default. `stock` runs the same two networks with
the same weights as MONAI's parts are put together by hand: LoadImaged, Orientationd, Spacingd,
ScaleIntensityRanged, sliding_window_inference of 96x96x96 windows with overlap 0.5 and Gaussian
weights in float32 over the whole scan (the fine network; the coarse image is smaller than a window
and goes through the coarse one in one pass), softmax, Invertd, argmax, SaveImage,
KeepLargestConnectedComponent. Both sides start a process, import what they need, and write the
mask; then what a further scan costs, after --first in the same process, with the seconds of each
stage (benchmarks.further). `case`: two DICOM series of 280 slices with all outputs in one batch,
per stage, the first cold, the second warm.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.segment import dice

DATA = Path(os.environ.get("LIVERSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
TABLES = ("stock", "engines", "case", "sizes", "folder")
KIB_PER_MIB = 1024
GIGA = 1e9
MATRIX_SIDE = 2048
PATCH = (160, 144, 128)  # voxels of the fine grid, a liver's box with its halo


def run(*command: str) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak MiB of a command and its children."""
    probe = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(used.ru_maxrss, used.ru_utime + used.ru_stime); sys.exit(code)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", probe, *command], check=True, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - start
    kib, processor = done.stdout.splitlines()[-1].split()
    return seconds, float(processor), float(kib) / KIB_PER_MIB


def segment(scan: Path, out: Path, device: str, outputs: str = "nifti") -> tuple[float, ...]:
    """`liverseg segment` on one input."""
    command = [sys.executable, "-m", "liverseg.cli", "segment", str(scan), "-o", str(out)]
    command += ["--device", device, "--outputs", outputs, "--no-resume", "--quiet"]
    return run(*command, "--workers", "1")


def stock_table(scan: Path, device: str) -> None:
    """Ours against MONAI's parts, on one scan."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segment(scan, folder / "first", device)  # the engine's translation is kept from here on
        ours = segment(scan, folder / "ours", device)
        stock = run(sys.executable, "-m", "benchmarks.stock", str(scan), name, device)
        (mask,) = (folder / "ours").glob("cases/*/liver.nii.gz")
        agreement = dice(mask, folder / "stock.nii.gz")
    print("end to end              wall s   processor s   peak MiB")
    for label, row in (("liverseg segment", ours), ("stock MONAI", stock)):
        print(f"{label:<22}{row[0]:8.1f}{row[1]:14.1f}{row[2]:11.0f}")
    print(f"ratio                 {stock[0] / ours[0]:8.1f}{stock[1] / ours[1]:14.1f}")
    print(f"Dice between the masks  {agreement:.4f}")


def further_table(first: Path, scan: Path, device: str) -> None:
    """What a further scan costs where the process is there: ours against MONAI's parts."""
    rows = {}
    for way in ("ours", "stock"):
        command = [sys.executable, "-m", "benchmarks.further", way, str(first), str(scan), device]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows[way] = json.loads(done.stdout.splitlines()[-1])
    print("a further scan          wall s   processor s")
    for way, row in rows.items():
        print(f"{way:<22}{row['wall']:8.2f}{row['processor']:14.2f}")
    ratios = [rows["stock"][kind] / rows["ours"][kind] for kind in ("wall", "processor")]
    print(f"ratio                 {ratios[0]:8.1f}{ratios[1]:14.1f}")
    for way, row in rows.items():
        parts = (f"{stage} {seconds:.2f}" for stage, seconds in row["stages"].items())
        print(f"{way}, s a stage: {'; '.join(parts)}")


def engines_table(device: str) -> None:
    """The fine network alone, per engine, beside the machine's own matrix product."""
    import torch
    from monai.bundle import ConfigParser

    from liverseg.bundle_files import bundle_root
    from liverseg.engine import make_engine

    where = torch.device(device)
    parser = ConfigParser()
    parser.read_config(str(bundle_root() / "configs" / "inference.yaml"))
    network = parser.get_parsed_content("network_def").eval()
    image = torch.rand(1, network.in_channels, *PATCH, device=where)
    work = 2 * multiplications(network) * image[0, 0].numel() / GIGA

    def gigaflops(amp: bool) -> float:
        kind = torch.bfloat16 if amp else torch.float32
        matrix = torch.rand(MATRIX_SIDE, MATRIX_SIDE, device=where).to(kind)
        return 2 * MATRIX_SIDE**3 / GIGA / best(lambda: matrix @ matrix, where)

    print(f"network alone, {work:.0f} GFLOP    s   GFLOP/s   of matrix product")
    for name in ("torch", "openvino"):
        for amp in (False, True):
            try:
                engine = make_engine(network, where, name, amp)
            except ValueError as error:
                print(f"{name}: {error}")
                break
            with torch.inference_mode():
                seconds = best(lambda engine=engine: engine(image), where)
            rate = work / seconds
            print(f"{engine.name:<22}{seconds:8.2f}{rate:10.0f}{rate / gigaflops(amp):14.0%}")


def multiplications(network: object) -> float:
    """Multiply-adds a voxel of the input, all heads, counted on a small image."""
    import torch

    total = 0

    def count(module: torch.nn.Module, given: tuple[torch.Tensor], answer: torch.Tensor) -> None:
        nonlocal total
        at = given[0] if isinstance(module, torch.nn.ConvTranspose3d) else answer
        total += at[0, 0].numel() * module.weight.numel() // module.groups

    image = torch.rand(1, network.in_channels, 32, 32, 32)  # type: ignore[attr-defined]
    kinds = (torch.nn.Conv3d, torch.nn.ConvTranspose3d)
    convolutions = [module for module in network.modules() if isinstance(module, kinds)]  # type: ignore[attr-defined]
    hooks = [module.register_forward_hook(count) for module in convolutions]
    with torch.no_grad():
        network.all_heads(image)  # type: ignore[attr-defined]
    for hook in hooks:
        hook.remove()
    return total / image[0, 0].numel()


def best(work: object, where: object, repeats: int = 3) -> float:
    """Seconds of the fastest of some runs, after one that nobody counts."""
    import torch

    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()  # type: ignore[operator]
        if where.type == "cuda":  # type: ignore[attr-defined]
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def case_table(scan: Path, device: str, slices: int = 280) -> None:
    """Seconds a stage of two DICOM series in one batch, with the mask, SEG, page and picture."""
    from liverseg.dicom.write import SeriesHeader, write_ct_series
    from liverseg.scans import found_scans, read_scan

    with tempfile.TemporaryDirectory() as name:
        inputs, out = Path(name) / "in", Path(name) / "out"
        stretch(scan, Path(name) / "ct.nii.gz", slices)
        with found_scans([Path(name) / "ct.nii.gz"]) as scans:
            volume = read_scan(scans[0])
        for number in "12":
            image = np.asfortranarray(volume.image)
            image[0, 0, 0] = int(number)  # another scan
            header = SeriesHeader(study_uid=f"1.2.{number}", series_uid=f"1.2.{number}.1")
            write_ct_series(image, volume.affine, inputs / number, header)
        row = segment(inputs, out, device, "nifti,dicom-seg,report")
        files = sorted(out.glob("cases/*/report.json"), key=lambda path: path.stat().st_mtime)
        cold, warm = (json.loads(path.read_text())["seconds"] for path in files)
    print(f"512 x 512 x {slices} DICOM        cold s    warm s")
    for stage in cold:
        print(f"{stage:<26}{cold[stage]:10.2f}{warm[stage]:10.2f}")
    print(f"{'sum':<26}{sum(cold.values()):10.2f}{sum(warm.values()):10.2f}")
    print(f"both, start to end: {row[0]:.1f} s wall, {row[1]:.1f} s processor, {row[2]:.0f} MiB")


def sizes_table(scan: Path, device: str, slices: list[int]) -> None:
    """Time and memory against the number of slices: the scan, stretched."""
    print("slices    wall s   processor s   peak MiB")
    with tempfile.TemporaryDirectory() as name:
        for count in slices:
            path = Path(name) / f"{count}.nii.gz"
            stretch(scan, path, count)
            row = segment(path, Path(name) / "out", device, "nifti,report")
            print(f"{count:<8}{row[0]:8.1f}{row[1]:14.1f}{row[2]:11.0f}", flush=True)
            path.unlink()


def stretch(scan: Path, path: Path, count: int) -> None:
    """Write a scan with another number of slices over the same length."""
    from liverseg.outputs import write_nifti
    from liverseg.scans import found_scans, read_scan

    with found_scans([scan]) as scans:
        volume = read_scan(next(one for one in scans if one.accepted))
    there = volume.image.shape[2]
    nearest = np.rint(np.linspace(0, there - 1, count)).astype(int)
    affine = volume.affine @ np.diag([1.0, 1.0, (there - 1) / (count - 1), 1.0])
    write_nifti(path, volume.image[:, :, nearest], affine)


def resident_mib(process_id: int) -> float:
    """Memory of a process and of those that it has started."""
    total = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:  # gone meanwhile
            continue
        if process_id in (int(fields["Pid"]), int(fields["PPid"])):
            total += int(fields.get("VmRSS", "0 kB").split()[0]) / KIB_PER_MIB
    return total


def folder_table(scan: Path, device: str, scans: int) -> None:
    """A folder of scans: how many a minute, and the memory that it takes."""
    with tempfile.TemporaryDirectory() as name:
        inputs = Path(name) / "in"
        inputs.mkdir()
        for number in range(scans):
            # Other voxels, another scan: one corner is changed.
            stretch(scan, inputs / f"{number}.nii.gz", 64 + number)
        command = [sys.executable, "-m", "liverseg.cli", "segment", str(inputs), "--quiet"]
        command += ["-o", str(Path(name) / "out"), "--device", device, "--outputs", "nifti,report"]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        memory = []
        while process.poll() is None:
            memory.append(resident_mib(process.pid))
            time.sleep(0.5)
        spent = time.perf_counter() - start
    print(f"{scans} scans of 64 slices and more: {60 * scans / spent:.1f} a minute")
    tenths = [max(part) for part in np.array_split(memory, 10) if part.size]
    print("highest memory in each tenth of the time, MiB: " + " ".join(f"{m:.0f}" for m in tenths))


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables that are asked for.

    Args:
        words: of the command line; the program's own by default.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--scan", type=Path, default=DATA / "ircadb_01" / "dicom.zip")
    parser.add_argument("--first", type=Path, default=DATA / "btcv" / "btcv_0006_ct.nii.gz")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--slices", type=int, nargs="+", default=[64, 128, 280, 500, 1000])
    parser.add_argument("--scans", type=int, default=20)
    told = parser.parse_args(words)
    for table in told.tables or TABLES:
        if table == "stock":
            stock_table(told.scan, told.device)
            print()
            further_table(told.first, told.scan, told.device)
        elif table == "engines":
            engines_table(told.device)
        elif table == "case":
            case_table(told.scan, told.device)
        elif table == "sizes":
            sizes_table(told.scan, told.device, told.slices)
        elif table == "folder":
            folder_table(told.scan, told.device, told.scans)
        else:
            parser.error(f"a table should be one of {', '.join(TABLES)}; got {table}")
        print(flush=True)


if __name__ == "__main__":
    main()
