"""Training in several processes: the same losses as one process with as large a batch."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conftest import phantom
from monai.bundle import ConfigParser

from liverseg.bundle_files import bundle_root
from liverseg.dsn import DSN
from liverseg.weight_files import save_weights

CONFIGS = bundle_root() / "configs"
# An overlay: when both have left their group, the names of the threads that each still has.
WATCHED = """
+imports:
  - $import pathlib
+finalize:
  - "$pathlib.Path(os.environ['LIVERSEG_DATA'], 'threads' + str(@rank) + '.txt').write_text(
    ' '.join(sorted(path.read_text() for path in pathlib.Path('/proc/self/task').glob('*/comm'))))"
"""
SMALL = {"channels": [4, 4, 8, 8, 8, 8], "kernel_sizes": [[3, 3, 3]] * 5 + [[1, 1, 1]]}


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """Three phantoms, one to validate on, and what makes a training small and free of chance."""
    image, affine, liver = phantom()
    cases = []
    for number in range(3):
        case = {"image": f"ct{number}.nii.gz", "label": f"label{number}.nii.gz"}
        nib.save(nib.Nifti1Image(np.roll(image, 3 * number, 0), affine), tmp_path / case["image"])
        label = np.roll(liver, 3 * number, 0)
        nib.save(nib.Nifti1Image(label, affine), tmp_path / case["label"])
        cases.append(case)
    (tmp_path / "list.json").write_text(
        json.dumps({"training": cases[:2], "validation": cases[2:]})
    )
    save_weights(DSN(out_channels=9, init="he", **SMALL, skips=True), tmp_path / "coarse.pt")
    warp, *_, label, joined, selected = ConfigParser.load_config_file(str(CONFIGS / "train.yaml"))[
        "train"
    ]["random_steps"]
    # A patch as large as the scan, neither moved nor deformed: nothing is left to chance.
    whole = {**warp, "near_share": 0, "jitter": 0, "warp": {"probability": 0}}
    settings = {
        "spacing_mm": [6.0, 6.0, 6.0],
        "patch_size": [32, 28, 12],
        "liver_labels": [1],
        "other_labels": [],
        "amp": False,
        "patches_per_scan": 2,
        "max_epochs": 3,
        "val_interval": 2,
        "show_progress": False,
        "coarse_checkpoint": str(tmp_path / "coarse.pt"),
        "train#random_steps": [whole, label, joined, selected],
    }
    for network in ("network_def", "coarse_network_def"):
        settings[f"{network}#norm"] = None
        settings |= {f"{network}#{key}": value for key, value in SMALL.items()}
    path = tmp_path / "small.yaml"
    ConfigParser.export_config_file(settings, str(path), fmt="yaml")
    return path


def losses(overlay: Path, name: str, launcher: list[str], configs: list[Path], batch: int) -> Path:
    """Run a training; the folder that it wrote to."""
    folder = overlay.parent / name
    environment = {
        **os.environ,
        "LIVERSEG_DATA": str(overlay.parent),
        "LIVERSEG_DATA_LIST": str(overlay.parent / "list.json"),
        "LIVERSEG_OUTPUT": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    files = [str(path) for path in (*configs, overlay)]
    command = [sys.executable, *launcher, "-m", "monai.bundle", "run", "training"]
    command += ["--config_file", repr(files), "--batch_size", str(batch)]
    done = subprocess.run(  # in time: processes that wait for one another wait for ever
        command,
        cwd=bundle_root(),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_two_processes_lose_what_one_with_twice_the_batch_loses(overlay: Path) -> None:
    train = CONFIGS / "train.yaml"
    alone = losses(overlay, "alone", [], [train], 2)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    several = [train, CONFIGS / "multi_gpu_train.yaml"]
    watched = overlay.with_name("watched.yaml")
    watched.write_text(WATCHED)
    together = losses(overlay, "together", torchrun, [*several, watched], 1)
    rows = []
    for folder in (alone, together):
        with (folder / "log.csv").open(encoding="utf-8") as file:
            rows.append(list(csv.DictReader(file)))
    assert [row["iteration"] for row in rows[0]] == [row["iteration"] for row in rows[1]]
    for one, two in zip(*rows, strict=True):
        for head in ("main", "layer6", "layer3"):
            assert float(two[f"loss_{head}"]) == pytest.approx(float(one[f"loss_{head}"]), rel=2e-4)
    # After the second epoch and the last.
    dice = [[float(row["val_mean_dice"] or "nan") for row in one] for one in rows]
    assert dice[1] == pytest.approx(dice[0], abs=0.02, nan_ok=True)
    assert np.isnan(dice[0]).tolist() == [True, False, False]
    assert (together / "model.pt").is_file()
    assert (together / "checkpoint.pt").is_file()
    for rank in range(2):  # a thread of the group that is left may abort Python's end
        threads = (overlay.parent / f"threads{rank}.txt").read_text(encoding="utf-8")
        assert "python" in threads
        assert "gloo" not in threads
