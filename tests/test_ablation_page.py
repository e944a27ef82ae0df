"""The page of the ablation: figures and verdicts that follow from the rows it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation_page import ARMS, write_page


@pytest.fixture
def results() -> dict[str, Any]:
    """Two cases. Deep supervision halves what was wrong, the CRF leaves it but doubles the VOE."""
    found: dict[str, Any] = {}
    for network, size in (("plain", 2.0), ("deep", 1.0)):
        rows = []
        for case, more in (("a", 1.0), ("b", 3.0)):
            for crf in (False, True):
                figures = dict.fromkeys(
                    ("rvd_percent", "asd_mm", "rmsd_mm", "msd_mm"), -size * more
                )
                figures |= {"voe_percent": size * more * (1 + crf), "dice": 0.9}
                rows.append({"case": case, "network": network, "crf": crf, **figures})
            rows[-1] |= {"dice_main": 0.5, "dice_layer6": 0.25, "dice_layer3": 0.125}
        log = [
            {"epoch": str(epoch), "loss_main": str(1 / epoch), "val_mean_dice": dice}
            for epoch, dice in ((1, ""), (2, "0.75"))
        ]
        gradients = [{"epoch": 1.0, "layer1": 0.5, "layer8": 0.25}]
        crf_found = {"bilateral_mm": 20.0, "tau": 0.0}
        found[f"0 {network}"] = {
            "rows": rows,
            "log": log,
            "gradients": gradients,
            "crf": crf_found,
            "seconds": 90.0,
            "steps": 24,
        }
    return found


def test_page_has_means_verdicts_and_the_budget(results: dict[str, Any], tmp_path: Path) -> None:
    write_page(tmp_path / "new" / "page.md", results, {"schedule": "short", "max_epochs": 2})
    page = (tmp_path / "new" / "page.md").read_text()
    assert "not the paper's experiment:** 24 steps a network, 3 minutes of training by" in page
    assert "schedule short; max_epochs 2. Folds 0 of BTCV, 2 held-out cases. Both" in page
    assert "Not learnt" not in page
    assert "| CNN | 0.900 | 4.00 (2.83) | 7.68 | 4.00 (2.83) | 1.98 |" in page  # |VD|, no sign
    assert "| DSN + CRF | 0.900 | 4.00 (2.83) | 5.37 |" in page
    assert "| Deep supervision alone lowers it | VOE % | -18% | -50% | 0.50 | 2 | yes |" in page
    assert (
        "| The CRF lowers it, with deep supervision | VOE % | -14% | +100% | 0.50 | 2 | no |"
        in page
    )
    assert "| 0 | DSN | b | 0.500 | 0.250 | 0.125 |" in page
    assert "| 0 | CNN | 1.0000 | 0.5000 |" in page
    assert "| fold | network | epoch 2 |\n| --- | --- | --- |\n| 0 | CNN | 0.750 |" in page
    assert "| 0 | CNN | 1 | 5.00e-01 | 2.50e-01 |" in page


def test_figures_that_are_not_defined_are_said(results: dict[str, Any], tmp_path: Path) -> None:
    for result in results.values():
        for row in result["rows"]:
            row["asd_mm"] = float("nan")
    write_page(tmp_path / "page.md", results, {})
    assert "| average mm | -15% | - | - | 0 | not defined |" in (tmp_path / "page.md").read_text()
    assert len(ARMS) == 4


def test_arms_that_have_not_learnt_are_named(results: dict[str, Any], tmp_path: Path) -> None:
    for row in results["0 plain"]["rows"]:
        row["dice"] = 0.2
    write_page(tmp_path / "page.md", results, {})
    page = (tmp_path / "page.md").read_text()
    assert "**Not learnt:** CNN, CNN + CRF stay below" in page
    assert page.count("| not learnt |") == 15  # of the four claims all but the one within DSN
