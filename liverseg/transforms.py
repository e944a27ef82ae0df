"""MONAI dictionary transforms: thin, around the modules that do the work."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from liverseg.cleaning import DOUBTED
from liverseg.errors import ScanRejected
from liverseg.grid import Grid, own_spacing_mm, to_network_grid, to_scan_grid
from liverseg.label_map import read_label_map
from liverseg.scans import Scan, Volume, read_scan, scan_at

AFFINE_TOLERANCE_MM = 1e-2  # two affines are one grid when no voxel corner is further apart
POSITIONS = "slice_positions"  # in the meta of a scan with unevenly spaced slices

_Data = Mapping[Hashable, Any]


class LoadScand(MapTransform):
    """Read a CT scan exactly, or raise: DICOM folder, archive or NIfTI.

    Args:
        keys: items that are a path, a Scan or a Volume that has been read.
        allow_missing_keys: whether an item may be absent.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: _Data) -> dict[Hashable, Any]:
        """Replace each item by its scan.

        Args:
            data: with the keys.

        Returns:
            A copy with MetaTensors (1, X, Y, Z) int16 HU; meta["affine"] leads to RAS mm.

        Raises:
            ScanRejected: if the scan is refused.
            FileNotFoundError: if there is no such path.
            ValueError: if a path holds more than one scan.
        """
        items = dict(data)
        for key in self.key_iterator(items):
            item = items[key]
            volume = _volume(item)
            known: dict[str, Any] = {}
            # MONAI's savers name a case after its file; a scan found by us has its case id.
            if isinstance(item, str | Path):
                known["filename_or_obj"] = Path(item).name
            if volume.positions is not None:
                known[POSITIONS] = volume.positions
            # Laid out as the files have it: slices are taken from it one by one.
            items[key] = MetaTensor(
                torch.from_numpy(volume.without_padding())[None],
                affine=torch.from_numpy(volume.affine),
                meta=known,
            )
        return items


