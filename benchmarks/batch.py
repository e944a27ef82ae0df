"""A folder of scans with one and with two at a time: scans a minute, peak memory, same masks.

    python -m benchmarks.batch [FOLDER]

By default eight BTCV scans of LIVERSEG_DATA. Both ways are taken in one run, in turns: A B B A.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

DATA = Path(os.environ.get("LIVERSEG_DATA", Path(__file__).parents[2] / "shared" / "data"))
CASES = (5, 6, 21, 23, 24, 26, 31, 39)
WORKERS = (1, 2, 2, 1)
WATCH_INTERVAL_S = 0.1


def resident_mib(process_id: int) -> float:
    """Memory of a process and of those that it has started."""
    total = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:  # gone meanwhile
            continue
        if process_id in (int(fields["Pid"]), int(fields["PPid"])):
            total += int(fields.get("VmRSS", "0 kB").split()[0]) / 1024
    return total


def run(folder: Path, output: Path, workers: int) -> tuple[float, float]:
    """Seconds and peak memory in MiB of a batch."""
    command = [sys.executable, "-m", "liverseg.cli", "segment", str(folder), "-o", str(output)]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--quiet", "--workers", str(workers)], stdout=subprocess.DEVNULL
    )
    peak = [0.0]

    def watch() -> None:
        while process.poll() is None:
            peak[0] = max(peak[0], resident_mib(process.pid))
            time.sleep(WATCH_INTERVAL_S)

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    seconds = time.perf_counter() - start
    watcher.join()
    if status:
        raise SystemExit(f"the batch ended with {status}")
    return seconds, peak[0]


def masks(output: Path) -> dict[str, str]:
    """Case to the hash of its mask."""
    return {
        path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in output.glob("cases/*/liver.nii.gz")
    }


def main(folder: Path) -> None:
    """Print the table."""
    seconds: dict[int, float] = {}
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        for turn, workers in enumerate(WORKERS):
            output = Path(temporary) / str(turn)
            spent, peak = run(folder, output, workers)
            found.append(masks(output))
            seconds[workers] = seconds.get(workers, 0.0) + spent
            per_minute = 60 * len(found[-1]) / spent
            print(f"{workers} at a time{spent:8.1f} s{per_minute:8.1f} a minute{peak:8.0f} MiB")
    same = all(one == found[0] for one in found)
    print(f"ratio {seconds[1] / seconds[2]:.2f}; masks {'equal' if same else 'DIFFERENT'}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            for case in CASES:
                scan = DATA / "btcv" / f"btcv_{case:04d}_ct.nii.gz"
                (Path(name) / scan.name).write_bytes(scan.read_bytes())
            main(Path(name))
