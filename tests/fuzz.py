"""Read damaged deliveries, thousands of them: each is read or refused with a code, none escapes.

    python tests/fuzz.py --count 10000 --seed 1

Every mutation is made from (seed, number), so one that fails can be made again: --only NUMBER.
Reading goes on in processes of their own, with a limit of time and of memory; one that dies is an
abort of a decoder, which the batch isolates, and is counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np
from mutations import SEEDS, Delivery, mutated, write_seeds

from liverseg.errors import CODES, ScanRejected
from liverseg.scans import Scan, found_scans, read_scan

SECONDS = 20.0  # for one mutation, which takes some milliseconds
MEMORY_BYTES = 6 << 30  # of address space, for one process
WORKERS = 2
READ, CHANGED = "read as before", "read with other values"
CRASHED, HUNG, ESCAPED = "CRASHED", "HUNG", "ESCAPED"


@dataclass(frozen=True)
class Result:
    """What became of one mutation: READ, CHANGED, a code, CRASHED, HUNG or ESCAPED."""

    number: int
    kind: str
    outcome: str
    detail: str = ""


def outcome_of(folder: Path, original: np.ndarray) -> tuple[str, str]:
    """Read all that is below a folder: the worst outcome of its scans, and the detail of it."""
    try:
        with found_scans([folder]) as scans:
            outcomes = [_outcome(scan, original) for scan in scans]
    except Exception:  # noqa: BLE001  that nothing escapes is what is tested
        return ESCAPED, traceback.format_exc()
    order = (ESCAPED, *CODES, CHANGED, READ)
    return min(outcomes or [("NOT_CT", "")], key=lambda entry: order.index(entry[0]))


def _outcome(scan: Scan, original: np.ndarray) -> tuple[str, str]:
    """Read one scan; whatever is read has the shape that was announced."""
    try:
        volume = read_scan(scan)
        image, affine = volume.image, volume.affine
    except ScanRejected as error:
        # An error that nobody foresaw has escaped, even if it is told as a refusal.
        return (ESCAPED if error.code == "FAILED" else error.code), error.detail
    except MemoryError:
        return "OUT_OF_MEMORY", ""
    except BaseException:  # noqa: BLE001  that nothing escapes is what is tested
        return ESCAPED, traceback.format_exc()
    if image.shape != (scan.columns, scan.rows, scan.slices) or image.dtype != np.int16:
        return ESCAPED, f"{image.shape} of {image.dtype} for {scan}"
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        return ESCAPED, f"the affine {affine}"
    return (READ if np.array_equal(image, original) else CHANGED), ""


def work(pipe: Connection, seeds: Path, seed: int) -> None:
    """Do the mutations whose numbers come through the pipe, until it is closed."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    originals = {name: np.load(seeds / f"{name}.npy") for name in SEEDS}
    with tempfile.TemporaryDirectory() as temporary, suppress(EOFError):
        while True:
            number = pipe.recv()
            delivery = mutated(seeds, seed, number)
            folder = Path(temporary) / str(number)
            write(delivery, folder)
            outcome, detail = outcome_of(folder, originals[delivery.kind])
            shutil.rmtree(folder)
            pipe.send(Result(number, delivery.kind, outcome, detail))


def write(delivery: Delivery, folder: Path) -> None:
    """Write the files of a delivery into a new folder."""
    folder.mkdir(parents=True)
    for name, content in delivery.files.items():
        (folder / name).write_bytes(content)


class Pool:
    """Processes that do mutations, each replaced when it dies or hangs."""

    def __init__(self, seeds: Path, seed: int) -> None:
        self.context = multiprocessing.get_context("spawn")
        self.seeds, self.seed = seeds, seed

    def run(self, numbers: Sequence[int]) -> Iterator[Result]:
        """The results, in the order in which they end."""
        waiting = list(reversed(numbers))
        busy: dict[Connection, tuple[multiprocessing.process.BaseProcess, int, float]] = {}
        for _ in range(min(WORKERS, len(numbers))):
            self._give(*self._started(), waiting, busy)
        while busy:
            ready = wait(list(busy), timeout=1)
            for pipe in [each for each in busy if each in ready or self._late(busy[each])]:
                process, number, _ = busy.pop(pipe)
                kind = list(SEEDS)[number % len(SEEDS)]
                if pipe not in ready:
                    process.kill()
                    result = Result(number, kind, HUNG)
                else:
                    try:
                        result = pipe.recv()
                    except EOFError:
                        process.join()
                        result = Result(number, kind, CRASHED, f"exit {process.exitcode}")
                yield result
                if result.outcome in (HUNG, CRASHED):
                    pipe.close()
                    pipe, process = self._started()
                self._give(pipe, process, waiting, busy)

    @staticmethod
    def _late(entry: tuple[multiprocessing.process.BaseProcess, int, float]) -> bool:
        return time.monotonic() - entry[2] > SECONDS

    def _started(self) -> tuple[Connection, multiprocessing.process.BaseProcess]:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=work, args=(theirs, self.seeds, self.seed))
        process.start()
        theirs.close()
        return ours, process

    @staticmethod
    def _give(
        pipe: Connection,
        process: multiprocessing.process.BaseProcess,
        waiting: list[int],
        busy: dict[Connection, tuple[multiprocessing.process.BaseProcess, int, float]],
    ) -> None:
        """Hand the next number to a process, or let it end."""
        if not waiting:
            pipe.close()
            process.join()
            return
        number = waiting.pop()
        pipe.send(number)
        # The first one waits for the start of the process as well.
        busy[pipe] = (process, number, time.monotonic())


def fuzz(numbers: Sequence[int], seed: int) -> list[Result]:
    """Do the mutations of these numbers; the results in their order."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        write_seeds(Path(folder))
        found = list(Pool(Path(folder), seed).run(numbers))
    return sorted(found, key=lambda result: result.number)


def table(results: Sequence[Result], seconds: float) -> str:
    """Mutations by kind and outcome."""
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        by_kind[result.kind][result.outcome] += 1
    heads = ("mutations", READ, CHANGED, "refused", CRASHED, HUNG, ESCAPED)
    lines = [f"{'kind':24}" + "".join(f"{head:>24}" for head in heads)]
    total: Counter[str] = Counter()
    for kind, counts in [*by_kind.items(), ("all", total)]:
        refused = sum(counts[code] for code in CODES if code != CRASHED)
        cells = (counts.total(), counts[READ], counts[CHANGED], refused)
        shown = (*cells, counts[CRASHED], counts[HUNG], counts[ESCAPED])
        lines.append(f"{kind:24}" + "".join(f"{cell:>24}" for cell in shown))
        if kind != "all":
            total += counts
    codes = sorted((code for code in CODES if total[code]), key=lambda code: -total[code])
    lines.append("refused: " + ", ".join(f"{code} {total[code]}" for code in codes))
    lines.append(f"{len(results)} mutations in {seconds:.0f} s")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print the table; 1 when a mutation hung or escaped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one mutation, by its number")
    args = parser.parse_args(argv)
    numbers = range(args.count) if args.only is None else [args.only]
    start = time.monotonic()
    results = fuzz(numbers, args.seed)
    bad = [result for result in results if result.outcome in (CRASHED, HUNG, ESCAPED)]
    for result in bad if args.only is None else results:
        print(f"--only {result.number}: {result.kind}: {result.outcome} {result.detail}")  # noqa: T201
    print(table(results, time.monotonic() - start))  # noqa: T201
    return int(any(result.outcome != CRASHED for result in bad))


if __name__ == "__main__":
    sys.exit(main())
