"""Write the files of one case but report.json, each whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from liverseg.dicom.derived import Provenance
from liverseg.errors import ScanRejected
from liverseg.layout import MASK_FILE, PAGE_FILE, PICTURE_FILE, SEG_FILE, SR_FILE
from liverseg.outputs import PRIVATE_MODE, whole_file, write_nifti, write_text
from liverseg.packed import at_hand
from liverseg.report.flags import Flag
from liverseg.report.qc import Quality, rounded
from liverseg.scans import Scan, Volume
from liverseg.segmented import Segmented

if TYPE_CHECKING:
    from liverseg.report.embed import Embedded

NO_SEG = "No liver was found: there is no DICOM SEG, and no SR."
NO_DICOM = "The source is no DICOM, which a DICOM SEG or SR would have to refer to: there is none."


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case.

    Args:
        folder: where they go; it exists.
        outputs: some of liverseg.layout.OUTPUTS.
        provenance: what made the mask.
    """

    folder: Path
    outputs: tuple[str, ...]
    provenance: Provenance

    def write_masks(
        self, scan: Scan, volume: Volume, mask: npt.NDArray[np.uint8], quality: Quality
    ) -> Quality:
        """Write the mask as what was asked for.

        Args:
            scan: where the mask comes from.
            volume: the scan as read.
            mask: (X, Y, Z) uint8, liver = 1, on its grid.
            quality: what was measured on it.

        Returns:
            The measurements, with a flag or a note on a DICOM SEG that could not be made.

        Raises:
            OSError: the folder cannot be written, or is full.
        """
        if "nifti" in self.outputs:
            write_nifti(self.folder / MASK_FILE, mask, volume.affine)
        if "dicom-seg" not in self.outputs:
            return quality
        if scan.kind == "dicom":
            return self._write_dicom(scan, mask, quality)
        # Not worth a look, since nothing is the matter with the scan.
        return replace(quality, flags=(*quality.flags, Flag("NOTE", NO_DICOM)))

    def embedded(self, segmented: Segmented) -> Embedded | None:
        """The volumes that the page will show; None where no page was asked for."""
        if "report" not in self.outputs:
            return None
        from liverseg.report.embed import embed

        volume = segmented.volume
        return embed(volume.image, segmented.mask, volume.affine, segmented.disagreement)

    def write_report(
        self, segmented: Segmented, report: Mapping[str, Any], embedded: Embedded | None
    ) -> None:
        """Write the picture and the page, where they were asked for.

        Args:
            segmented: the scan and its mask.
            report: what report.json will hold.
            embedded: of `embedded`.

        Raises:
            OSError: the folder cannot be written, or is full.
        """
        if embedded is None:
            return
        from liverseg.report.html import page

        picture = _picture(segmented.volume, segmented.mask, report)
        with whole_file(self.folder / PICTURE_FILE) as stream:
            stream.write(picture)
        write_text(self.folder / PAGE_FILE, page(self.folder.name, report, embedded, picture))

    def _write_dicom(self, scan: Scan, mask: npt.NDArray[np.uint8], quality: Quality) -> Quality:
        from liverseg.dicom.seg import liver_seg

        try:
            with at_hand(scan.files, scan.packed):
                seg = liver_seg(scan.images, mask, self.provenance)
        except ScanRejected as refusal:
            # The scan is fine, and so is the rest of what is made of it.
            others = [flag for flag in quality.flags if flag.code != refusal.code]
            flags = (*others, Flag(refusal.code, refusal.detail))
            return replace(quality, flags=flags)
        if seg is None:
            return replace(quality, flags=(*quality.flags, Flag("NOTE", NO_SEG)))
        self._save(seg, SEG_FILE)
        if "dicom-sr" in self.outputs:
            self._write_sr(seg, quality)
        return quality

    def _write_sr(self, seg: Dataset, quality: Quality) -> None:
        from liverseg.dicom.sr import liver_sr

        volume_ml, mean_hu = rounded(quality.volume_ml), rounded(quality.mean_hu)
        if volume_ml is None or mean_hu is None:
            raise ValueError("a liver that has a SEG should have a volume and a mean")
        self._save(liver_sr(seg, volume_ml, mean_hu, self.provenance), SR_FILE)

    def _save(self, dataset: Dataset, name: str) -> None:
        content = io.BytesIO()  # pydicom does not tell of a disk that is full
        dataset.save_as(content, enforce_file_format=True)
        # It holds the patient's name: for its owner only, as linkage.csv.
        with whole_file(self.folder / name, PRIVATE_MODE) as stream:
            stream.write(content.getbuffer())


def _picture(volume: Volume, mask: npt.NDArray[np.uint8], report: Mapping[str, Any]) -> bytes:
    """preview.png."""
    from liverseg.report.picture import draw

    caption = f"liver {report['volume_ml']:.2f} ml"
    if report["mean_hu"] is not None:
        caption += f", mean {report['mean_hu']:.0f} HU"
    content = io.BytesIO()
    draw(volume.image, mask, volume.affine, caption=caption).save(content, format="PNG")
    return content.getvalue()
