"""Score the cases of an evaluation in MONAI with the same figures as `liverseg evaluate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from liverseg.evaluate import mean_scores, write_scores
from liverseg.metrics import Scores, scores
from liverseg.pairs import case_name


class ScoreCases:
    """Score every case, write scores.csv, and give the mean of each figure to the engine.

    The engine's output is a list of cases, each with the masks `pred` and `label` (1, X, Y, Z) on
    one grid, the affine of `label`, and the name of the case in the metadata of `image`. The means
    are in engine.state.metrics under the names of liverseg.metrics.METRICS, for handlers that come
    after this one.

    Args:
        folder: for scores.csv, a row a case and the mean; made when missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._scored: dict[str, Scores] = {}

    def attach(self, engine: Engine) -> None:
        """Score after every iteration, write at the end of the epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._score)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._scored = {}

    def _score(self, engine: Engine) -> None:
        cases: Any = engine.state.output  # which ignite says to be a number
        for case in cases:
            name = case_name(Path(str(case["image"].meta["filename_or_obj"])).name)
            if name in self._scored:  # a folder a patient, in which all files have one name
                name = f"{name} ({len(self._scored) + 1})"
            masks = [case[key][0].cpu().numpy() for key in ("pred", "label")]
            affine = case["label"].affine.cpu().numpy().astype(np.float64)
            self._scored[name] = scores(masks[0], masks[1], affine)

    def _write(self, engine: Engine) -> None:
        engine.state.metrics.update(asdict(mean_scores(list(self._scored.values()))))
        write_scores(self.folder / "scores.csv", self._scored)
