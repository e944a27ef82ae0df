"""What a batch leaves in its output folder: the kinds of outputs and the names of their files."""

from __future__ import annotations

import re

# What `segment` can write beside report.json, which is always there.
OUTPUTS = ("nifti", "dicom-seg", "report", "dicom-sr")
DEFAULT_OUTPUTS = ("nifti", "dicom-seg", "report")

CASES = "cases"
MASK_FILE = "liver.nii.gz"
SEG_FILE = "liver.dcm"
SR_FILE = "liver_sr.dcm"
PICTURE_FILE = "preview.png"
PAGE_FILE = "report.html"
# Written last: a case that has it is finished.
REPORT_FILE = "report.json"
CASE_FILES = (REPORT_FILE, MASK_FILE, SEG_FILE, SR_FILE, PICTURE_FILE, PAGE_FILE)
INDEX_FILE = "index.html"
MANIFEST_FILE = "manifest.csv"
# What `liverseg convert` calls its files.
CONVERTED = re.compile(r"[0-9a-f]{16}\.nii\.gz")


def wrong_outputs(names: tuple[str, ...]) -> str:
    """What is wrong with a choice of outputs, in words; "" when nothing is."""
    unknown = [name for name in names if name not in OUTPUTS]
    if unknown or not names:
        return f"should be some of {', '.join(OUTPUTS)}; got {', '.join(unknown) or 'none'}"
    if "dicom-sr" in names and "dicom-seg" not in names:
        return "should have dicom-seg with dicom-sr, which refers to it"
    return ""
