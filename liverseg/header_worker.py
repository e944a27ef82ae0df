"""The process that reads unusual headers: takes paths from a pipe, answers in JSON on another."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from liverseg.dicom.header import quiet_pydicom
from liverseg.dicom.image import Slice, as_json
from liverseg.dicom.images import images_of
from liverseg.dicom.pixels import stored_digest
from liverseg.failure import refusal_of, where
from liverseg.restrain import restrain
from liverseg.sizes import Sizes


def main(requests: int, answers: int, parent: int, address_space: int) -> None:
    """Answer requests until there are none.

    Args:
        requests: descriptor to read from: pickled pairs of a path and Sizes, or a Slice.
        answers: descriptor to write to, a line of JSON a request: {"images": [...]} of a path,
            {"digest": ...} of a Slice's pixels, or "code", "detail" and "way" of what went wrong.
        parent: id of the process to end with.
        address_space: as `restrain` takes it.
    """
    restrain(parent, address_space)
    with os.fdopen(requests, "rb") as inbox, os.fdopen(answers, "wb") as outbox, quiet_pydicom():
        while True:
            try:
                asked = pickle.load(inbox)  # noqa: S301  from our own parent
            except EOFError:
                return
            answer: dict[str, Any]
            try:
                answer = _answer(asked)
            except BaseException as error:  # noqa: BLE001  whatever it is, the parent tells it
                refusal = refusal_of(error)
                answer = {"code": refusal.code, "detail": refusal.detail, "way": where(error)}
            outbox.write(json.dumps(answer).encode() + b"\n")
            outbox.flush()


# Multi-frame files whose frames are compared, one of them and its copy at a time.
_opened: dict[Path, Dataset] = {}


def _answer(asked: tuple[Path, Sizes] | Slice) -> dict[str, Any]:
    """The images of a file, or the digest of an image."""
    if isinstance(asked, Slice):
        if asked.path not in _opened and len(_opened) > 1:
            _opened.clear()
        return {"digest": stored_digest(asked, _opened)}
    return {"images": [as_json(item) for item in images_of(*asked)]}
