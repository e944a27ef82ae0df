"""The tables of benchmarks.speed and the training steps on a GPU; says so where there is none.

    python -m benchmarks.gpu [TABLE ...] [--scan SCAN] [--device cuda]

With --device cpu it runs without one, which tries it out and measures no GPU.
"""

from __future__ import annotations

import argparse

from benchmarks import speed, training_speed


def main() -> None:
    """Print the GPU's name and the tables."""
    import torch

    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parse.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(speed.TABLES))
    parse.add_argument("--scan", help="instead of 3D-IRCADb-01 patient 1")
    parse.add_argument("--device", default="cuda")
    told = parse.parse_args()
    if told.device != "cpu":
        if not torch.cuda.is_available():
            print("benchmarks.gpu: this machine has no GPU; nothing measured")
            return
        print(torch.cuda.get_device_name(torch.device(told.device)))
    device = ["--device", told.device]
    speed.main([*told.tables, *device, *(["--scan", told.scan] if told.scan else [])])
    training_speed.main(device)


if __name__ == "__main__":
    main()
