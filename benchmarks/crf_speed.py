"""Time and memory of the CRF on 3 million voxels, as many as a liver's box at 2 mm has at most.

    python -m benchmarks.crf_speed

On the CPU with all threads of torch, and on a CUDA device where there is one, whose answer is held
beside the CPU's. Seconds of a processor are those of all threads together: they say what a busy
machine hides. The volume is made up, with the whole range of the bundle's window in it.
"""

from __future__ import annotations

import resource
import time

import torch
from monai.bundle import ConfigParser

from liverseg.bundle_files import bundle_root
from liverseg.crf import CrfParameters, refine

SIDE = 144  # voxels; 144^3 is 3 million
SPACING_MM = (2.0, 2.0, 2.0)
LIVER_HU, OTHER_HU, NOISE_HU = 100.0, 40.0, 15.0
RUNS = 3  # the fastest counts
MIB = 2**20
KIB_PER_MIB = 1024


def made_up(window: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and HU of a ball of liver, both noisy: (X, Y, Z)."""
    generator = torch.Generator().manual_seed(0)
    x, y, z = torch.meshgrid(*[torch.linspace(-1, 1, SIDE)] * 3, indexing="ij")
    inside = ((x**2 + y**2 + z**2) < 1 / 2).float()
    noise = torch.randn(2, SIDE, SIDE, SIDE, generator=generator)
    image = OTHER_HU + (LIVER_HU - OTHER_HU) * inside + NOISE_HU * noise[0]
    image[0, 0, :2] = torch.tensor(window)
    return 2 * (2 * inside - 1) + 2 * noise[1], image.clamp(*window)


def on_cpu(
    logit: torch.Tensor, image: torch.Tensor, wanted: CrfParameters
) -> tuple[torch.Tensor, float, float]:
    """The answer, wall and processor seconds of the fastest run."""
    times = []
    for _ in range(RUNS):
        wall, processor = time.perf_counter(), time.process_time()
        found = refine(logit, image, SPACING_MM, wanted)
        times.append((time.perf_counter() - wall, time.process_time() - processor))
    return found, *min(times)


def on_gpu(logit: torch.Tensor, image: torch.Tensor, wanted: CrfParameters) -> str:
    """Seconds of the fastest run, memory, and how far from the CPU's answer, as text."""
    if not torch.cuda.is_available():
        return "no CUDA device: not timed there"
    volume = logit.cuda(), image.cuda()
    torch.cuda.synchronize()
    before, times = torch.cuda.memory_allocated(), []
    torch.cuda.reset_peak_memory_stats()
    for _ in range(RUNS + 1):  # the first one loads the kernels
        start = time.perf_counter()
        found = refine(*volume, SPACING_MM, wanted)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    more = (torch.cuda.max_memory_allocated() - before) / MIB
    apart = (
        torch.sigmoid(found.cpu()) - torch.sigmoid(refine(logit, image, SPACING_MM, wanted))
    ).abs()
    name = torch.cuda.get_device_name()
    return (
        f"{name}: {min(times):.3f} s, {more:.0f} MiB more; "
        f"probabilities differ from the CPU's by {float(apart.max()):.4f} at most"
    )


def main() -> None:
    """Print a line for each set of parameters and device."""
    parser = ConfigParser()
    parser.read_config(str(bundle_root() / "configs" / "inference.yaml"))
    low, high = parser["window"]
    logit, image = made_up((float(low), float(high)))
    print(f"{logit.numel() / 1e6:.2f} million voxels, {torch.get_num_threads()} thread(s)")
    sets = {
        "the bundle's": parser.get_parsed_content("crf"),
        "30 mm, 20 HU": CrfParameters(5.0, 30.0, 20.0, 1.0, 4.0),
        "12 mm, 20 HU": CrfParameters(5.0, 12.0, 20.0, 1.0, 4.0),
    }
    for name, wanted in sets.items():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _, wall, processor = on_cpu(logit, image, wanted)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{name}: CPU {wall:.2f} s, {processor:.2f} s of a processor, the program's peak "
            f"{after / KIB_PER_MIB:.0f} MiB ({(after - before) / KIB_PER_MIB:.0f} more)\n"
            f"  {on_gpu(logit, image, wanted)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
