"""What lies below a folder, whatever the operating system lets us look at."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from liverseg.scans import found_scans
from liverseg.walk import files_below

NOBODY = 65534
NAME = "a" * 250
LEVELS = 20  # of that name: 5000 characters, where Linux takes 4096


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Without the rights of root, who may enter every folder."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def test_folder_that_may_be_listed_and_not_entered_ends_nothing() -> None:
    with ordinary_user(), tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        (tree / "closed").mkdir()
        (tree / "closed" / "slice").write_bytes(b"x")
        (tree / "open").write_bytes(b"x")
        (tree / "closed").chmod(0o444)
        try:
            found = files_below(tree)
            with found_scans([tree]) as scans:
                codes = {scan.code for scan in scans}
        finally:
            (tree / "closed").chmod(0o755)
    assert found.files == [tree / "open"]
    assert found.unreadable == [tree / "closed" / "slice"]
    assert codes == {"NOT_CT", "UNREADABLE"}


def test_tree_deeper_than_a_path_may_be_long_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(LEVELS):
        os.mkdir(NAME, dir_fd=folder)
        below = os.open(NAME, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    found = files_below(tmp_path)
    assert found.files == [tmp_path / "file"]
    assert len(found.unreadable) == 1
