"""Weights as a start: taken whole, or refused in one line that says what the file is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from liverseg.weight_files import save_weights, with_weights


def test_network_starts_with_the_weights_of_the_file(tmp_path: Path) -> None:
    saved, fresh = nn.Linear(2, 1), nn.Linear(2, 1)
    save_weights(saved, tmp_path / "w.pt")
    assert with_weights(fresh, tmp_path / "w.pt", "0" * 64) is fresh
    assert torch.equal(fresh.weight, saved.weight)


def test_network_without_a_file_stays_as_it_is() -> None:
    network = nn.Linear(2, 1)
    before = network.weight.clone()
    assert torch.equal(with_weights(network, None, "none").weight, before)


@pytest.mark.parametrize("damage", ["other network", "text"])
def test_weights_of_another_network_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "w.pt"
    if damage == "text":
        path.write_text("no weights")
    else:
        save_weights(nn.Linear(3, 1), path)
    with pytest.raises(ValueError, match=r"w.pt \(0{12}\) should hold weights of the network"):
        with_weights(nn.Linear(2, 1), path, "0" * 64)
