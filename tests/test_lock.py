"""One run at a time in an output folder."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tiny_pipeline import write_nifti_scan

from liverseg import cli
from liverseg.lock import LOCK_FILE, private_folder, sole_writer


def test_second_run_is_refused_in_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    output = tmp_path / "out"
    command = ["convert", str(tmp_path / "ct.nii.gz"), "-o", str(output), "-q"]
    with sole_writer(output):
        assert cli.main(command) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "another run is writing to the output folder" in error
        assert [path.name for path in output.iterdir()] == [LOCK_FILE]
    assert cli.main(command) == 0
    assert not (output / LOCK_FILE).exists()


def test_lock_of_a_killed_run_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).touch()
    with sole_writer(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_folders_made_are_removed_when_they_stay_empty(tmp_path: Path) -> None:
    with sole_writer(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []
    with sole_writer(tmp_path / "a" / "b"):
        (tmp_path / "a" / "mine").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mine"]


def test_folder_of_the_caller_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with sole_writer(tmp_path / "out"):
        pass
    assert (tmp_path / "out").is_dir()


def test_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), sole_writer(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


KILLED = (
    "import os, signal\n"
    "from liverseg.lock import private_folder\n"
    "with private_folder() as folder:\n"
    "    (folder / 'slice').write_text('Musterfrau')\n"
    "    print(folder, flush=True)\n"
    "    os.kill(os.getpid(), signal.SIGKILL)\n"
)


def test_private_folder_of_a_killed_run_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, check=False
    )
    left = Path(ended.stdout.strip())
    assert (left / "slice").is_file()
    others = tmp_path / "liverseg-of-somebody"
    others.mkdir()
    with private_folder() as first, private_folder() as second:
        assert not left.parent.exists()
        assert first.is_dir()
        assert second.parent.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [others]
