"""The process that reads unusual headers: takes paths from a pipe, answers in JSON on another."""

from __future__ import annotations

import json
import os
import pickle
from typing import Any

from liverseg.dicom.header import quiet_pydicom
from liverseg.dicom.image import as_json
from liverseg.dicom.images import images_of
from liverseg.failure import refusal_of, where
from liverseg.restrain import restrain


def main(requests: int, answers: int, parent: int, address_space: int) -> None:
    """Answer requests until there are none.

    Args:
        requests: descriptor to read from: pickled pairs of a path and Sizes.
        answers: descriptor to write to, a line of JSON a request: {"images": [...]}, or "code",
            "detail" and "way" of what went wrong.
        parent: id of the process to end with.
        address_space: as `restrain` takes it.
    """
    restrain(parent, address_space)
    with os.fdopen(requests, "rb") as inbox, os.fdopen(answers, "wb") as outbox, quiet_pydicom():
        while True:
            try:
                path, sizes = pickle.load(inbox)  # noqa: S301  from our own parent
            except EOFError:
                return
            answer: dict[str, Any]
            try:
                answer = {"images": [as_json(item) for item in images_of(path, sizes)]}
            except BaseException as error:  # noqa: BLE001  whatever it is, the parent tells it
                refusal = refusal_of(error)
                answer = {"code": refusal.code, "detail": refusal.detail, "way": where(error)}
            outbox.write(json.dumps(answer).encode() + b"\n")
            outbox.flush()
