"""Run the pipeline on one scan: from what was found to a mask on its grid."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from liverseg.job import Stopwatch
from liverseg.pipeline import Pipeline
from liverseg.report.flags import Found
from liverseg.scans import Scan, Volume, read_scan

# Where liverseg.disagreement puts its map, and its number in that map's meta.
MAP_KEY = "disagreement"


class Segmented(NamedTuple):
    """A scan and its mask.

    Attributes:
        volume: the scan as read.
        mask: (X, Y, Z) uint8, liver = 1, on its grid.
        found: what else the pipeline knows.
        disagreement: map of the heads' disagreement, (X', Y', Z') in [0, 1], and its affine to
            RAS mm; None where there is none.
    """

    volume: Volume
    mask: npt.NDArray[np.uint8]
    found: Found
    disagreement: tuple[npt.NDArray[np.float16], npt.NDArray[np.float64]] | None


def run_pipeline(scan: Scan, pipeline: Pipeline, watch: Stopwatch) -> Segmented:
    """Read one scan and segment it.

    Raises:
        ScanRejected: the scan cannot be read exactly.
        ValueError: the pipeline's mask is not on the scan's grid.
    """
    import torch

    with watch.stage("reading"):
        volume = read_scan(scan)
    with watch.stage("preprocessing"):
        data = pipeline.preprocessing({"image": volume})
    with watch.stage("network"), torch.inference_mode():
        batch = data["image"][None].to(pipeline.device)  # (1, 1, X', Y', Z')
        data["pred"] = pipeline.inferer(batch, pipeline.network)[0]  # (heads, X', Y', Z')
    with watch.stage("postprocessing"):
        data = pipeline.postprocessing(data)
        mask = np.asarray(torch.as_tensor(data["pred"]).cpu())[0]  # (X, Y, Z)
    if mask.shape != volume.image.shape:
        raise ValueError(f"mask should have shape {volume.image.shape}; got {mask.shape}")
    known, there = getattr(data["pred"], "meta", {}), data.get(MAP_KEY)
    components = known.get("components")
    found = Found(
        components=None if components is None else int(components),
        removed_share=known.get("removed_share"),
        disagreement=math.nan if there is None else float(there.meta[MAP_KEY]),
    )
    return Segmented(volume, mask.astype(np.uint8, copy=False), found, _map_of(there, found))


def _map_of(
    there: Any, found: Found
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float64]] | None:
    """The map as arrays; None where the heads had nothing to disagree on."""
    if there is None or math.isnan(found.disagreement):
        return None
    return there[0].cpu().numpy(), np.asarray(there.affine, dtype=np.float64)
