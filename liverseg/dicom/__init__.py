"""DICOM: find and judge series, read them exactly, write CT slices."""
