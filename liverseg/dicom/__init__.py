"""DICOM: find and judge series, read them exactly, write CT slices. Imports nothing of ours but errors."""
