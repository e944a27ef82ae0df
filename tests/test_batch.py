"""Batches on phantoms with a threshold for a network: what is written, kept, refused, resumed."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from conftest import edit_slices
from pydicom.uid import generate_uid
from tiny_pipeline import (
    AFFINE,
    LIVER,
    LIVER_HU,
    LIVER_ML,
    SHAPE,
    Source,
    phantom,
    plain_pipeline,
    threshold,
    tiny_pipeline,
    write_nifti_scan,
    write_scan,
)

from liverseg import batch
from liverseg.batch import Row, convert, run_batch, segment, segment_folder
from liverseg.case import Segmentation
from liverseg.child import Child
from liverseg.errors import ScanRejected
from liverseg.limits import Limits
from liverseg.manifest import COLUMNS
from liverseg.pipeline import Pipeline

NAME = "Musterfrau^Erika"
PLAIN = Source()


def run(
    inputs: Path | list[Path],
    output: Path,
    source: Source = PLAIN,
    *,
    series: str = "all",
    outputs: tuple[str, ...] = batch.DEFAULT_OUTPUTS,
    resume: bool = True,
    workers: int | None = None,
    on_row: batch.OnRow | None = None,
) -> list[Row]:
    job = Segmentation(output, source, outputs, resume)
    paths = inputs if isinstance(inputs, list) else [inputs]
    limits = Limits(workers=workers)
    return run_batch(paths, output, job, series=series, limits=limits, on_row=on_row)


# Networks, run in the process that does the scans. 200 HU is 300 / 350 of the window, 120 HU is
# 220 / 350.


def fails_on_bright(image: torch.Tensor) -> torch.Tensor:
    if image.max() > 0.7:
        raise KeyError(f"value of {NAME}")
    return threshold(image)


def greedy(image: torch.Tensor) -> torch.Tensor:
    raise MemoryError


def refuses(image: torch.Tensor) -> torch.Tensor:
    try:
        raise ScanRejected("CORRUPT", "slice 3 of 24 cannot be decoded")
    except ScanRejected as error:
        raise RuntimeError("applying transform") from error


def fills_the_disk(image: torch.Tensor) -> torch.Tensor:
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name == "preview.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return replace(self, target)

    Path.replace = full  # type: ignore[method-assign]  # in that process only
    return threshold(image)


def cannot_be_built(network: object, weights_sha256: str) -> Pipeline:
    raise ValueError("should not have been built")


def interrupts_on_bright(image: torch.Tensor) -> torch.Tensor:
    if image.max() > 0.7:
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()
    return threshold(image)


def slow_on_the_first(image: torch.Tensor) -> torch.Tensor:
    if image.max() * 350 - 100 < 110.5:
        time.sleep(1)
    return threshold(image)


def manifest(output: Path) -> list[dict[str, str]]:
    with (output / "manifest.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with a whole series and one with a missing slice."""
    write_scan(tmp_path / "in" / "a", patient_name=NAME)
    for path in write_scan(tmp_path / "in" / "b", patient_name=NAME)[7:9]:
        path.unlink()
    return tmp_path / "in"


def test_series_becomes_a_mask_a_report_and_a_row(tmp_path: Path) -> None:
    write_scan(tmp_path / "in")
    (row,) = run(tmp_path / "in", tmp_path / "out")
    assert (row.status, row.code, row.modality) == ("done", "", "CT")
    assert (row.slices, row.rows, row.columns) == (16, 24, 20)
    assert (row.spacing_x_mm, row.spacing_y_mm, row.spacing_z_mm) == pytest.approx((2.0, 1.5, 3.0))
    assert row.volume_ml == LIVER_ML
    assert row.mean_hu == LIVER_HU
    case = f"cases/{row.case_id}"
    assert files(tmp_path / "out") == [
        f"{case}/liver.dcm",
        f"{case}/liver.nii.gz",
        f"{case}/preview.png",
        f"{case}/report.html",
        f"{case}/report.json",
        "index.html",
        "linkage.csv",
        "manifest.csv",
    ]


