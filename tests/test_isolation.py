"""A scan that aborts, hangs, hoards or panics ends itself only: not the batch, not the next."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import gdcm
import pytest
from broken_jobs import Breaking, Unready
from encoders import by_gdcm
from tiny_pipeline import write_nifti_scan, write_scan

from liverseg import cli
from liverseg.batch import Row, convert, run_batch
from liverseg.crew import Crew
from liverseg.errors import ScanRejected
from liverseg.isolation import Isolated
from liverseg.job import Job
from liverseg.limits import Limits
from liverseg.scans import found_scans

TESTS = Path(__file__).parent
# The process needs some 0.1 GiB to start with; `hoard` takes 0.5. Time enough for a busy machine.
LIMITS = Limits(timeout_s=5, memory_bytes=300 << 20, workers=1)
# Enough for two that do not hoard.
SIDE_BY_SIDE = Limits(timeout_s=5, memory_bytes=450 << 20, workers=2)
# What becomes of a scan, and whether the process that did it has to be replaced.
OUTCOMES = {
    "abort": ("CRASHED", "SIGABRT", True),
    "null": ("CRASHED", "SIGSEGV", True),
    "kill": ("CRASHED", "SIGKILL", True),
    "leave": ("CRASHED", "exit status 3", True),
    "close": ("CRASHED", "stopped answering", True),
    "hoard": ("OUT_OF_MEMORY", "may use 0.293 GiB", True),
    "hang": ("TIMEOUT", "in 5 s", True),
    "memory": ("OUT_OF_MEMORY", "", False),
    "torch memory": ("OUT_OF_MEMORY", "", False),
    "panic": ("CRASHED", "A Panic in worker.py", False),
    "exit": ("CRASHED", "A SystemExit in worker.py", False),
    "print": ("", "", False),
    "interrupt": ("", "", False),
}


def write_scans(folder: Path, *breakages: str) -> None:
    """A scan a breakage; all are different, and found in this order."""
    folder.mkdir()
    for number, breakage in enumerate(breakages):
        write_nifti_scan(folder / f"{number:02}-{breakage}.nii.gz", liver_hu=100 + number)


def is_gone(process_id: int) -> bool:
    """Whether there is no such process, not even one that waits for its parent."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    return False


@dataclass
class Batch:
    rows: dict[str, list[Row]]
    output: Path
    started: list[int]


