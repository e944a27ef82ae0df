"""A batch that is killed at any moment loses nothing that is done, and ends as if it never was."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import edit_slices
from killed_batch import LAST_FILE
from tiny_pipeline import write_nifti_scan, write_scan

from liverseg.outputs import PART_NAME

HERE = Path(__file__).parent
SCANS = 5
KILLS = 6
# A kill that comes after the end is none; this many tries are enough to have KILLS before it.
TRIES = 4 * KILLS
# What tells how a run went, not what it found.
EXCLUDED_COLUMNS = ("status", "seconds")


def write_inputs(folder: Path) -> None:
    """Scans of every kind: DICOM, one without identifiers, NIfTI, one without liver, a refused."""
    for index in range(SCANS - 2):
        write_scan(folder / f"scan{index}", liver_hu=110 + 10 * index)
    edit_slices(folder / "scan0", lambda dataset, _: setattr(dataset, "FrameOfReferenceUID", ""))
    write_nifti_scan(folder / "scan.nii.gz")
    write_nifti_scan(folder / "nothing.nii.gz", liver_hu=-1000)
    write_scan(folder / "refused")[7].unlink()


def started(inputs: Path, output: Path, last_file: int | None = None) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    if last_file is not None:
        environment[LAST_FILE] = str(last_file)
    return subprocess.Popen(
        [sys.executable, HERE / "killed_batch.py", inputs, output],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(inputs: Path, output: Path) -> None:
    """Run a batch to its end; what a killed one has left may take a moment to be gone."""
    deadline = time.monotonic() + 60
    while True:
        process = started(inputs, output)
        said = process.communicate()[1]
        if process.returncode == 0:
            return
        assert b"another run is writing" in said, said.decode()
        assert time.monotonic() < deadline


def content(path: Path) -> object:
    """What a file tells, without how the run went."""
    if path.name == "report.json":
        report = json.loads(path.read_text())
        assert report.pop("seconds")
        return report
    if path.name == "manifest.csv":
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [{key: row[key] for key in row if key not in EXCLUDED_COLUMNS} for row in rows]
    return path.read_bytes()


def everything(output: Path) -> dict[str, object]:
    paths = sorted(path for path in output.rglob("*") if path.is_file())
    return {str(path.relative_to(output)): content(path) for path in paths}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    finish(inputs, output)
    return everything(output)


def check_left(output: Path, undisturbed: dict[str, object]) -> int:
    """What a killed batch has left is whole, and the same as an undisturbed one's; the cases."""
    if not output.exists():
        return 0
    finished = {path.parent.name for path in output.glob("cases/*/report.json")}
    for path in output.rglob("*"):
        name = str(path.relative_to(output))
        if path.is_dir() or PART_NAME.fullmatch(path.name) or path.name == ".liverseg.lock":
            continue
        if path.name in ("manifest.csv", "linkage.csv", "index.html"):
            assert path.read_bytes().endswith(b"\n"), "a table is whole at any moment"
        else:
            # A case that is not finished yet may have files, each of them whole.
            assert content(path) == undisturbed[name], name
    if (output / "index.html").exists():
        shown = set(re.findall(r"cases/([0-9a-f]{16})/", (output / "index.html").read_text()))
        assert shown <= finished, "the page shows what is there"
    for case_id in finished:
        wanted = {name for name in undisturbed if name.startswith(f"cases/{case_id}/")}
        assert all((output / name).is_file() for name in wanted)
    if (output / "manifest.csv").exists():
        with (output / "manifest.csv").open(newline="") as stream:
            done = {row["case_id"] for row in csv.DictReader(stream) if row["volume_ml"]}
        assert done <= finished, "a row that says done has its files"
    return len(finished)


def test_two_undisturbed_runs_give_the_same_files(
    inputs: Path, undisturbed: dict[str, object], tmp_path: Path
) -> None:
    finish(inputs, tmp_path / "out")
    assert everything(tmp_path / "out") == undisturbed
    assert len([name for name in undisturbed if name.endswith("report.json")]) == SCANS


def test_batch_killed_at_random_moments_ends_as_an_undisturbed_one(
    inputs: Path, undisturbed: dict[str, object], tmp_path: Path
) -> None:
    moments = random.Random(20161018)  # noqa: S311
    start = time.monotonic()
    finish(inputs, tmp_path / "timed")
    whole_s = time.monotonic() - start
    output, kills, kept = tmp_path / "out", 0, 0
    for turn in range(TRIES):
        if kills == KILLS:
            break
        if kept == SCANS:
            output, kept = tmp_path / f"out{turn}", 0
        process = started(inputs, output)
        try:
            process.wait(moments.uniform(0.2, 1.0) * whole_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        left = check_left(output, undisturbed)
        assert left >= kept, "what was finished stays finished"
        kept = left
    assert kills == KILLS
    finish(inputs, output)
    assert everything(output) == undisturbed


# The files of a case are 4 to 6, and of two processes one does three cases at least; the batch
# itself writes two tables at first and after each scan, and its page now and then.
@pytest.mark.parametrize("last_file", [0, 4, 5, 8, 11, -1, -2, -9])
def test_batch_killed_while_it_writes_ends_as_an_undisturbed_one(
    last_file: int, inputs: Path, undisturbed: dict[str, object], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    process = started(inputs, output, last_file)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    check_left(output, undisturbed)
    finish(inputs, output)
    assert everything(output) == undisturbed


def test_two_batches_on_one_folder_do_not_mix(
    inputs: Path, undisturbed: dict[str, object], tmp_path: Path
) -> None:
    both = [started(inputs, tmp_path / "out") for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    ended = sorted(process.returncode for process in both)
    assert ended in ([0, 0], [0, 1]), said
    if ended == [0, 1]:
        assert any(b"another run is writing" in text for text in said)
    assert everything(tmp_path / "out") == undisturbed
