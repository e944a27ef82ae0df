"""The command: exit status, one line an error, what goes to stdout and what to stderr."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_ct
from tiny_pipeline import AFFINE, LIVER_ML, Source, phantom, write_nifti_scan, write_scan

from liverseg import cli
from liverseg.bundle_files import bundle_root
from liverseg.dicom.write import SeriesHeader, write_ct_series
from liverseg.outputs import write_nifti
from liverseg.pipeline import Pipeline

WEIGHTS = bundle_root() / "models" / "model.pt"
INSPECT_KEYS = [
    "case_id",
    "source",
    "verdict",
    "code",
    "reason",
    "modality",
    "slices",
    "rows",
    "columns",
    "spacing_mm",
    "notes",
]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_scan(tmp_path / "in")
    return tmp_path / "in"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A threshold in place of the trained network: the command, not the network, is tested."""
    monkeypatch.setattr("liverseg.batch.BundlePipeline", lambda device, **options: Source())


def broken(network: object, weights_sha256: str) -> Pipeline:
    raise KeyError("Musterfrau^Erika")


def liverseg(shell: str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    """The command as a shell runs it: "{}" stands for it and its arguments."""
    command = shlex.join([sys.executable, "-m", "liverseg.cli", *map(str, arguments)])
    return subprocess.run(
        ["/bin/bash", "-c", shell.replace("{}", command)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "shell", ["{} <&-", "{} >&-", "{} 2>&-", "{} <&- >&- 2>&-", "{} | true; exit ${PIPESTATUS[0]}"]
)
def test_a_stream_that_is_closed_is_no_error(tmp_path: Path, shell: str) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    ended = liverseg(shell, "convert", tmp_path / "ct.nii.gz", "-o", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 1


def test_what_cannot_be_printed_is_told_and_no_matter_of_the_output_folder(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    ended = liverseg("{} >/dev/full", "inspect", tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == (
        "liverseg: standard output cannot be written: No space left on device\n"
    )
    ended = liverseg("{} 2>/dev/full", "convert", tmp_path, "-o", tmp_path / "out")
    assert ended.returncode == 0
    path = tmp_path / "mask.nii.gz"
    write_nifti(path, (phantom() > 0).astype(np.uint8), AFFINE)
    compared = ("evaluate", "--prediction", path, "--reference", path, "-o", tmp_path / "s.csv")
    assert liverseg("{} 2>/dev/full", *compared).returncode == 0
    assert (tmp_path / "s.csv").is_file()


def signalled(network: str, scan: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """The command on a scan, with a network of signalled_command.py."""
    program = Path(__file__).with_name("signalled_command.py")
    command = [sys.executable, program, network, "segment", scan, "-o", output, "-q"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The only line on stderr; nothing may be on stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("liverseg: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.usefixtures("tiny")
def test_segment_is_0_when_every_scan_is_done(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["segment", str(scan), "-o", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert f"{LIVER_ML} ml" in captured.out
    assert str(tmp_path / "out") in captured.out
    assert captured.err.startswith("[1/1] ")
    assert str(tmp_path) not in captured.err


@pytest.mark.usefixtures("tiny")
def test_segment_is_1_when_a_scan_is_refused(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scan(tmp_path / "in" / "gap")[5].unlink()
    assert cli.main(["segment", str(scan), "-o", str(tmp_path / "out"), "--quiet"]) == 1
    captured = capsys.readouterr()
    assert "MISSING_SLICES: slices are missing" in captured.out
    assert captured.err == ""


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("command", ["segment", "convert", "inspect"])
def test_what_lies_beside_the_scans_does_not_change_the_status(
    command: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scan / "README.txt").write_text("This disc was made by a viewer.")
    write_ct_series(*small_ct(), scan / "scout", SeriesHeader(localizer=True))
    output = [] if command == "inspect" else ["-o", str(tmp_path / "out")]
    assert cli.main([command, str(scan), *output, "-q"]) == 0
    said = capsys.readouterr().out
    assert "NOT_CT" in said
    assert "LOCALIZER" in said


def test_localizer_alone_is_1(tmp_path: Path) -> None:
    write_ct_series(*small_ct(), tmp_path / "scout", SeriesHeader(localizer=True))
    assert cli.main(["inspect", str(tmp_path)]) == 1


def test_missing_input_is_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.main(["segment", str(tmp_path / "none"), "-o", str(tmp_path / "out")])
    assert (status, "should exist" in one_line(capsys)) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["segment", "convert"])
def test_empty_folder_is_2_and_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    assert cli.main([command, str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 2
    assert "no scan found" in one_line(capsys)
    assert not (tmp_path / "out").exists()


def test_folder_without_a_ct_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "letter.txt").write_text("Dear colleague")
    assert cli.main(["inspect", str(tmp_path / "in")]) == 2
    captured = capsys.readouterr()
    assert "NOT_CT" in captured.out
    assert captured.err.count("\n") == 1
    assert "no CT found" in captured.err


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cuda:x", "cpu:0"])
def test_device_that_is_not_there_is_2_and_one_line(
    device: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert cli.main(["segment", str(scan), "-o", str(output), "--device", device]) == 2
    assert device in one_line(capsys)
    assert not output.exists()


def test_output_that_cannot_be_made_is_2_and_one_line_without_a_path(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["convert", str(scan), "-o", str(tmp_path / "file" / "out")]) == 2
    assert str(tmp_path) not in one_line(capsys)


def test_unexpected_error_is_one_line_and_verbose_tells_the_way_without_the_message(
    scan: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("liverseg.batch.BundlePipeline", lambda device, **options: Source(broken))
    command = ["segment", str(scan), "-o", str(tmp_path / "out")]
    assert cli.main(command) == 2
    assert "Unexpected KeyError" in one_line(capsys)
    assert cli.main([*command, "--verbose"]) == 2
    errors = capsys.readouterr().err
    assert "in run_batch" in errors
    assert "in broken" in errors
    assert "Erika" not in errors


def test_wrong_usage_is_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["segment"], ["segment", "in", "-o", "out", "--outputs", "html"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 2
        one_line(capsys)


@pytest.mark.parametrize(
    "arguments",
    [["", "-o", "out"], ["in", "-o", ""], ["in", "-o", "out", "--series", ""]],
    ids=["input", "output", "series"],
)
def test_empty_argument_is_2_and_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["convert", *arguments])
    assert ended.value.code == 2
    assert "should not be empty" in one_line(capsys)


def test_inspect_lists_series_as_json_with_the_fixed_keys(
    scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scan(scan / "gap")[5].unlink()
    (scan / "notes.txt").write_text("no image")
    assert cli.main(["inspect", str(scan), "--json"]) == 1
    listed = json.loads(capsys.readouterr().out)
    assert [list(entry) for entry in listed] == [INSPECT_KEYS] * 3
    accepted = next(entry for entry in listed if entry["verdict"] == "accepted")
    assert accepted["spacing_mm"] == pytest.approx([2.0, 1.5, 3.0])
    assert (accepted["slices"], accepted["rows"], accepted["columns"]) == (16, 24, 20)
    assert {entry["code"] for entry in listed} == {"", "MISSING_SLICES", "NOT_CT"}
    unknown = next(entry for entry in listed if entry["code"] == "NOT_CT")
    assert unknown["spacing_mm"] == [None, None, None]


def test_inspect_shows_a_table_with_reasons(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scan(scan / "gap")[5].unlink()
    assert cli.main(["inspect", str(scan)]) == 1
    table = capsys.readouterr().out
    assert "20x24" in table
    assert "\n  MISSING_SLICES: " in table
    assert table.endswith("1 of 2 accepted\n")


def test_inspect_shows_no_control_characters_of_a_file_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nifti_scan(tmp_path / "a\x1b[2Jb.nii.gz")
    assert cli.main(["inspect", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_interrupt_is_130_and_one_line(scan: Path, tmp_path: Path) -> None:
    done = signalled("interrupts", scan, tmp_path / "out")
    assert done.returncode == 130
    (line,) = done.stderr.splitlines()
    assert "interrupted" in line
    assert (tmp_path / "out" / "manifest.csv").read_text().startswith("case_id,status,")
    assert not list((tmp_path / "out").glob("cases/*"))


@pytest.mark.parametrize(
    ("network", "number"), [("terminates", signal.SIGTERM), ("hangs_up", signal.SIGHUP)]
)
def test_termination_ends_as_tidily_as_an_interrupt(
    network: str, number: signal.Signals, scan: Path, tmp_path: Path
) -> None:
    done = signalled(network, scan, tmp_path / "out")
    assert done.returncode == 128 + number
    assert "terminated" in done.stderr
    assert not list((tmp_path / "out").glob(".liverseg.lock"))
    assert not list((tmp_path / "out").glob("cases/*"))


def test_data_list_that_is_missing_is_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--data-list", str(tmp_path / "none.json")]) == 2
    assert "none.json" in one_line(capsys)


def test_data_list_that_names_missing_files_is_2_and_says_how_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = {"image": "$(a)@b.nii.gz", "label": "c.nii.gz"}
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": [case], "validation": [{**case, "image": "b"}]}))
    output = tmp_path / "out"
    assert cli.main(["train", "--data-list", str(path), "-o", str(output)]) == 2
    assert "2 of them" in one_line(capsys)
    assert not output.exists()


def test_info_tells_versions_device_and_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["torch"] == torch.__version__
    assert lines["engine"].partition("-")[0] in ("torch", "openvino")
    assert lines["device"].startswith(("cpu", "cuda"))
    assert "weights" in lines


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "{scan}"]])
def test_help_and_inspect_do_without_torch_and_monai(arguments: list[str], scan: Path) -> None:
    code = (
        "import sys; from liverseg.cli import main\n"
        "try: status = main(sys.argv[1:])\n"
        "except SystemExit as ended: status = ended.code\n"
        "heavy = {'torch', 'monai', 'highdicom', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'{status} {heavy}' if status or heavy else 0)"
    )
    words = [word.format(scan=scan) for word in arguments]
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="no trained weights in bundle/models")
def test_trained_weights_segment_a_phantom_to_the_end(scan: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert cli.main(["segment", str(scan), "-o", str(output), "--device", "cpu", "-q"]) == 0
    (report,) = output.glob("cases/*/report.json")
    assert json.loads(report.read_text())["engine"].partition("-")[0] in ("torch", "openvino")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-slices", "11"), ("--max-voxels", "10000"), ("--max-file-size", "0.000001")],
)
def test_what_is_too_large_is_an_option(
    small_dicom: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["inspect", str(small_dicom), option, value]) == 1
    assert "TOO_LARGE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value"), [("--max-archive", "0.00001"), ("--max-members", "3")]
)
def test_what_an_archive_may_hold_is_an_option(
    small_dicom: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = shutil.make_archive(str(small_dicom), "zip", small_dicom)
    assert cli.main(["inspect", archive, option, value]) == 1
    assert "UNSAFE_ARCHIVE" in capsys.readouterr().out


def test_how_far_a_gzip_file_may_expand_is_an_option(
    tmp_path: Path, phantom_nifti: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        cli.main(["convert", str(phantom_nifti), "-o", str(tmp_path / "a"), "--max-ratio", "2"])
        == 1
    )
    assert "TOO_LARGE" in capsys.readouterr().out
    assert cli.main(["convert", str(phantom_nifti), "-o", str(tmp_path / "b")]) == 0


@pytest.mark.parametrize(("option", "value"), [("--max-ratio", "0.5"), ("--max-slices", "0")])
def test_a_limit_that_is_none_is_wrong_usage(small_dicom: Path, option: str, value: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["inspect", str(small_dicom), option, value])
