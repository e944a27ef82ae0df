"""An Orthanc on the loopback, for as long as a test needs one."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
PROGRAM = "Orthanc"
HOST = "127.0.0.1"
START_S = 60.0
BOUNDARY = "a-boundary-of-no-meaning"


@dataclass(frozen=True)
class Orthanc:
    """A running one: where it listens for HTTP and for DICOM."""

    http: int
    dicom: int

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """What it answers to a GET, or to a POST of a body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://{HOST}:{self.http}{path}", body, named)
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content

    def instances(self) -> dict[str, bytes]:
        """Every instance it has, by SOPInstanceUID, as the file it gives back."""
        found = {}
        for name in json.loads(self.ask("/instances")):
            uid = json.loads(self.ask(f"/instances/{name}"))["MainDicomTags"]["SOPInstanceUID"]
            found[uid] = self.ask(f"/instances/{name}/file")
        return found

    def remove_all(self) -> None:
        """Forget every patient."""
        names = json.loads(self.ask("/patients"))
        self.ask("/tools/bulk-delete", json.dumps({"Resources": names}).encode())

    def stow(self, files: list[Path]) -> None:
        """Store files by STOW-RS."""
        head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = b"".join(head + path.read_bytes() + b"\r\n" for path in files)
        kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
        self.ask(
            "/dicom-web/studies",
            body + f"--{BOUNDARY}--".encode(),
            Content_Type=kind,
            Accept="application/dicom+json",
        )


@contextmanager
def running(folder: Path) -> Iterator[Orthanc]:
    """Start an Orthanc with its files in a folder; it has ended when the block ends."""
    ports = [free_port(), free_port()]
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": ports[0],
        "DicomPort": ports[1],
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [PLUGIN],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "storage").mkdir(parents=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    log = (folder / "log").open("wb")
    process = subprocess.Popen([PROGRAM, folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        found = Orthanc(*ports)
        wait_for(found, process)
        yield found
    finally:
        process.terminate()
        process.wait(START_S)
        log.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(found: Orthanc, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            found.ask("/dicom-web/studies")
            return
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
