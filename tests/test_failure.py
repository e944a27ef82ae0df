"""What errors say in public: a code, a class, a place; no data."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch

from liverseg.cli import main
from liverseg.errors import ScanRejected
from liverseg.failure import first_cause, is_about, raised_by_us, refusal_of, where
from liverseg.outputs import write_nifti
from liverseg.pipeline import find_device

SECRET = "Musterfrau^Erika"


def caught(function: object, *arguments: object) -> BaseException:
    try:
        function(*arguments)  # type: ignore[operator]
    except BaseException as error:  # noqa: BLE001  it is what is looked at
        return error
    raise ValueError("should have raised")


def wrapped(cause: BaseException) -> RuntimeError:
    outer = RuntimeError("applying transform")
    outer.__cause__ = cause
    return outer


def test_first_cause_is_below_every_wrapping() -> None:
    cause = KeyError("x")
    assert first_cause(wrapped(wrapped(cause))) is cause


def test_first_cause_of_an_own_sentence_is_not_what_led_to_it() -> None:
    sentence = ValueError("the list should be JSON")
    sentence.__cause__ = KeyError("x")
    assert first_cause(sentence) is sentence


def test_refusal_is_kept() -> None:
    refusal = ScanRejected("CORRUPT", "slice 3 of 24 cannot be decoded")
    assert refusal_of(wrapped(refusal)) is refusal


def test_other_errors_tell_their_class_and_no_message() -> None:
    refusal = refusal_of(OSError(5, "Input/output error", f"/in/{SECRET}"))
    assert (refusal.code, refusal.detail) == ("FAILED", "Unexpected OSError 5 in another library.")


@pytest.mark.parametrize(
    ("number", "words"), [(28, "No space left on device"), (30, "Read-only file system")]
)
def test_output_that_cannot_be_written_is_named_without_its_path(number: int, words: str) -> None:
    refusal = refusal_of(OSError(number, "", f"/out/{SECRET}"))
    assert refusal.code == "NOT_WRITABLE"
    assert refusal.detail == f"The output folder cannot be written: {words}."


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"),
        wrapped(RuntimeError("CUDA error: out of memory")),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
    ids=["Python", "torch on a CPU", "CUDA, wrapped", "torch on a GPU"],
)
def test_want_of_memory_has_its_own_code(error: BaseException) -> None:
    assert refusal_of(error).code == "OUT_OF_MEMORY"


def test_what_is_no_exception_is_a_crash_and_tells_no_message() -> None:
    refusal = refusal_of(SystemExit(SECRET))
    assert (refusal.code, refusal.detail) == (
        "CRASHED",
        "A SystemExit in another library ended the scan.",
    )


def test_place_is_the_innermost_line_of_ours() -> None:
    error = caught(find_device, "tpu")
    assert raised_by_us(error)
    assert "ValueError in pipeline.py, line " in refusal_of(error).detail
    assert not raised_by_us(caught(int, SECRET))


def test_way_of_an_error_holds_no_message() -> None:
    told = where(caught(int, SECRET))
    assert "test_failure.py" in told
    assert "Erika" not in told


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ("out", True),
        ("out/cases/0123456789abcdef", True),
        ("", True),  # where the folder shall be made
        (".out.0a1b2c3d.part", True),
        ("in/secret.dcm", False),
        ("output/other", False),
    ],
)
def test_a_refused_path_is_told_from_a_refused_output(
    tmp_path: Path, refused: str, expected: bool
) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / refused))
    assert is_about(error, tmp_path / "out") is expected


def test_an_output_that_cannot_be_made_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = tmp_path / "mask.nii.gz"
    write_nifti(mask, np.ones((8, 8, 8), np.uint8), np.eye(4))
    output = "/proc/nowhere/scores.csv"  # where even root makes no folder
    status = main(["evaluate", "--prediction", str(mask), "--reference", str(mask), "-o", output])
    assert status == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("liverseg: the output folder cannot be written: No such file")