class LoadLabeld(MapTransform):
    """Read a label and keep the values that mean liver, and other organs if wanted.

    Args:
        keys: items that are the path of a NIfTI label.
        labels: the values that mean liver, for example [5] in BTCV, [1, 2] in LiTS.
        image_key: the image, already loaded, on whose grid the label must lie.
        others: for each other organ the values that mean it; a label need not hold them.
        allow_missing_keys: whether an item may be absent.

    Raises:
        ValueError: a value means two things.
    """

    def __init__(
        self,
        keys: KeysCollection,
        labels: Sequence[int],
        image_key: str = "image",
        others: Sequence[Sequence[int]] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.labels = tuple(labels)
        self.image_key = image_key
        self.others = tuple(tuple(values) for values in others)
        values = [*self.labels, *(value for organ in self.others for value in organ)]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(
                f"a label value should mean one organ; {', '.join(map(str, twice))} would mean the "
                f"liver or an organ ({self.labels}) and another one ({self.others})"
            )

    def __call__(self, data: _Data) -> dict[Hashable, Any]:
        """Replace each item by its mask.

        Args:
            data: with the keys and the image.

        Returns:
            A copy with MetaTensors (1, X, Y, Z) uint8, 1 where the label means liver, 2 and
            above where it means one of the others.

        Raises:
            ValueError: if a label cannot be read, lies on another grid than the image, or holds
                none of the values.
        """
        items = dict(data)
        for key in self.key_iterator(items):
            name = Path(items[key]).name
            try:
                values, affine = read_label_map(Path(items[key]))
            except ValueError as error:
                raise ValueError(f"{name} should be a whole NIfTI label; {error}") from error
            _check_same_grid(values.shape, affine, items[self.image_key], name)
            label = np.isin(values, self.labels).astype(np.uint8)
            if not label.any():
                raise ValueError(
                    f"{name} should hold {' or '.join(map(str, self.labels))} where the liver is; "
                    f"it holds {', '.join(f'{value:g}' for value in np.unique(values)[:10])}"
                )
            for number, organ in enumerate(self.others, start=2):
                label[np.isin(values, organ)] = number
            items[key] = MetaTensor(
                torch.from_numpy(np.ascontiguousarray(label))[None],
                affine=torch.from_numpy(affine),
            )
        return items


class ToNetworkGridd(MapTransform):
    """Window and resample to the network's grid.

    Args:
        keys: items (1, X, Y, Z) with an affine.
        spacing_mm: the network's spacing along R, A, S; None for each scan's own.
        window: the values that become 0 and 1: HU for an image, [0, 1] for a mask.
        allow_missing_keys: whether an item may be absent.
        device: where it is done and stays.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing_mm: Sequence[float] | None,
        window: Sequence[float],
        allow_missing_keys: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.spacing_mm: tuple[float, float, float] | None = None
        if spacing_mm is not None:
            x, y, z = spacing_mm
            self.spacing_mm = (float(x), float(y), float(z))
        self.window = (float(window[0]), float(window[1]))
        self.device = device

    def __call__(self, data: _Data) -> dict[Hashable, Any]:
        """Replace each item by itself on the network's grid.

        Args:
            data: with the keys.

        Returns:
            A copy with MetaTensors (1, X', Y', Z') float32 in [0, 1]; their meta holds
            "scan_shape" and "scan_affine" for the way back.
        """
        items = dict(data)
        for key in self.key_iterator(items):
            scan = items[key]
            affine = scan.affine.numpy().astype(np.float64)
            image, grid = to_network_grid(
                scan[0].cpu().numpy(),
                affine,
                self.spacing_mm or own_spacing_mm(affine),
                self.window,
                scan.meta.get(POSITIONS),
                self.device,
            )
            meta = {**scan.meta, "scan_shape": tuple(scan.shape[1:]), "scan_affine": affine}
            del meta["affine"]
            items[key] = MetaTensor(image[None], affine=torch.from_numpy(grid.affine), meta=meta)
        return items


class ToScanGridd(MapTransform):
    """Bring logits back to the scan's own grid as a mask.

    Args:
        keys: items (1 or 2, X', Y', Z') of logits; of two the second is the liver's.
        image_key: the image that ToNetworkGridd made.
        allow_missing_keys: whether an item may be absent.
    """

    def __init__(
        self, keys: KeysCollection, image_key: str = "image", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key

    def __call__(self, data: _Data) -> dict[Hashable, Any]:
        """Replace each item by its mask.

        Args:
            data: with the keys and the image.

        Returns:
            A copy with MetaTensors (1, X, Y, Z) uint8, 1 where the liver is more likely.
        """
        items = dict(data)
        image = items[self.image_key]
        grid = Grid(tuple(image.shape[1:]), image.affine.numpy().astype(np.float64))
        scan = Grid(tuple(image.meta["scan_shape"]), np.asarray(image.meta["scan_affine"]))
        positions = image.meta.get(POSITIONS)
        for key in self.key_iterator(items):
            logits = torch.as_tensor(items[key])
            logit = logits[1] - logits[0] if logits.shape[0] == 2 else logits[0]
            mask = to_scan_grid(torch.Tensor(logit), grid, scan, positions=positions)
            kept = MetaTensor(torch.from_numpy(mask)[None], affine=torch.from_numpy(scan.affine))
            if DOUBTED in getattr(items[key], "meta", {}):
                kept.meta[DOUBTED] = items[key].meta[DOUBTED]
            items[key] = kept
        return items


def _volume(item: Any) -> Volume:
    if isinstance(item, Volume):
        return item
    if isinstance(item, Scan):
        return read_scan(item)
    try:
        with scan_at(Path(item)) as scan:
            return read_scan(scan)
    except ScanRejected as error:
        # Who gives a path wants to know which of many it was; scans found by us have case ids.
        raise ScanRejected(error.code, f"{error.detail} ({Path(item).name})") from error


def _check_same_grid(
    shape: tuple[int, ...], affine: npt.NDArray[np.float64], image: MetaTensor, name: str
) -> None:
    wanted = tuple(image.shape[1:])
    if shape != wanted:
        raise ValueError(f"{name} should have the shape of its image, {wanted}; it has {shape}")
    far = np.abs(affine - image.affine.numpy())[:3] @ [*wanted, 1]
    if far.max() > AFFINE_TOLERANCE_MM:
        raise ValueError(f"{name} should lie on its image; it is up to {far.max():.2f} mm away")
