"""A pipeline without trained weights: what is brighter than the middle of the window is liver.

The process that does the scans imports this module too, so what takes long to import (MONAI) is
imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from liverseg.dicom.write import SeriesHeader, write_ct_series
from liverseg.outputs import write_nifti
from liverseg.pipeline import Pipeline

SHAPE = (20, 24, 16)
# LAS: the first axis points to the patient's left, 2.0 x 1.5 x 3.0 mm: 9 mm3 a voxel.
SPACING_MM = (2.0, 1.5, 3.0)
AFFINE = np.array([[-2.0, 0, 0, 50], [0, 1.5, 0, -40], [0, 0, 3.0, 100], [0, 0, 0, 1]])
LIVER = (slice(4, 12), slice(6, 16), slice(5, 11))
# 8 x 10 x 6 voxels of 9 mm3 = 4320 mm3
LIVER_ML = 4.32
LIVER_HU = 120
WEIGHTS = "0" * 64


def phantom(liver_hu: int = LIVER_HU) -> np.ndarray:
    """(X, Y, Z) int16: a bright box in air; without it where liver_hu is air's."""
    image = np.full(SHAPE, -1000, np.int16)
    image[LIVER] = liver_hu
    return image


def write_scan(folder: Path, liver_hu: int = LIVER_HU, **named: str) -> list[Path]:
    """The phantom as a DICOM series."""
    return write_ct_series(phantom(liver_hu), AFFINE, folder, SeriesHeader(**named))  # type: ignore[arg-type]


def write_nifti_scan(path: Path, liver_hu: int = LIVER_HU) -> None:
    """The phantom as a NIfTI file."""
    write_nifti(path, phantom(liver_hu), AFFINE)


def threshold(image: torch.Tensor) -> torch.Tensor:
    """(1, 1, X, Y, Z) in [0, 1] to two channels of logits, liver above the middle."""
    return torch.cat([torch.full_like(image, 0.5), image], dim=1)


def apply(image: torch.Tensor, network: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """An inferer of one pass."""
    return network(image)


def windowed(data: dict[str, Any]) -> dict[str, Any]:
    """The volume as (1, X, Y, Z), -100 HU to 0 and 250 HU to 1."""
    image = (torch.from_numpy(data["image"].image.astype(np.float32)) + 100) / 350
    return {"image": image.clamp(0, 1)[None]}


def likelier(data: dict[str, Any]) -> dict[str, Any]:
    """Where the second channel is above the first."""
    return {"pred": (data["pred"][1:] > data["pred"][:1]).to(torch.uint8)}


def plain_pipeline(network: object = threshold, weights_sha256: str = WEIGHTS) -> Pipeline:
    """A pipeline of these functions: quick to load, since it does without MONAI."""
    return Pipeline(
        preprocessing=windowed,
        network=network,  # type: ignore[arg-type]
        inferer=apply,
        postprocessing=likelier,
        device=torch.device("cpu"),
        weights_sha256=weights_sha256,
    )


def tiny_pipeline(network: object = threshold, weights_sha256: str = WEIGHTS) -> Pipeline:
    """The bundle's transforms at the phantom's own spacing, so that every number can be derived."""
    from monai.transforms import Compose

    from liverseg.cleaning import KeepLiverd
    from liverseg.transforms import LoadScand, ToNetworkGridd, ToScanGridd

    load = [LoadScand("image"), ToNetworkGridd("image", SPACING_MM, (-100.0, 250.0))]
    return Pipeline(
        preprocessing=Compose(load),
        network=network,  # type: ignore[arg-type]
        inferer=apply,
        postprocessing=Compose([ToScanGridd("pred"), KeepLiverd("pred")]),
        device=torch.device("cpu"),
        weights_sha256=weights_sha256,
    )


@dataclass(frozen=True)
class Source:
    """Gives a pipeline to the process that does the scans, as the bundle does.

    Args:
        build: a function of this module, or of another that can be imported.
        network: as build takes it.
        sha256: of the weights that there are none of.
        chosen: the options that the pipeline states.
    """

    build: Callable[..., Pipeline] = plain_pipeline
    network: Callable[..., Any] = threshold
    sha256: str = WEIGHTS
    chosen: str = ""

    def weights_sha256(self) -> str:
        return self.sha256

    def options(self) -> str:
        return self.chosen

    def load(self) -> Pipeline:
        return replace(self.build(self.network, self.sha256), options=self.chosen)
