"""Archives: unpacked safely, or refused."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from liverseg.archive import Limits, limits_of, looks_like_archive, unpack
from liverseg.errors import ScanRejected
from liverseg.sizes import ORDINARY_SIZES

CONTENT = bytes(range(256)) * 8
LIMITS = limits_of(ORDINARY_SIZES)


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


MAKERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "a.zip": make_zip,
    "a.tar": make_tar,
    "a.tar.gz": make_tar,
}


def unpacked(archive: Path, limits: Limits | None = None) -> dict[str, bytes]:
    """What an archive unpacks to."""
    folder = archive.parent / "unpacked"
    folder.mkdir()
    unpack(archive, folder, limits or LIMITS)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def refusal(archive: Path, limits: Limits | None = None) -> str:
    """The code that an archive is refused with; nothing of it may lie outside the folder."""
    before = {path.name for path in archive.parent.iterdir()}
    with pytest.raises(ScanRejected) as raised:
        unpacked(archive, limits)
    assert {path.name for path in archive.parent.iterdir()} == before | {"unpacked"}
    return raised.value.code


@pytest.mark.parametrize("name", MAKERS)
def test_every_file_comes_out_at_its_place(tmp_path: Path, name: str) -> None:
    members = {"a/b/one": CONTENT, "two": b"", "ä/患": b"x"}
    archive = MAKERS[name](tmp_path / name, members)
    assert looks_like_archive(archive, archive.read_bytes()[:512])
    assert unpacked(archive) == members


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("member", ["../out", ".", "a/../../out", "/out", "C:\\out", "..\\out"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str, member: str) -> None:
    assert refusal(MAKERS[name](tmp_path / name, {member: CONTENT})) == "UNSAFE_ARCHIVE"


@pytest.mark.parametrize("form", ["zip", "tar", "gztar", "bztar", "xztar"])
def test_an_archive_of_the_folder_itself_is_unpacked(tmp_path: Path, form: str) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "one").write_bytes(CONTENT)
    # As "tar -C in -c .": the first member is the folder "." itself.
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), form, tmp_path / "in"))
    assert unpacked(archive) == {"a/one": CONTENT}


def test_a_zip_that_names_its_own_root_is_unpacked(tmp_path: Path) -> None:
    assert unpacked(make_zip(tmp_path / "a.zip", {"./": b"", "one": CONTENT})) == {"one": CONTENT}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_tar_with_links_or_devices_is_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    assert refusal(tmp_path / "a.tar") == "UNSAFE_ARCHIVE"


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert refusal(tmp_path / "a.zip") == "UNSAFE_ARCHIVE"


@pytest.mark.parametrize("name", MAKERS)
def test_too_many_members_are_refused(tmp_path: Path, name: str) -> None:
    archive = MAKERS[name](tmp_path / name, {str(number): b"" for number in range(4)})
    assert refusal(archive, replace(LIMITS, members=3)) == "UNSAFE_ARCHIVE"


@pytest.mark.parametrize("name", MAKERS)
def test_too_many_bytes_are_refused(tmp_path: Path, name: str) -> None:
    archive = MAKERS[name](tmp_path / name, {"one": CONTENT, "two": CONTENT})
    assert refusal(archive, replace(LIMITS, total_bytes=2 * len(CONTENT) - 1)) == "UNSAFE_ARCHIVE"


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path, name: str) -> None:
    archive = MAKERS[name](tmp_path / name, {"zeros": bytes(1 << 20)})
    assert refusal(archive, replace(LIMITS, free_bytes=1000)) == "UNSAFE_ARCHIVE"


@pytest.mark.parametrize("name", MAKERS)
def test_a_cut_archive_is_refused(tmp_path: Path, name: str) -> None:
    archive = MAKERS[name](tmp_path / name, {"one": CONTENT, "two": CONTENT})
    whole = archive.read_bytes()
    # A plain tar ends in blocks of zeros that nobody misses: cut into its second member.
    archive.write_bytes(whole[:4000] if name == "a.tar" else whole[: len(whole) * 2 // 3])
    assert refusal(archive) in ("CORRUPT", "TRUNCATED")


def test_a_member_may_have_the_name_of_an_unfinished_file(tmp_path: Path) -> None:
    members = {".part": b"one", "a/.part": b"two"}
    for name, make in MAKERS.items():
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        assert unpacked(make(folder / name, members)) == members


def test_a_zip_of_many_members_comes_out_whole_or_is_refused(tmp_path: Path) -> None:
    members = {f"{n % 7}/{n}": bytes([n]) * (n * 999) for n in range(200)}
    archive = make_zip(tmp_path / "a.zip", members)
    assert unpacked(archive) == members
    damaged = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as packed:
        damaged[packed.getinfo("2/100").header_offset + 60] ^= 0xFF
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.zip").write_bytes(damaged)
    assert refusal(tmp_path / "other" / "a.zip") == "CORRUPT"


def test_two_members_of_one_name_are_two_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for content in (b"first", b"second"):
            info = tarfile.TarInfo("same")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert unpacked(tmp_path / "a.tar") == {"same": b"first", "same~1": b"second"}


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {"one": CONTENT})
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag in the local header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    archive.write_bytes(content)
    assert refusal(archive) == "UNREADABLE"


def test_a_member_that_does_not_match_its_checksum_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("one", CONTENT)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[100] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert refusal(tmp_path / "a.zip") == "CORRUPT"


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_tar_cut_between_two_members_is_refused(tmp_path: Path, name: str) -> None:
    archive = make_tar(tmp_path / name, {"one": CONTENT, "two": CONTENT})
    opener = gzip.open if name.endswith(".gz") else open
    with opener(archive, "rb") as file:
        whole = file.read()
    with opener(archive, "wb") as file:
        file.write(whole[: 512 + len(CONTENT)])  # one header and one member
    assert refusal(archive) == "TRUNCATED"


def test_a_tar_with_a_damaged_header_in_the_middle_is_refused(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar", {"one": CONTENT, "two": CONTENT})
    content = bytearray(archive.read_bytes())
    content[512 + len(CONTENT)] ^= 1  # the first letter of the second name
    archive.write_bytes(content)
    assert refusal(archive) == "TRUNCATED"


def test_a_tar_gz_that_does_not_match_its_checksum_is_refused(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", {"one": CONTENT})
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1  # the first byte of the CRC
    archive.write_bytes(content)
    assert refusal(archive) == "CORRUPT"


@pytest.mark.parametrize("name", MAKERS)
def test_no_room_to_unpack_is_told_as_what_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = MAKERS[name](tmp_path / name, {"ct.dcm": CONTENT})
    (tmp_path / "full").mkdir()
    opened = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if self.is_relative_to(tmp_path / "full"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ScanRejected, match="NOT_WRITABLE: the temporary folder"):
        unpack(archive, tmp_path / "full", LIMITS)
