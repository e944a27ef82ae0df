"""Nothing of a patient leaves the input but what linkage.csv holds, whatever is asked or fails."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from conftest import edit_slices
from encoders import re_encoded
from PIL import Image
from pydicom.datadict import DicomDictionary
from pydicom.dataset import FileDataset
from tiny_pipeline import AFFINE, phantom, write_scan

from liverseg.bundle_files import bundle_root
from liverseg.dicom.derived import TYPE_2, TYPE_3

# What is planted. Each word is looked for by itself, in either case.
NAME, PATIENT_ID, BIRTH_DATE = "Zwiebelturm^Kunigunde", "PID-7741093-XQ", "19410923"
ACCESSION, INSTITUTION = "ACC-5598231-ZK", "Klinikum Drachenwald"
UID = "2.25.4711081547110815"
WORDS = ("Zwiebelturm", "Kunigunde", "7741093", BIRTH_DATE, "1941-09-23", "5598231", "Drachenwald")
UID_WORD = "4711081547110815"
EVERYTHING = f"{NAME} {PATIENT_ID} {BIRTH_DATE} {ACCESSION} {INSTITUTION}"
# Text of each type that is as telling as the type allows (PS3.5 6.2).
TEXTS = {
    "PN": NAME,
    "LO": EVERYTHING[:64],
    "SH": ACCESSION,
    "ST": EVERYTHING,
    "LT": EVERYTHING,
    "UT": EVERYTHING,
    "UC": EVERYTHING,
    "UR": f"http://x/{PATIENT_ID}",
    "AE": "DRACHENWALD",
    "CS": "KUNIGUNDE",
    "DA": BIRTH_DATE,
    "DT": BIRTH_DATE,
    "UI": f"{UID}.1",
}
# Without these a slice is none that can be read.
NEEDED = {
    "SpecificCharacterSet",
    "ImageType",
    "SOPClassUID",
    "Modality",
    "PhotometricInterpretation",
    "RescaleType",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "LossyImageCompression",
}
COMMANDS = {
    f"{command} {level}": [command, *options]
    for command in ("segment", "convert")
    for level, options in {"normally": [], "verbosely": ["-v"], "quietly": ["-q"]}.items()
}
COMMANDS["segment normally"] += ["--outputs", "nifti,dicom-seg,dicom-sr,report"]


def planted(dataset: FileDataset, index: int) -> None:
    """Put something of the patient into every text element that the standard has.

    In every fourth slice, the damaged one among them, and the usual ones in all: thousands of
    elements in every slice would only take time.
    """
    for tag, (vr, multiplicity, _, _, keyword) in DicomDictionary.items() if index % 4 == 1 else ():
        known = tag >> 16 in (0, 2, 4)  # commands, file meta, DICOMDIR
        if vr in TEXTS and multiplicity in ("1", "1-n") and keyword not in NEEDED and not known:
            dataset.add_new(tag, vr, TEXTS[vr])
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, PATIENT_ID, BIRTH_DATE
    dataset.AccessionNumber, dataset.InstitutionName = ACCESSION, INSTITUTION
    dataset.StudyDescription = dataset.SeriesDescription = EVERYTHING[:64]
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{UID}.7.{index}"
    dataset.KVP = dataset.ConvolutionKernel = None
    dataset.AcquisitionNumber, dataset.FrameOfReferenceUID = 1, f"{UID}.1"
    for keyword in ("AcquisitionDateTime", "ContentDate", "AcquisitionDate"):
        setattr(dataset, keyword, BIRTH_DATE)


def patient_series(root: Path, number: int, **elements: object) -> Path:
    """A series full of the patient, in folders and files with the patient's names."""
    folder = root / f"{NAME}_{BIRTH_DATE}" / f"{PATIENT_ID} {INSTITUTION}" / f"{ACCESSION}.{number}"
    write_scan(folder)

    def change(dataset: FileDataset, index: int) -> None:
        planted(dataset, index)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{UID}.2", f"{UID}.3.{number}"
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    edit_slices(folder, change)
    for index, path in enumerate(sorted(folder.iterdir())):
        path.rename(path.with_name(f"{NAME}_{BIRTH_DATE}_{index:04d}.dcm"))
    return folder


def patient_nifti(path: Path) -> None:
    """A NIfTI file with the patient in every text of its header."""
    image = nib.Nifti1Image(phantom(), AFFINE)
    image.header.set_xyzt_units("mm")
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        size = image.header[name].dtype.itemsize
        image.header[name] = EVERYTHING[:size]
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", EVERYTHING.encode()))
    nib.save(image, path)


