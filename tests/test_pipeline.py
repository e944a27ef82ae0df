"""The bundle's parts as the command loads them: the device, the weights and their hash."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from tiny_pipeline import SHAPE, write_scan

from liverseg import cli
from liverseg.bundle_files import bundle_root
from liverseg.dsn import DSN
from liverseg.pipeline import accepted_scans, find_device, load_pipeline
from liverseg.scans import read_scan
from liverseg.weight_files import save_weights


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundle with untrained weights."""
    root = tmp_path / "bundle $(x)"
    shutil.copytree(bundle_root() / "configs", root / "configs")
    (root / "models").mkdir()
    config = ConfigParser.load_config_file(root / "configs" / "inference.yaml")
    for name, key in (("coarse.pt", "coarse_network_def"), ("model.pt", "network_def")):
        settings = {setting: config[key][setting] for setting in config[key]}
        del settings["_target_"]
        save_weights(DSN(**settings), root / "models" / name)
    monkeypatch.setattr("liverseg.pipeline.bundle_root", lambda: root)
    return root


def test_bundles_parts_segment_a_scan_from_the_command(bundle: Path, tmp_path: Path) -> None:
    write_scan(tmp_path / "in")
    arguments = ["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert cli.main([*arguments, "-q"]) == 0
    (path,) = (tmp_path / "out").glob("cases/*/report.json")
    report = json.loads(path.read_text())
    digests = [
        (bundle / "models" / f"{name}.pt.sha256").read_text().split()[0]
        for name in ("coarse", "model")
    ]
    both = hashlib.sha256("".join(digests).encode()).hexdigest()
    assert report["weights_sha256"] == both
    assert sorted(report["geometry"]["shape"]) == sorted(SHAPE)
    assert report["device"] == "cpu"


def test_weights_with_another_hash_are_refused_in_one_line(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "models" / "model.pt.sha256").write_text(f"{'0' * 64}  model.pt\n")
    write_scan(tmp_path / "in")
    output = tmp_path / "out"
    assert cli.main(["segment", str(tmp_path / "in"), "-o", str(output), "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert f"should have SHA-256 {'0' * 64}" in error
    assert error.count("\n") == 1
    assert not output.exists()


def test_missing_weights_are_2_and_one_line(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle / "models" / "model.pt").unlink()
    write_scan(tmp_path / "in")
    output = tmp_path / "out"
    assert cli.main(["segment", str(tmp_path / "in"), "-o", str(output), "--device", "cpu"]) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), "there is no" in error) == (1, True)
    assert not output.exists()


def test_missing_config_is_named(bundle: Path) -> None:
    (bundle / "configs" / "inference.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=r"configs/inference\.yaml should be"):
        load_pipeline("cpu")


def test_device_is_found_or_what_there_is_is_told() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda")
    with pytest.raises(ValueError, match=r"cuda:99 was wanted; this machine has cpu"):
        find_device("cuda:99")


def test_accepted_scans_of_a_folder_are_items_that_can_be_read(tmp_path: Path) -> None:
    write_scan(tmp_path / "in" / "a")
    write_scan(tmp_path / "in" / "b")[4].unlink()
    shutil.make_archive(str(tmp_path / "in" / "all"), "zip", tmp_path / "in" / "a")
    shutil.rmtree(tmp_path / "in" / "a")
    (item,) = accepted_scans(tmp_path / "in")
    assert read_scan(item["image"]).image.size == SHAPE[0] * SHAPE[1] * SHAPE[2]
