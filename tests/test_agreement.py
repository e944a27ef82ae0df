"""One volume everywhere: NIfTI, SEG, SR, report.json, the page, the index and the manifest."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from conftest import edit_slices
from test_seg import numbers_of
from tiny_pipeline import LIVER_ML, Source, tiny_pipeline, write_scan

from liverseg.batch import run_batch
from liverseg.case import Segmentation

OUTPUTS = ("nifti", "dicom-seg", "dicom-sr", "report")
NEAR_ML = 0.01


def seg_volume_ml(path: Path) -> float:
    """Voxels of a SEG times the volume of one, from what the SEG itself says."""
    seg = pydicom.dcmread(path)
    (shared,) = seg.SharedFunctionalGroupsSequence
    (measures,) = shared.PixelMeasuresSequence
    row_mm, column_mm = map(float, measures.PixelSpacing)
    voxels = int(np.count_nonzero(seg.pixel_array))
    return voxels * row_mm * column_mm * float(measures.SpacingBetweenSlices) / 1000


def tilt(dataset: pydicom.Dataset, index: int) -> None:
    """Move each slice more towards the front than the one before."""
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x, y - z / 6, z]


@pytest.mark.parametrize("tilted", [False, True], ids=["upright", "tilted"])
def test_volume_is_the_same_in_every_output(tilted: bool, tmp_path: Path) -> None:
    write_scan(tmp_path / "in")
    if tilted:
        edit_slices(tmp_path / "in", tilt)
    output = tmp_path / "out"
    source = Source() if tilted else Source(tiny_pipeline)
    (row,) = run_batch([tmp_path / "in"], output, Segmentation(output, source, OUTPUTS))
    case = output / "cases" / row.case_id
    mask = nib.load(case / "liver.nii.gz")
    voxel_ml = abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    with (output / "manifest.csv").open(newline="") as stream:
        (listed,) = csv.DictReader(stream)
    page = (case / "report.html").read_text()
    index = (output / "index.html").read_text()
    volumes = {
        "row": row.volume_ml,
        "NIfTI": np.count_nonzero(mask.dataobj) * voxel_ml,
        "SEG": seg_volume_ml(case / "liver.dcm"),
        "SR": numbers_of(pydicom.dcmread(case / "liver_sr.dcm"))["Volume"][0],
        "report": json.loads((case / "report.json").read_text())["volume_ml"],
        "page": float(re.findall(r"<dt>Volume</dt><dd>([\d.]+)", page)[0]),
        "table of the page": float(re.findall(r">Volume</th><td>([\d.]+) ml", page)[0]),
        "index": float(re.findall(r'data-name="Volume" data-key="([\d.]+)"', index)[0]),
        "manifest": float(listed["volume_ml"]),
    }
    assert volumes == pytest.approx(dict.fromkeys(volumes, LIVER_ML), abs=NEAR_ML)
