"""The tables of benchmarks.speed and the training steps on a GPU; says so where there is none.

    python -m benchmarks.gpu [TABLE ...] [--scan SCAN] [--device cuda]

With --device cpu it runs without one, which tries it out and measures no GPU.
"""

from __future__ import annotations

import sys

from benchmarks import speed, training_speed


def main() -> None:
    """Print the GPU's name and the tables."""
    import torch

    if "--device" not in sys.argv:
        if not torch.cuda.is_available():
            print("benchmarks.gpu: this machine has no GPU; nothing measured")
            return
        print(torch.cuda.get_device_name(0))
        sys.argv += ["--device", "cuda"]
    speed.main()
    training_speed.main()


if __name__ == "__main__":
    main()
