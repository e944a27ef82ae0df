"""Draw preview.png: axial, coronal and sagittal slices through the liver with its contour.

Radiological convention: axial as seen from the feet and coronal from the front, so the patient's
right is on the viewer's left; sagittal with anterior on the viewer's left. All three panels share
one scale in mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from nibabel.affines import voxel_sizes
from nibabel.orientations import apply_orientation, io_orientation

from liverseg.report.areas import largest_sections

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

# Soft-tissue window, HU: liver (40 to 130) in the middle greys, fat dark, bone white.
WINDOW_HU = (-125.0, 225.0)
# Width that the three panels share and the height that none exceeds, in pixels.
PANELS_WIDTH_PX = 1320
PANEL_HEIGHT_MAX_PX = 720
MARGIN_PX = 16
TITLE_PX = 30
FOOTER_PX = 30
TEXT_PX = 15
LETTER_PX = 18
# The contour is found on pixels this many times finer than shown, then averaged: no staircase.
SUPERSAMPLING = 3
# Lengths of scale bar to choose from, in mm, longest that fits first.
SCALE_BARS_MM = (100, 50, 20, 10, 5, 2, 1)
# A scale bar takes at most this part of a panel's width.
SCALE_BAR_PART = 0.4

# The largest value of an 8-bit channel.
OPAQUE = 255
BACKGROUND = (17, 20, 24)
TEXT = (222, 226, 230)
FAINT = (134, 142, 150)
CONTOUR = (255, 176, 32)


@dataclass(frozen=True)
class View:
    """One slice as it is shown: rows downwards, columns to the viewer's right.

    Args:
        title: "axial", "coronal" or "sagittal".
        number: slice number, from 1, counted from the left, the back or the feet.
        count: how many slices there are in this direction.
        letters: orientation at the viewer's left, right, top and bottom.
        hounsfield: (rows, columns) int16, HU.
        inside: (rows, columns) uint8, liver = 1.
        pixel_mm: (row, column) distance of neighbouring pixels, mm.
    """

    title: str
    number: int
    count: int
    letters: str
    hounsfield: npt.NDArray[np.int16]
    inside: npt.NDArray[np.uint8]
    pixel_mm: tuple[float, float]

    @property
    def size_mm(self) -> tuple[float, float]:
        """(height, width) of the slice, mm."""
        rows, columns = self.hounsfield.shape
        return rows * self.pixel_mm[0], columns * self.pixel_mm[1]


def views(
    image: npt.NDArray[np.int16], mask: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64]
) -> tuple[View, View, View]:
    """The three slices with the largest cross-section of the mask, turned for the viewer.

    Args:
        image: (X, Y, Z) int16, HU.
        mask: (X, Y, Z) uint8, liver = 1; where it is empty, the middle slices are taken.
        affine: (4, 4), voxel to RAS mm. A tilted grid is drawn as if its axes were orthogonal.

    Returns:
        Axial, coronal, sagittal.
    """
    turn = io_orientation(affine)
    sizes = voxel_sizes(affine)
    spacing_mm = [float(sizes[axis]) for axis in np.argsort(turn[:, 0])]
    hounsfield, inside = (
        apply_orientation(volume, turn) for volume in (image, mask)
    )  # (X, Y, Z) towards right, anterior, superior
    x, y, z = largest_sections(inside)

    def view(title: str, letters: str, axis: int, index: int) -> View:
        # Reversed and transposed: the first row is superior (anterior in the axial view), the
        # first column is the patient's right (anterior in the sagittal view).
        # A view: np.take would copy the whole of a volume that is not contiguous.
        hu, liver = (np.moveaxis(a, axis, 0)[index][::-1, ::-1].T for a in (hounsfield, inside))
        column, row = (mm for other, mm in enumerate(spacing_mm) if other != axis)
        return View(title, index + 1, inside.shape[axis], letters, hu, liver, (row, column))

    return (
        view("axial", "RLAP", 2, z),
        view("coronal", "RLSI", 1, y),
        view("sagittal", "APSI", 0, x),
    )


def draw(
    image: npt.NDArray[np.int16],
    mask: npt.NDArray[np.uint8],
    affine: npt.NDArray[np.float64],
    *,
    caption: str = "",
) -> Image:
    """The picture of a scan and its liver.

    Args:
        image: (X, Y, Z) int16, HU.
        mask: (X, Y, Z) uint8, liver = 1. An empty one gives the middle slices without a contour.
        affine: (4, 4), voxel to RAS mm.
        caption: a line below, without identifiers of any kind.

    Returns:
        An RGB picture: three panels side by side at one scale.
    """
    from PIL import Image as PillowImage
    from PIL import ImageDraw

    shown = views(image, mask, affine)
    px_per_mm = min(
        PANELS_WIDTH_PX / sum(view.size_mm[1] for view in shown),
        PANEL_HEIGHT_MAX_PX / max(view.size_mm[0] for view in shown),
    )
    panels = [_panel(view, px_per_mm) for view in shown]
    height = max(panel.height for panel in panels)
    width = sum(panel.width + MARGIN_PX for panel in panels) + MARGIN_PX
    page = PillowImage.new("RGB", (width, TITLE_PX + height + FOOTER_PX), BACKGROUND)
    pen = ImageDraw.Draw(page)
    left = MARGIN_PX
    for view, panel in zip(shown, panels, strict=True):
        page.paste(panel, (left, TITLE_PX))
        title = f"{view.title} {view.number} / {view.count}"
        pen.text((left, TITLE_PX // 2), title, fill=TEXT, font=_font(TEXT_PX), anchor="lm")
        left += panel.width + MARGIN_PX
    low, high = WINDOW_HU
    baseline = page.height - FOOTER_PX // 2
    pen.text((MARGIN_PX, baseline), caption, fill=TEXT, font=_font(TEXT_PX), anchor="lm")
    window = f"window {low:.0f} to {high:.0f} HU"
    right = (width - MARGIN_PX, baseline)
    pen.text(right, window, fill=FAINT, font=_font(TEXT_PX), anchor="rm")
    return page


def _panel(view: View, px_per_mm: float) -> Image:
    """One slice at the common scale, with contour, orientation letters and scale bar."""
    from PIL import Image as PillowImage
    from PIL import ImageDraw

    height, width = (max(1, round(mm * px_per_mm)) for mm in view.size_mm)
    low, high = WINDOW_HU
    grey = np.clip((view.hounsfield.astype(np.float32) - low) / (high - low), 0, 1) * OPAQUE
    slice_image = PillowImage.fromarray(grey.astype(np.uint8))
    panel = slice_image.resize((width, height), PillowImage.Resampling.BICUBIC).convert("RGB")
    line = PillowImage.fromarray(_contour(view.inside, (width, height)))
    panel.paste(CONTOUR, (0, 0), line)
    pen = ImageDraw.Draw(panel)
    places = ((4, height / 2), (width - 4, height / 2), (width / 2, 2), (width / 2, height - 2))
    for letter, place, anchor in zip(view.letters, places, ("lm", "rm", "mt", "mb"), strict=True):
        _legible(pen, place, letter, anchor, LETTER_PX)
    _scale_bar(pen, panel.size, px_per_mm)
    return panel


def _contour(inside: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Opacity of the contour, (height, width) uint8: the mask minus its erosion, at display scale.

    Args:
        inside: (rows, columns), liver = 1.
        size: (width, height) of the panel, pixels.
    """
    from PIL import Image as PillowImage

    width, height = size
    fine_size = (width * SUPERSAMPLING, height * SUPERSAMPLING)
    soft = PillowImage.fromarray((inside > 0).astype(np.uint8) * OPAQUE)
    enlarged = soft.resize(fine_size, PillowImage.Resampling.BILINEAR)
    fine = np.asarray(enlarged) > OPAQUE // 2
    eroded = fine
    # One and a half display pixels: thin enough to see the edge it follows.
    for _ in range(SUPERSAMPLING + SUPERSAMPLING // 2):
        # Beyond the picture counts as inside, so that a cut liver is not closed at the border.
        padded = np.pad(eroded, 1, mode="edge")
        eroded = (
            eroded & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        )
    line = (fine & ~eroded).astype(np.float32) * OPAQUE
    blocks = line.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING)
    opacity: npt.NDArray[np.uint8] = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
    return opacity


def _scale_bar(pen: ImageDraw, size: tuple[int, int], px_per_mm: float) -> None:
    width, height = size
    fitting = [mm for mm in SCALE_BARS_MM if mm * px_per_mm <= width * SCALE_BAR_PART]
    length_mm = fitting[0] if fitting else SCALE_BARS_MM[-1]
    right, bottom = width - MARGIN_PX // 2, height - MARGIN_PX // 2
    left = right - length_mm * px_per_mm
    pen.line((left, bottom, right, bottom), fill=(0, 0, 0), width=5)
    pen.line((left, bottom, right, bottom), fill=TEXT, width=3)
    _legible(pen, ((left + right) / 2, bottom - 4), f"{length_mm} mm", "mb", TEXT_PX)


def _legible(
    pen: ImageDraw, place: tuple[float, float], text: str, anchor: str, size_px: int
) -> None:
    """Light text with a dark edge: readable over air and over bone."""
    font = _font(size_px)
    pen.text(
        place, text, fill=TEXT, font=font, anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0)
    )


def _font(size_px: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont as PillowFont

    return PillowFont.load_default(size_px)