def broken_batch(folder: Path, limits: Limits) -> Batch:
    order = ["good", *(name for how in OUTCOMES for name in (how, "good"))]
    write_scans(folder / "in", *order)
    output = folder / "out"
    rows = run_batch([folder / "in"], output, Breaking(output), limits=limits)
    by_breakage: dict[str, list[Row]] = {}
    for breakage, row in zip(order, rows, strict=True):
        by_breakage.setdefault(breakage, []).append(row)
    started = [int(line) for line in (output / "started").read_text().split()]
    return Batch(by_breakage, output, started)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Every breakage once, a good scan before each and after the last."""
    return broken_batch(tmp_path_factory.mktemp("isolation"), LIMITS)


@pytest.mark.parametrize("breakage", OUTCOMES)
def test_broken_scan_has_its_code_and_leaves_nothing(batch: Batch, breakage: str) -> None:
    code, words, _ = OUTCOMES[breakage]
    (row,) = batch.rows[breakage]
    assert (row.status, row.code) == ("failed" if code else "done", code)
    assert words in row.detail
    assert (batch.output / row.case_id).exists() == (code == "")


def test_every_scan_before_and_after_a_broken_one_is_done(batch: Batch) -> None:
    good = batch.rows["good"]
    assert [row.status for row in good] == ["done"] * (len(OUTCOMES) + 1)
    assert all((batch.output / row.case_id).exists() for row in good)


def test_nothing_of_the_data_is_in_the_manifest(batch: Batch) -> None:
    assert "Musterfrau" not in (batch.output / "manifest.csv").read_text()


def test_process_goes_on_until_it_must_be_replaced(batch: Batch) -> None:
    replaced = [breakage for breakage, outcome in OUTCOMES.items() if outcome[2]]
    assert len(batch.started) == 1 + len(replaced)
    kept = {(batch.output / row.case_id).read_text() for row in batch.rows["good"]}
    assert kept == {f"{process_id}\n" for process_id in batch.started}


def test_no_process_is_left(batch: Batch) -> None:
    assert [process_id for process_id in batch.started if not is_gone(process_id)] == []


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """As `batch`, with two scans in work at any time."""
    return broken_batch(tmp_path_factory.mktemp("side-by-side"), SIDE_BY_SIDE)


@pytest.mark.parametrize("breakage", ["good", *OUTCOMES])
def test_broken_scan_takes_none_with_it_that_is_done_beside_it(
    side_by_side: Batch, breakage: str
) -> None:
    code, words, _ = OUTCOMES.get(breakage, ("", "", False))
    for row in side_by_side.rows[breakage]:
        assert (row.status, row.code) == ("failed" if code else "done", code)
        assert words.replace("0.293", "0.439") in row.detail
        assert (side_by_side.output / row.case_id).exists() == (code == "")


def test_no_process_of_several_is_left(side_by_side: Batch) -> None:
    assert len(side_by_side.started) > 2
    assert [process_id for process_id in side_by_side.started if not is_gone(process_id)] == []


def test_scans_that_need_too_much_together_are_done_one_after_the_other(tmp_path: Path) -> None:
    write_scans(tmp_path / "in", "fill", "fill", "fill")
    # Each takes 0.3 GiB besides what a process needs to start.
    limits = Limits(timeout_s=60, memory_bytes=600 << 20, workers=3)
    rows = run_batch([tmp_path / "in"], tmp_path / "out", Breaking(tmp_path / "out"), limits=limits)
    assert [row.status for row in rows] == ["done"] * 3


def test_decoder_that_really_aborts_ends_its_scan_only(tmp_path: Path) -> None:
    write_scans(tmp_path / "in", "decode", "good")
    rows = run_batch([tmp_path / "in"], tmp_path / "out", Breaking(tmp_path / "out"))
    # A python-gdcm without the fault raises, which is FAILED.
    assert [row.status for row in rows] == ["failed", "done"]
    assert "SIGABRT" in rows[0].detail or rows[0].code == "FAILED"


def test_ct_with_an_impossible_frame_header_ends_itself_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        write_scan(tmp_path / "in" / name)
        by_gdcm(gdcm.TransferSyntax.JPEGLosslessProcess14_1)(tmp_path / "in" / name)
    path = sorted((tmp_path / "in" / "b").iterdir())[7]
    content = bytearray(path.read_bytes())
    # The precision in the frame header of JPEG lossless (ITU-T T.81, B.2.2): 16 becomes 85 bits.
    header = content.index(b"\xff\xd8\xff\xc3\x00\x0b\x10")
    content[header + 6] = 85
    path.write_bytes(content)
    rows = convert([tmp_path / "in"], tmp_path / "out")
    broken = [row for row in rows if row.status != "done"]
    assert len(rows) == 3
    # python-gdcm 3.2.6 would abort; it is never asked.
    assert [row.code for row in broken] == ["CORRUPT"]
    assert not (tmp_path / "out" / f"{broken[0].case_id}.nii.gz").exists()
    assert capfd.readouterr() == ("", "")


def test_what_a_decoder_prints_reaches_no_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_scans(tmp_path / "in", "print")
    (row,) = run_batch([tmp_path / "in"], tmp_path / "out", Breaking(tmp_path / "out"))
    assert row.status == "done"
    assert capfd.readouterr() == ("", "")


def test_memory_is_limited_where_it_cannot_be_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liverseg.child.resident_bytes", lambda process_id: None)
    write_scans(tmp_path / "in", "ask", "good")
    job, limits = Breaking(tmp_path / "out"), Limits(memory_bytes=4 << 30)
    rows = run_batch([tmp_path / "in"], tmp_path / "out", job, limits=limits)
    assert [row.code for row in rows] == ["OUT_OF_MEMORY", ""]


@pytest.mark.parametrize(
    ("breakage", "code"),
    [("abort", "CRASHED"), ("hoard", "OUT_OF_MEMORY"), ("panic", "CRASHED")],
)
def test_process_that_cannot_start_ends_the_batch_before_it_writes(
    tmp_path: Path, breakage: str, code: str
) -> None:
    write_scans(tmp_path / "in", "good")
    job = Unready(tmp_path / "out", breakage)
    with pytest.raises(ScanRejected) as refused:
        run_batch([tmp_path / "in"], tmp_path / "out", job, limits=LIMITS)
    assert refused.value.code == code
    assert not (tmp_path / "out").exists()


def test_job_that_cannot_be_sent_is_wrong_usage(tmp_path: Path) -> None:
    class Local(Breaking):
        pass

    with (
        closing(Isolated(Local(tmp_path), LIMITS)) as isolated,
        pytest.raises(ValueError, match="should be one that can be pickled"),
    ):
        isolated.start()


def test_process_that_was_killed_between_two_scans_is_replaced(tmp_path: Path) -> None:
    write_scans(tmp_path / "in", "good", "good")
    with (
        found_scans([tmp_path / "in"]) as scans,
        closing(Crew(Breaking(tmp_path), Limits(workers=1))) as crew,
    ):
        crew.start()
        outcomes = crew.outcomes(scans)
        next(outcomes)
        first = int((tmp_path / "started").read_text())
        os.kill(first, signal.SIGKILL)
        # Until it is dead, but not yet taken note of.
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert [scan.case_id for scan, row in outcomes if isinstance(row, Row)] == [
            scans[1].case_id
        ]
    assert is_gone(first)


def test_modules_beside_the_data_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy", "json", "liverseg"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    job: Job = Breaking(tmp_path)
    with closing(Isolated(job, Limits())) as isolated:
        isolated.start()
    assert (tmp_path / "started").exists()


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:]
from broken_jobs import Breaking
from liverseg.batch import run_batch
run_batch([Path("in")], Path("out"), Breaking(Path("out").resolve()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_process_ends_with_a_batch_that_is_killed(tmp_path: Path) -> None:
    write_scans(tmp_path / "in", "tell")
    os.mkfifo(tmp_path / "fifo")
    # No `if __name__ == "__main__"` in the script: it is run once, here, not in the process.
    script = subprocess.Popen([sys.executable, "-c", SCRIPT, str(TESTS)], cwd=tmp_path)
    # Opened for both, so that a script that fails is waited for in vain, but not forever.
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    told, _, _ = select.select([fifo], [], [], 60)
    process = os.pidfd_open(int(os.read(fifo, 100))) if told else -1
    os.close(fifo)
    script.kill()
    script.wait()
    assert told
    ended, _, _ = select.select([process], [], [], 10)
    os.close(process)
    assert ended


def test_limits_of_the_command_reach_the_scan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scans(tmp_path / "in", "hang", "good")
    monkeypatch.setattr("liverseg.batch.Conversion", Breaking)
    command = ["convert", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-q"]
    assert cli.main([*command, "--timeout", "5"]) == 1
    assert "TIMEOUT" in capsys.readouterr().out
    assert cli.main([*command, "--memory-limit", "0.01"]) == 2
    assert "may use 0.01 GiB of memory" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["--timeout", "--memory-limit"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "ten"])
def test_limit_that_is_none_is_wrong_usage(
    limit: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["convert", "in", "-o", "out", f"{limit}={value}"])
    assert ended.value.code == 2
    assert "should be a number above 0" in capsys.readouterr().err