def test_mask_lies_on_the_scans_own_grid(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    (row,) = run(tmp_path / "ct.nii.gz", tmp_path / "out")
    mask = nib.load(tmp_path / "out" / "cases" / row.case_id / "liver.nii.gz")
    expected = np.zeros(SHAPE, np.uint8)
    expected[LIVER] = 1
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(mask.affine, AFFINE)
    assert np.array_equal(np.asarray(mask.dataobj), expected)


def test_report_holds_the_same_numbers_as_the_manifest(tmp_path: Path) -> None:
    write_scan(tmp_path / "in")
    (row,) = run(tmp_path / "in", tmp_path / "out", Source(tiny_pipeline))
    report = json.loads((tmp_path / "out/cases" / row.case_id / "report.json").read_text())
    (listed,) = manifest(tmp_path / "out")
    assert tuple(listed) == COLUMNS
    assert report["volume_ml"] == float(listed["volume_ml"]) == LIVER_ML
    assert report["mean_hu"] == float(listed["mean_hu"]) == LIVER_HU
    assert report["median_hu"] == LIVER_HU
    assert report["std_hu"] == 0.0
    # 8 x 2.0 mm, 10 x 1.5 mm, 6 x 3.0 mm along the axes as read; one component, no border near
    assert report["extent_mm"] == [16.0, 15.0, 18.0]
    assert (report["components"], report["touches_border"]) == (1, [])
    assert report["geometry"]["shape"] == list(SHAPE)
    assert report["weights_sha256"] == listed["weights_sha256"] == "0" * 64
    assert {"reading", "network", "writing"} <= set(report["seconds"])
    assert listed["flags"] == "IMPLAUSIBLE_VOLUME"


def test_no_liver_is_done_with_zero_ml_and_no_mean(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz", liver_hu=-1000)
    run(tmp_path / "ct.nii.gz", tmp_path / "out")
    (listed,) = manifest(tmp_path / "out")
    assert (listed["status"], listed["volume_ml"], listed["mean_hu"]) == ("done", "0.00", "")
    assert listed["flags"].startswith("NO_LIVER")


def test_scan_without_identifiers_is_done_all_but_its_seg(tmp_path: Path) -> None:
    write_scan(tmp_path / "in")
    edit_slices(tmp_path / "in", lambda dataset, _: setattr(dataset, "FrameOfReferenceUID", ""))
    (row,) = run(tmp_path / "in", tmp_path / "out", outputs=("nifti", "dicom-seg", "dicom-sr"))
    assert (row.status, row.code, row.volume_ml) == ("done", "", LIVER_ML)
    assert "NO_UIDS" in row.flags
    case = tmp_path / "out" / "cases" / row.case_id
    assert files(case) == ["liver.nii.gz", "report.json"]
    flags = json.loads((case / "report.json").read_text())["flags"]
    (sentence,) = (flag["sentence"] for flag in flags if flag["code"] == "NO_UIDS")
    assert "FrameOfReferenceUID" in sentence


def test_nifti_source_has_no_seg_and_its_report_says_why_without_a_flag(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    (row,) = run(tmp_path / "ct.nii.gz", tmp_path / "out", outputs=("nifti", "dicom-seg"))
    case = tmp_path / "out" / "cases" / row.case_id
    assert files(case) == ["liver.nii.gz", "report.json"]
    flags = json.loads((case / "report.json").read_text())["flags"]
    assert flags[-1]["code"] == "NOTE"
    assert "no DICOM" in flags[-1]["sentence"]


def test_nothing_of_an_older_result_stays_beside_a_new_one(tmp_path: Path) -> None:
    write_scan(tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out", outputs=("nifti", "dicom-seg", "dicom-sr", "report"))
    (row,) = run(tmp_path / "in", tmp_path / "out", Source(sha256="1" * 64), outputs=("nifti",))
    case = tmp_path / "out" / "cases" / row.case_id
    assert files(case) == ["liver.nii.gz", "report.json"]


def test_sr_without_the_seg_that_it_refers_to_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dicom-seg with dicom-sr"):
        segment([tmp_path], tmp_path / "out", outputs=["dicom-sr"])


def test_refused_series_is_listed_and_leaves_nothing(study: Path, tmp_path: Path) -> None:
    rows = run(study, tmp_path / "out")
    assert sorted((row.status, row.code) for row in rows) == [
        ("done", ""),
        ("rejected", "MISSING_SLICES"),
    ]
    done = next(row.case_id for row in rows if row.status == "done")
    assert [path.name for path in (tmp_path / "out" / "cases").iterdir()] == [done]


def test_file_that_ends_early_is_refused_while_it_is_read(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "in")[3]
    path.write_bytes(path.read_bytes()[:-100])
    (row,) = run(tmp_path / "in", tmp_path / "out")
    assert (row.status, row.code) == ("rejected", "TRUNCATED")
    assert not list((tmp_path / "out").glob("cases/*"))


def test_unexpected_error_ends_its_scan_only_and_tells_no_data(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_nifti_scan(tmp_path / "in" / "a.nii.gz", liver_hu=200)
    write_nifti_scan(tmp_path / "in" / "b.nii.gz")
    rows = run(tmp_path / "in", tmp_path / "out", Source(network=fails_on_bright))
    assert [(row.status, row.code) for row in rows] == [("failed", "FAILED"), ("done", "")]
    assert "KeyError" in rows[0].detail
    assert NAME not in (tmp_path / "out" / "manifest.csv").read_text()
    assert len(list((tmp_path / "out" / "cases").iterdir())) == 1


def test_memory_error_has_its_own_code(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    (row,) = run(tmp_path / "ct.nii.gz", tmp_path / "out", Source(network=greedy))
    assert (row.status, row.code) == ("failed", "OUT_OF_MEMORY")


def test_refusal_wrapped_by_a_transform_keeps_its_code(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    (row,) = run(tmp_path / "ct.nii.gz", tmp_path / "out", Source(network=refuses))
    assert (row.status, row.code) == ("rejected", "CORRUPT")
    assert row.detail == "slice 3 of 24 cannot be decoded"


def test_full_disk_fails_the_scan_and_leaves_no_part_of_it(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    (row,) = run(tmp_path / "ct.nii.gz", tmp_path / "out", Source(network=fills_the_disk))
    assert (row.status, row.code) == ("failed", "NOT_WRITABLE")
    assert row.detail == "The output folder cannot be written: No space left on device."
    assert files(tmp_path / "out") == ["index.html", "linkage.csv", "manifest.csv"]


def test_second_run_skips_what_is_done_and_keeps_its_numbers(tmp_path: Path) -> None:
    write_scan(tmp_path / "in")
    (first,) = run(tmp_path / "in", tmp_path / "out")
    mask = tmp_path / "out" / "cases" / first.case_id / "liver.nii.gz"
    before = mask.stat().st_mtime_ns
    (second,) = run(tmp_path / "in", tmp_path / "out")
    assert (second.status, second.volume_ml) == ("skipped", LIVER_ML)
    assert mask.stat().st_mtime_ns == before
    (listed,) = manifest(tmp_path / "out")
    assert (listed["status"], listed["volume_ml"]) == ("skipped", "4.32")


def test_second_run_that_has_nothing_to_do_loads_no_network(tmp_path: Path) -> None:
    write_scan(tmp_path / "in")
    run(tmp_path / "in", tmp_path / "out")
    (row,) = run(tmp_path / "in", tmp_path / "out", Source(cannot_be_built))
    assert row.status == "skipped"


@pytest.mark.parametrize(
    ("weights", "resume", "outputs"),
    [
        ("1" * 64, True, ("nifti",)),
        ("0" * 64, False, ("nifti",)),
        ("0" * 64, True, ("nifti", "report")),
    ],
    ids=["other weights", "no resume", "more outputs"],
)
def test_case_is_done_again_when_the_result_would_differ(
    tmp_path: Path, weights: str, resume: bool, outputs: tuple[str, ...]
) -> None:
    scan, output = tmp_path / "ct.nii.gz", tmp_path / "out"
    write_nifti_scan(scan)
    run(scan, output, outputs=("nifti",))
    (row,) = run(scan, output, Source(sha256=weights), resume=resume, outputs=outputs)
    assert (row.status, row.weights_sha256) == ("done", weights)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["liver.nii.gz", "liver.dcm"])
def test_case_is_done_again_when_a_file_of_it_is_lost(
    tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    scan, output = tmp_path / "in", tmp_path / "out"
    write_scan(scan)
    (row,) = run(scan, output, outputs=("nifti", "dicom-seg"))
    path = output / "cases" / row.case_id / name
    whole = path.read_bytes()
    damage(path)
    assert [again.status for again in run(scan, output, outputs=("nifti", "dicom-seg"))] == ["done"]
    assert path.read_bytes() == whole
    (row,) = run(scan, output, outputs=("nifti", "dicom-seg"))
    assert row.status == "skipped"


def test_a_dicom_without_liver_has_no_seg_and_says_why(tmp_path: Path) -> None:
    write_scan(tmp_path / "in", liver_hu=-1000)
    (row,) = run(tmp_path / "in", tmp_path / "out", outputs=("nifti", "dicom-seg", "dicom-sr"))
    case = tmp_path / "out" / "cases" / row.case_id
    assert files(case) == ["liver.nii.gz", "report.json"]
    flags = json.loads((case / "report.json").read_text())["flags"]
    assert "No liver was found: there is no DICOM SEG, and no SR." in [
        flag["sentence"] for flag in flags
    ]


def test_a_refined_result_is_none_of_a_run_without_refine_and_back(tmp_path: Path) -> None:
    scan, output = tmp_path / "in", tmp_path / "out"
    write_scan(scan)
    statuses = []
    for chosen in ("", "refine", "refine", ""):
        (row,) = run(scan, output, Source(chosen=chosen))
        statuses.append(row.status)
        report = json.loads((output / "cases" / row.case_id / "report.json").read_text())
        assert report["options"] == chosen
    assert statuses == ["done", "done", "skipped", "done"]


def test_case_is_done_again_when_its_series_has_more_slices_now(tmp_path: Path) -> None:
    paths = write_scan(tmp_path / "in")
    last = paths[-1].read_bytes()
    paths[-1].unlink()
    run(tmp_path / "in", tmp_path / "out")
    paths[-1].write_bytes(last)
    (row,) = run(tmp_path / "in", tmp_path / "out")
    assert (row.status, row.slices) == ("done", 16)


def test_result_of_a_series_that_is_refused_now_is_removed(tmp_path: Path) -> None:
    paths = write_scan(tmp_path / "in")
    (first,) = run(tmp_path / "in", tmp_path / "out")
    # Perhaps another slice of the series: the images are the same, and no scan any more.
    (tmp_path / "in" / "broken").write_bytes(paths[7].read_bytes()[:300])
    second = next(row for row in run(tmp_path / "in", tmp_path / "out") if row.slices)
    assert (second.case_id, second.status) == (first.case_id, "rejected")
    assert files(tmp_path / "out") == ["index.html", "linkage.csv", "manifest.csv"]


def with_tags(folder: Path, **tags: object) -> None:
    """Change tags of every file of a folder."""

    def change(dataset: pydicom.Dataset, index: int) -> None:
        for keyword, value in tags.items():
            setattr(dataset, keyword, value)

    edit_slices(folder, change)


def brighter(dataset: pydicom.Dataset, index: int) -> None:
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<i2") + 5).astype("<i2").tobytes()


def one_series_of_two(tmp_path: Path) -> tuple[Path, Path]:
    """Two patients whose series have one UID: z is the first one's, a the second's."""
    for name in ("z", "a"):
        write_scan(tmp_path / name, study_uid="1.2.3")
        with_tags(tmp_path / name, SeriesInstanceUID="1.2.3.4", PatientID=name)
    edit_slices(tmp_path / "a", brighter)
    return tmp_path / "z", tmp_path / "a"


@pytest.mark.parametrize("together", [False, True])
def test_patient_never_gets_the_liver_of_another_with_the_same_series_uid(
    tmp_path: Path, together: bool
) -> None:
    first, second = one_series_of_two(tmp_path)
    (before,) = run(first, tmp_path / "out")
    rows = run([second, first] if together else second, tmp_path / "out")
    # The phantom's liver is LIVER_HU; the other patient's everything is 5 HU brighter.
    assert [(row.status, row.mean_hu) for row in rows] == [
        ("done", LIVER_HU + 5),
        ("skipped", LIVER_HU),
    ][: len(rows)]
    assert len({before.case_id, *(row.case_id for row in rows)}) == 2
    again = run([second, first], tmp_path / "out")
    assert {row.status for row in again} == {"skipped"}
    assert len(list((tmp_path / "out" / "cases").iterdir())) == 2


@pytest.mark.parametrize(
    "change",
    [brighter, lambda dataset, index: setattr(dataset, "PixelSpacing", [1.6, 2.1])],
    ids=["pixels", "spacing"],
)
def test_series_that_was_exported_again_is_another_scan(
    tmp_path: Path, change: Callable[[pydicom.Dataset, int], None]
) -> None:
    write_scan(tmp_path / "in")
    (first,) = run(tmp_path / "in", tmp_path / "out")
    edit_slices(tmp_path / "in", change)
    (second,) = run(tmp_path / "in", tmp_path / "out")
    assert (second.status, second.case_id == first.case_id) == ("done", False)
    assert (second.volume_ml, second.mean_hu) != (first.volume_ml, first.mean_hu)
    assert (tmp_path / "out" / "cases" / first.case_id / "report.json").is_file()


@pytest.mark.parametrize("converted", [False, True])
def test_incomplete_copy_does_not_remove_the_result_of_the_whole_series(
    tmp_path: Path, converted: bool
) -> None:
    write_scan(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "copy")
    sorted((tmp_path / "copy").iterdir())[7].unlink()
    once = (lambda path: convert([path], tmp_path / "out")) if converted else None
    do = once or (lambda path: run(path, tmp_path / "out"))
    (first,) = do(tmp_path / "whole")
    before = files(tmp_path / "out")
    (second,) = do(tmp_path / "copy")
    assert (first.status, second.status, second.code) == ("done", "rejected", "MISSING_SLICES")
    assert files(tmp_path / "out") == before
    assert {row["case_id"] for row in manifest(tmp_path / "out")} == {first.case_id, second.case_id}
    assert first.case_id != second.case_id


def test_conversion_does_not_overwrite_that_of_another_patient(tmp_path: Path) -> None:
    first, second = one_series_of_two(tmp_path)
    rows = [convert([path], tmp_path / "out")[0] for path in (first, second, first)]
    assert [row.status for row in rows] == ["done"] * 3
    assert rows[0].case_id == rows[2].case_id != rows[1].case_id
    images = [nib.load(tmp_path / "out" / f"{row.case_id}.nii.gz") for row in rows[:2]]
    assert np.all(images[1].get_fdata() - images[0].get_fdata() == 5)


def test_parts_of_a_killed_run_are_removed_and_nothing_else(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    (first,) = run(tmp_path / "ct.nii.gz", tmp_path / "out")
    before = files(tmp_path / "out")
    mine = [tmp_path / "out" / ".letter.part", tmp_path / "out" / "notes.part"]
    killed = tmp_path / "out" / "cases" / "0123456789abcdef"
    killed.mkdir()
    for path in (
        *mine,
        killed / ".liver.nii.gz.01234567.part",
        tmp_path / "out" / ".manifest.csv.89abcdef.part",
        tmp_path / "out" / "cases" / first.case_id / ".preview.png.89abcdef.part",
    ):
        path.write_bytes(b"half")
    run(tmp_path / "ct.nii.gz", tmp_path / "out")
    assert files(tmp_path / "out") == sorted([*before, *(path.name for path in mine)])


def test_page_of_somebody_else_in_the_output_folder_is_kept(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    (tmp_path / "out").mkdir()
    page = tmp_path / "out" / "index.html"
    page.write_text("<title>My home page</title>")
    with pytest.raises(ValueError, match=r"index\.html in the output folder"):
        run(tmp_path / "ct.nii.gz", tmp_path / "out")
    assert page.read_text() == "<title>My home page</title>"
    assert list((tmp_path / "out").iterdir()) == [page]


def test_rows_of_earlier_runs_are_kept(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "a.nii.gz")
    write_nifti_scan(tmp_path / "b.nii.gz", liver_hu=150)
    (first,) = run(tmp_path / "a.nii.gz", tmp_path / "out")
    (second,) = run(tmp_path / "b.nii.gz", tmp_path / "out")
    assert [row["case_id"] for row in manifest(tmp_path / "out")] == [first.case_id, second.case_id]


def test_interrupted_batch_leaves_a_valid_manifest_and_goes_on_later(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_nifti_scan(tmp_path / "in" / "a.nii.gz")
    write_nifti_scan(tmp_path / "in" / "b.nii.gz", liver_hu=200)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in", tmp_path / "out", Source(network=interrupts_on_bright), workers=1)
    assert [row["status"] for row in manifest(tmp_path / "out")] == ["done"]
    assert len(list((tmp_path / "out" / "cases").iterdir())) == 1
    rows = run(tmp_path / "in", tmp_path / "out")
    assert [row.status for row in rows] == ["skipped", "done"]


def test_interrupt_leaves_nothing_of_the_scans_in_work(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        write_nifti_scan(tmp_path / "in" / f"{number}.nii.gz", liver_hu=201 + number)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in", tmp_path / "out", Source(network=interrupts_on_bright), workers=2)
    assert manifest(tmp_path / "out") == []
    assert not list((tmp_path / "out").glob("cases/*"))
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Not yet done" in page


def test_conversion_of_another_scan_under_one_uid_takes_no_result_of_the_first(
    tmp_path: Path,
) -> None:
    """As two patients may share one."""
    one = {"series_uid": generate_uid(), "study_uid": generate_uid()}
    write_scan(tmp_path / "a", **one)
    write_scan(tmp_path / "b", liver_hu=150, **one)
    (first,) = run(tmp_path / "a", tmp_path / "out")
    (second,) = convert(tmp_path / "b", tmp_path / "out")
    assert second.case_id != first.case_id
    rows = {row["case_id"]: row["volume_ml"] for row in manifest(tmp_path / "out")}
    assert rows == {first.case_id: f"{first.volume_ml:.2f}", second.case_id: ""}
    with (tmp_path / "out" / "linkage.csv").open(newline="") as stream:
        sources = {link["case_id"]: Path(link["source"]).name for link in csv.DictReader(stream)}
    assert sources == {first.case_id: "a", second.case_id: "b"}


def test_second_interrupt_leaves_no_process_and_a_whole_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        write_nifti_scan(tmp_path / "in" / f"{number}.nii.gz", liver_hu=201 + number)
    killed: list[Child] = []
    kill = Child.kill

    def impatient(self: Child) -> None:
        killed.append(self)
        os.kill(os.getpid(), signal.SIGINT)
        kill(self)

    monkeypatch.setattr(Child, "kill", impatient)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in", tmp_path / "out", Source(network=interrupts_on_bright), workers=1)
    assert killed
    assert not any(child.is_alive() for child in killed)
    assert manifest(tmp_path / "out") == []
    assert "Not yet done" in (tmp_path / "out" / "index.html").read_text()


def test_interrupt_while_a_process_starts_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    started: list[Child] = []
    start = Child.__init__

    def interrupted(self: Child, *args: Any) -> None:
        start(self, *args)
        started.append(self)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Child, "__init__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "ct.nii.gz", tmp_path / "out")
    (child,) = started
    assert not child.is_alive()
    assert not (tmp_path / "out").exists()


def test_page_tells_after_each_scan_what_is_there_and_what_is_left(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(2):
        write_nifti_scan(tmp_path / "in" / f"{number}.nii.gz", liver_hu=110 + number)
    told: list[tuple[int, bool]] = []

    def look(row: Row | None, number: int, count: int) -> None:
        if row is not None:
            page = (tmp_path / "out" / "index.html").read_text()
            told.append((page.count("preview.png"), "Not yet done" in page))

    run(tmp_path / "in", tmp_path / "out", workers=1, on_row=look)
    assert told == [(1, True), (2, False)]


def test_rows_come_in_the_order_of_the_scans_however_many_are_in_work(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        write_nifti_scan(tmp_path / "in" / f"{number}.nii.gz", liver_hu=110 + number)
    source = Source(network=slow_on_the_first)
    rows = run(tmp_path / "in", tmp_path / "out", source, workers=3)
    assert [row.mean_hu for row in rows] == [110, 111, 112, 113]
    assert [row["mean_hu"] for row in manifest(tmp_path / "out")] == [
        "110.00",
        "111.00",
        "112.00",
        "113.00",
    ]


def test_linkage_is_private_and_the_only_file_with_identifiers(study: Path, tmp_path: Path) -> None:
    rows = run(study, tmp_path / "out")
    linkage = tmp_path / "out" / "linkage.csv"
    assert stat.S_IMODE(linkage.stat().st_mode) == 0o600
    with linkage.open(newline="") as stream:
        links = list(csv.DictReader(stream))
    assert {link["case_id"] for link in links} == {row.case_id for row in rows}
    assert {Path(link["source"]) for link in links} == {study / "a", study / "b"}
    secrets = [NAME, str(tmp_path), *(link["series_uid"] for link in links)]
    for path in (tmp_path / "out").rglob("*"):
        # What a DICOM object may hold is a matter of test_privacy.py.
        if path.is_file() and path != linkage and path.suffix != ".dcm":
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], path.name


def test_own_results_inside_the_input_are_not_read_again(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    (first,) = run(tmp_path, tmp_path / "out", resume=False)
    (second,) = run(tmp_path, tmp_path / "out", resume=False)
    assert first.case_id == second.case_id


def test_results_of_another_run_inside_the_input_are_not_read_unless_asked_for(
    tmp_path: Path,
) -> None:
    write_scan(tmp_path / "in" / "scan")
    (first,) = run(tmp_path / "in", tmp_path / "in" / "earlier")
    rows = run(tmp_path / "in", tmp_path / "out")
    # What tells of the earlier batch is no image; its masks are not looked at.
    assert [(row.status, row.code) for row in rows] == [("done", ""), ("rejected", "NOT_CT")]
    mask = tmp_path / "in" / "earlier" / "cases" / first.case_id / "liver.nii.gz"
    (row,) = run(mask, tmp_path / "again")
    assert row.code == "HU_IMPLAUSIBLE"


def test_best_series_of_a_study_is_the_one_with_most_slices(tmp_path: Path) -> None:
    write_scan(tmp_path / "in" / "thin", study_uid="1.2.3")
    for path in write_scan(tmp_path / "in" / "short", study_uid="1.2.3")[-3:]:
        path.unlink()
    write_scan(tmp_path / "in" / "other", study_uid="1.2.4")
    rows = run(tmp_path / "in", tmp_path / "out", series="best")
    assert sorted((row.slices, row.status) for row in rows) == [
        (13, "skipped"),
        (16, "done"),
        (16, "done"),
    ]


def test_one_series_can_be_chosen_by_its_case_id(study: Path, tmp_path: Path) -> None:
    write_scan(study / "c")
    found = run(study, tmp_path / "first")
    wanted = [row.case_id for row in found if row.status == "done"][1]
    rows = run(study, tmp_path / "out", series=wanted)
    assert {row.case_id: row.status for row in rows if row.status == "done"} == {wanted: "done"}
    assert sorted(row.status for row in rows) == ["done", "skipped", "skipped"]


def test_series_that_is_not_there_is_an_error_before_anything_is_written(
    study: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="one of the 2 series found"):
        run(study, tmp_path / "out", series="1.2.3.4")
    assert not (tmp_path / "out").exists()


def test_empty_identifier_is_not_that_of_scans_without_one(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    with pytest.raises(ValueError, match="none has the one given"):
        run(tmp_path / "ct.nii.gz", tmp_path / "out", series="")


def test_empty_folder_gives_no_rows_and_no_output(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert run(tmp_path / "in", tmp_path / "out") == []
    assert not (tmp_path / "out").exists()


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(NotADirectoryError):
        run(tmp_path / "ct.nii.gz", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_manifest_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    write_nifti_scan(tmp_path / "ct.nii.gz")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.csv").write_text("name,age\n")
    with pytest.raises(ValueError, match=r"manifest\.csv in the output folder should have"):
        run(tmp_path / "ct.nii.gz", tmp_path / "out")
    assert files(tmp_path / "out") == ["manifest.csv"]


def test_progress_is_told_the_count_first_and_then_every_row(study: Path, tmp_path: Path) -> None:
    told: list[tuple[str | None, int, int]] = []
    run(
        study,
        tmp_path / "out",
        on_row=lambda row, number, count: told.append((row and row.status, number, count)),
    )
    assert told[0] == (None, 0, 2)
    assert [entry[1:] for entry in told[1:]] == [(1, 2), (2, 2)]


def test_output_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dicom-sr; got html"):
        segment([tmp_path], tmp_path / "out", outputs=["html"])


@pytest.mark.parametrize("several", [False, True])
def test_paths_may_be_text_one_or_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    monkeypatch.setattr("liverseg.batch.BundlePipeline", lambda device, refine: Source())
    scan = tmp_path / "ct.nii.gz"
    write_nifti_scan(scan)
    inputs = [str(scan)] if several else str(scan)
    for name, do in (("segmented", segment), ("converted", convert)):
        (row,) = do(inputs, str(tmp_path / name))
        assert row.status == "done"
        assert (tmp_path / name / "manifest.csv").is_file()


def test_empty_path_is_not_the_current_folder(tmp_path: Path) -> None:
    for inputs, output in (("", str(tmp_path)), (["a", ""], str(tmp_path)), (str(tmp_path), "")):
        with pytest.raises(ValueError, match="empty"):
            convert(inputs, output)


def test_bundles_run_writes_what_the_command_writes(study: Path, tmp_path: Path) -> None:
    rows = segment_folder(study, tmp_path / "out", tiny_pipeline())
    assert sorted(row.status for row in rows) == ["done", "rejected"]


def test_bundles_run_wants_parts_that_another_process_can_have(study: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="parts of a pipeline should be importable"):
        segment_folder(study, tmp_path / "out", plain_pipeline(lambda image: image))
    assert not (tmp_path / "out").exists()


def test_network_of_a_script_is_no_part_that_another_process_can_have(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_script(image: torch.Tensor) -> torch.Tensor:
        return image

    of_script.__module__, of_script.__qualname__ = "__main__", "of_script"
    monkeypatch.setattr(sys.modules["__main__"], "of_script", of_script, raising=False)
    with pytest.raises(ValueError, match="parts of a pipeline should be importable"):
        segment_folder(study, tmp_path / "out", plain_pipeline(of_script))
    assert not (tmp_path / "out").exists()


def test_conversion_is_exact(tmp_path: Path) -> None:
    write_scan(tmp_path / "in")
    (row,) = convert([tmp_path / "in"], tmp_path / "out")
    assert set(files(tmp_path / "out")) == {
        "linkage.csv",
        "manifest.csv",
        f"{row.case_id}.nii.gz",
    }
    image = nib.load(tmp_path / "out" / f"{row.case_id}.nii.gz")
    assert image.get_data_dtype() == np.int16
    # Brought back to the phantom's own axes, whichever way the reader turned them.
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(image.affine), nib.io_orientation(AFFINE)
    )
    back = image.as_reoriented(turn)
    assert np.allclose(back.affine, AFFINE, atol=1e-4)
    assert np.array_equal(np.asarray(back.dataobj), phantom())


def test_converted_files_are_not_converted_again(tmp_path: Path) -> None:
    write_scan(tmp_path / "a")
    (first,) = convert([tmp_path], tmp_path)
    assert [row.case_id for row in convert([tmp_path], tmp_path) if row.status == "done"] == [
        first.case_id
    ]


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"LossyImageCompression": "01"}, "LOSSY"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "REFORMATTED"),
        ({}, "TILTED"),
    ],
)
def test_what_reading_says_of_a_scan_is_flagged_by_a_code(
    tmp_path: Path, tags: dict[str, object], code: str
) -> None:
    write_scan(tmp_path / "in")
    with_tags(tmp_path / "in", **tags)
    if code == "TILTED":
        edit_slices(tmp_path / "in", tilt)
    (segmented,) = run(tmp_path / "in", tmp_path / "out")
    (converted,) = convert([tmp_path / "in"], tmp_path / "converted")
    assert code in segmented.flags
    assert code in converted.flags
    assert code in manifest(tmp_path / "out")[0]["flags"].split(";")


def tilt(dataset: pydicom.Dataset, index: int) -> None:
    """Move each slice 0.5 mm more towards the front than the one before: 9.5 degrees at 3 mm."""
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [x, y - z / 6, z]
