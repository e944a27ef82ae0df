"""Read headers so that one which crashes, hangs or swells what parses it ends that file only.

Ordinary headers, nearly all, are parsed here by code of ours that cannot do any of it. What needs
pydicom goes to a process of its own, which is started when the first such header comes.
"""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

from liverseg.child import Child
from liverseg.dicom.image import Slice, from_json
from liverseg.dicom.images import ordinary_images
from liverseg.errors import ScanRejected
from liverseg.interrupts import held_back
from liverseg.limits import Limits
from liverseg.sizes import Sizes

logger = logging.getLogger(__name__)

MODULE = "liverseg.header_worker"
# For one file: the headers of 2,000 frames take a second.
TIMEOUT_S = 60.0
# Half a kilobyte a frame.
ANSWER_BYTES = 256 << 20
WHAT = "Looking at a file"


class Headers:
    """Reads headers; its process is gone after `close`.

    Args:
        memory_bytes: of its process; by default as for a scan.
        timeout_s: for one file.
    """

    def __init__(self, memory_bytes: int | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self._most_bytes = Limits(memory_bytes=memory_bytes).most_bytes
        self._timeout_s = timeout_s
        self._child: Child | None = None

    def images(self, path: Path, sizes: Sizes) -> list[Slice]:
        """The images of a file, as `liverseg.dicom.images.images_of` gives them.

        Raises:
            ScanRejected: as there; CRASHED, TIMEOUT or OUT_OF_MEMORY when the header did that.
        """
        ordinary = ordinary_images(path, sizes)
        if ordinary is not None:
            return ordinary
        answer = self._answer(pickle.dumps((path, sizes)))
        return [from_json(values, path) for values in answer["images"]]

    def decoded(self, item: Slice) -> str:
        """A digest of an image's pixels, as `liverseg.dicom.pixels.stored_digest` gives it.

        Raises:
            ScanRejected: as there; CRASHED, TIMEOUT or OUT_OF_MEMORY when the pixels did that.
        """
        digest: str = self._answer(pickle.dumps(item))["digest"]
        return digest

    def close(self) -> None:
        """End the process, where one was needed."""
        with held_back():
            child, self._child = self._child, None
            if child is not None:
                child.kill()

    def _answer(self, request: bytes) -> dict[str, Any]:
        """What the process answers, started where there is none."""
        if self._child is None or not self._child.is_alive():
            # It may have been killed while it waited, which is not this file's fault.
            self.close()
            with held_back():
                self._child = Child(MODULE, self._most_bytes, ANSWER_BYTES, WHAT)
        answered = False
        try:
            answer = self._child.answer(request, self._timeout_s)
            answered = True
        finally:
            # Also when the run is interrupted while it waits.
            if not answered:
                self.close()
        if "code" in answer:
            logger.debug("in the headers' process: %s", answer["way"])
            raise ScanRejected(answer["code"], answer["detail"])
        return answer