def damage(folder: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the bytes of the sixth file."""
    path = sorted(folder.iterdir())[5]
    path.write_bytes(change(path.read_bytes()))


def write_deliveries(root: Path) -> None:
    """Good, refused and broken scans of one patient, in folders, an archive and NIfTI."""
    patient_series(root, 1)
    sorted(patient_series(root, 2).iterdir())[5].unlink()  # MISSING_SLICES
    damage(patient_series(root, 3), lambda content: content[:-99])  # TRUNCATED
    damage(patient_series(root, 4), lambda content: content[:300] + os.urandom(4000))
    damage(patient_series(root, 5), lambda content: content[:300])
    patient_series(root, 6, RescaleType="KUNIGUNDE", RescaleIntercept=0)  # HU_IMPLAUSIBLE
    patient_series(root, 7, Modality="KUNIGUNDE", SOPClassUID=f"1.2.840.10008.5.1.{UID_WORD}")
    patient_series(root, 8, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER", "KUNIGUNDE"])
    patient_series(root, 9, PixelSpacing=[1.5, 0])  # NO_POSITION
    compressed = patient_series(root, 10)
    re_encoded(pydicom.uid.RLELossless)(compressed)
    damage(compressed, lambda content: content[:-300] + bytes([127]) * 200 + content[-100:])
    packed = patient_series(root, 11)
    with zipfile.ZipFile(root / f"{NAME} {PATIENT_ID}.zip", "w") as archive:
        for path in sorted(packed.iterdir()):
            archive.write(path, f"{NAME}/{ACCESSION}/{path.name}")
    shutil.rmtree(packed)
    (root / f"{NAME}-2.zip").write_bytes((root / f"{NAME} {PATIENT_ID}.zip").read_bytes()[:-5000])
    patient_nifti(root / f"{NAME}.nii.gz")
    patient_nifti(root / f"{NAME}-2.nii")
    (root / f"{NAME}-2.nii").write_bytes((root / f"{NAME}-2.nii").read_bytes()[:-9])
    (root / f"{NAME}.txt").write_text(EVERYTHING)


@dataclass(frozen=True)
class Place:
    """A copy of the program with weights that were never trained, and what it is to read."""

    program: Path
    inputs: Path
    temporary: Path

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        """Run the command as a user does."""
        environment = {**os.environ, "TMPDIR": str(self.temporary)}
        return subprocess.run(
            [sys.executable, "-m", "liverseg.cli", *arguments],
            cwd=self.program,
            env=environment,
            capture_output=True,
            check=False,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    import torch
    from monai.bundle import ConfigParser

    import liverseg.dsn  # noqa: F401  makes `_target_: DSN` known
    from liverseg.weight_files import save_weights

    root = tmp_path_factory.mktemp("privacy")
    found = Place(root / "program", root / "inputs", root / "temporary")
    bundle = bundle_root()
    skipped = shutil.ignore_patterns("__pycache__", "*.pt", "*.sha256")
    shutil.copytree(bundle.parent / "liverseg", found.program / "liverseg", ignore=skipped)
    shutil.copytree(bundle, found.program / "bundle", ignore=skipped)
    parser = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / "inference.yaml"))
    models = found.program / "bundle" / "models"
    models.mkdir(exist_ok=True)
    for name, key in (("coarse.pt", "coarse_network_def"), ("model.pt", "network_def")):
        network = parser.get_parsed_content(key)
        for parameter in network.parameters():
            torch.nn.init.zeros_(parameter)
        # Liver everywhere, so that there is something to write.
        torch.nn.init.constant_(network.head_main.classify.bias[1:2], 6.0)
        save_weights(network, models / name)
    found.temporary.mkdir()
    found.inputs.mkdir()
    with pydicom.config.disable_value_validation():
        write_deliveries(found.inputs)
    return found


def tellings(content: bytes) -> list[str]:
    """Which of the planted words some bytes hold, compressed or not."""
    texts = [content]
    if content.startswith(b"\x1f\x8b"):
        texts.append(gzip.decompress(content))
    shown = b"\n".join(texts).lower()
    words = (*WORDS, UID_WORD)
    encodings = ("utf-8", "utf-16-le", "utf-16-be")
    return [w for w in words if any(w.lower().encode(code) in shown for code in encodings)]


def unneeded_tellings(path: Path) -> list[str]:
    """The planted words in a DICOM object beyond what ties it to its patient, study and source."""
    mode = stat.S_IMODE(path.stat().st_mode)
    dataset = pydicom.dcmread(path)
    needed = {*TYPE_2, *TYPE_3, "ContentDate", "FrameOfReferenceUID", "UID"}
    needed |= {"StudyInstanceUID", "SeriesInstanceUID", "ReferencedSOPInstanceUID"}

    def without_needed(parent: pydicom.Dataset, element: pydicom.DataElement) -> None:
        if element.keyword in needed:
            del parent[element.tag]

    dataset.walk(without_needed)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return tellings(buffer.getvalue()) + ([] if mode == 0o600 else [f"mode {mode:o}"])


def written_tellings(output: Path) -> dict[str, list[str]]:
    """The planted words in the names, bytes and picture texts of everything written."""
    found = {}
    for path in sorted(output.rglob("*")):
        name = str(path.relative_to(output))
        words = tellings(name.encode())
        if path.suffix == ".dcm":
            words += unneeded_tellings(path)
        elif path.is_file() and path.name != "linkage.csv":
            words += tellings(path.read_bytes())
        if path.suffix == ".png":
            with Image.open(path) as picture:
                words += tellings(repr(picture.info).encode())
        if words:
            found[name] = words
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of the bad files we write
def test_what_is_planted_can_be_found(place: Place) -> None:
    whole = b"".join(path.read_bytes() for path in place.inputs.rglob("*.dcm"))
    words = {*WORDS, UID_WORD} - {"1941-09-23"}
    assert words <= set(tellings(whole))
    assert tellings(gzip.compress(NAME.encode())) == ["Zwiebelturm", "Kunigunde"]


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_of_a_patient_is_written_or_said(name: str, place: Place, tmp_path: Path) -> None:
    command, *options = COMMANDS[name]
    ended = place.run(command, place.inputs, "-o", tmp_path / "out", *options)
    # The summary names the output folder, which is the user's own and no secret here.
    assert tellings(ended.stdout + ended.stderr) == []
    assert written_tellings(tmp_path / "out") == {}
    assert ended.returncode == 1, ended.stderr
    manifest = (tmp_path / "out" / "manifest.csv").read_text()
    assert manifest.count(",done,") >= 3
    objects = [pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")]
    assert len(objects) >= 2 * (command == "segment")
    assert {str(made.PatientName) for made in objects} <= {NAME}
    refused = ("MISSING_SLICES", "TRUNCATED", "CORRUPT", "HU_IMPLAUSIBLE", "NOT_CT", "LOCALIZER")
    assert [code for code in refused if f",rejected,{code}," not in manifest] == []
    linkage = tmp_path / "out" / "linkage.csv"
    assert {"Zwiebelturm", UID_WORD} <= set(tellings(linkage.read_bytes()))
    assert stat.S_IMODE(linkage.stat().st_mode) == 0o600
    assert list(place.temporary.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_inspect_shows_paths_and_nothing_else(options: list[str], place: Place) -> None:
    ended = place.run("inspect", place.inputs, *options)
    said = ended.stdout.decode("utf-8").replace(str(place.inputs), "")
    for path in sorted(place.inputs.rglob("*"), key=lambda path: -len(str(path))):
        said = said.replace(str(path.relative_to(place.inputs)), "")
    assert tellings(said.encode() + ended.stderr) == []


@pytest.mark.parametrize("command", ["segment", "convert"])
def test_an_input_that_is_missing_is_the_only_path_that_is_said(
    command: str, place: Place, tmp_path: Path
) -> None:
    output = place.inputs / f"{NAME}.txt"  # a file where a folder should be
    ended = place.run(command, place.inputs, "-o", output, "-v")
    assert ended.returncode == 2
    assert tellings(ended.stdout + ended.stderr) == []


def test_masks_hold_the_source_in_no_header_field(place: Place, tmp_path: Path) -> None:
    place.run("convert", place.inputs / f"{NAME}.nii.gz", "-o", tmp_path / "out", "-q")
    (converted,) = (tmp_path / "out").glob("*.nii.gz")
    image = nib.load(converted)
    np.testing.assert_array_equal(np.asarray(image.dataobj), phantom())
    assert image.header["descrip"] == b""
    assert len(image.header.extensions) == 0
