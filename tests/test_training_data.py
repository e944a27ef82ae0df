"""What is read once a scan: organs, averages, guidance, 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from liverseg.cascade import coarse_image
from liverseg.coarse_inferer import CoarseInferer
from liverseg.heads import LiverHeads
from liverseg.training_data import (
    BoxAveraged,
    CoarseGuidanced,
    FirstHeadd,
    HardRegiond,
    OrgansToNetworkGridd,
    Regiond,
    To8Bitd,
)
from liverseg.weight_files import save_weights

AFFINE = np.diag([-1.0, 1.0, 2.0, 1.0])  # x to the patient's left, 1 x 1 x 2 mm


def organs_label() -> MetaTensor:
    """Twelve voxels along x, to the left: 4 of liver, 2 of nothing, 6 of organ 3."""
    label = torch.zeros(1, 12, 4, 4, dtype=torch.uint8)
    label[:, :4] = 1
    label[:, 6:] = 3
    return MetaTensor(label, affine=torch.from_numpy(AFFINE))


def test_most_of_a_voxel_is_its_class_and_axes_point_to_r_a_s() -> None:
    """At 2 mm two voxels make one; right comes last since x was to the left."""
    data = {"label": organs_label()}
    step = OrgansToNetworkGridd("label", classes=4, spacing_mm=[2, 2, 2])
    items = step(data)
    assert items["organs"].shape == (1, 6, 2, 4)
    # A triangle two voxels wide averages; the middle of each organ is its own.
    assert items["organs"][0, :, 0, 0].tolist() == [3, 3, 3, 0, 1, 1]
    assert float(items["liver"][0, 5, 0, 0]) == 1.0
    assert float(items["liver"][0, 0, 0, 0]) == 0.0
    assert "label" not in items


def test_numbers_above_the_classes_are_nothing() -> None:
    step = OrgansToNetworkGridd("label", classes=2, spacing_mm=[2, 2, 2])
    items = step({"label": organs_label()})
    assert items["organs"][0, :, 0, 0].tolist() == [0, 0, 0, 0, 1, 1]


def test_every_third_average_is_a_voxel_of_the_coarse_image() -> None:
    image = torch.rand(1, 9, 6, 12)
    averaged = BoxAveraged("image", 3)({"image": image})["image"]
    assert torch.allclose(averaged[:, 1::3, 1::3, 1::3], coarse_image(image[None], 3)[0], atol=1e-6)


class Halves(torch.nn.Module):
    """A network that is sure of liver where the image is above a value, at first one half."""

    def __init__(self) -> None:
        super().__init__()
        self.above = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image - self.above) * 200


halves = LiverHeads(Halves())


def test_guidance_is_the_coarse_networks_probability_on_the_fine_grid() -> None:
    image = torch.zeros(1, 12, 9, 10)
    image[:, 6:] = 1
    guide = CoarseGuidanced("image", halves, 3, amp=False)({"image": image})["guidance"]
    assert guide.shape == image.shape
    assert float(guide[0, 0, 4, 4]) < 0.01
    assert float(guide[0, 11, 4, 4]) > 0.99


def test_guidance_comes_from_the_weights_that_the_scan_names(tmp_path: Path) -> None:
    """And only that scan's: the next one has the network's own again."""
    other = Halves()
    other.above.data.fill_(0.8)
    save_weights(other, tmp_path / "unseen.pt")
    guided = CoarseGuidanced("image", halves, 3, amp=False)
    image = torch.full((1, 9, 9, 9), 0.6)
    unseen = guided({"image": image, "coarse": str(tmp_path / "unseen.pt")})
    assert "coarse" not in unseen
    assert float(unseen["guidance"].max()) < 0.01
    assert float(guided({"image": image})["guidance"].min()) > 0.99


def test_weights_for_a_scan_that_are_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(torch.nn.Conv3d(1, 1, 1), tmp_path / "other.pt")
    guided = CoarseGuidanced("image", halves, 3, amp=False)
    with pytest.raises(ValueError, match=r"^other\.pt .* weights of the network that is trained"):
        guided({"image": torch.rand(1, 6, 6, 6), "coarse": str(tmp_path / "other.pt")})


def test_coarse_inferer_agrees_with_the_guidance() -> None:
    image = torch.rand(1, 10, 9, 7)
    guide = CoarseGuidanced("image", halves, 3, amp=False)({"image": image})["guidance"]
    logit = CoarseInferer(3, amp=False)(image[None], halves)[0]
    assert torch.equal(logit > 0, guide > 0.5)


def test_region_is_where_any_item_is_above_the_threshold() -> None:
    data = {"a": torch.tensor([0.0, 0.4, 0.0]), "b": torch.tensor([0.0, 0.0, 0.9])}
    assert Regiond(["a", "b"], 0.3)(data)["region"].tolist() == [False, True, True]


def test_hard_region_is_where_the_guidance_errs_near_the_border() -> None:
    liver, guide = torch.zeros(1, 20, 20, 20), torch.zeros(1, 20, 20, 20)
    liver[:, 6:14, 6:14, 6:14] = 1
    guide[:, 6:14, 6:14, 8:16] = 1  # two voxels off along z
    guide[:, 0, 0, 0] = 1  # a false one far away
    guide[:, 10, 10, 10] = 0.8  # off by less than wanted
    items = HardRegiond(["liver", "guidance"], width=3)({"liver": liver, "guidance": guide})
    wanted = torch.zeros(1, 20, 20, 20, dtype=torch.bool)
    wanted[:, 6:14, 6:14, 6:8] = True
    wanted[:, 6:14, 6:14, 14:16] = True
    assert items["region"].dtype == torch.bool
    assert torch.equal(items["region"], wanted)
    near = HardRegiond(["liver", "guidance"], width=1)({"liver": liver, "guidance": guide})
    assert not near["region"][:, 8:12, 8:12, [7, 15]].any()
    assert near["region"][:, 8:12, 8:12, [6, 14]].all()


def test_hard_region_wants_liver_and_guidance_and_a_width() -> None:
    for keys, width in ((["liver"], 4), (["liver", "guidance"], 0)):
        with pytest.raises(ValueError, match="liver and guidance and a width"):
            HardRegiond(keys, width=width)


def test_eight_bits_are_within_half_a_level() -> None:
    values = torch.rand(100)
    stored = To8Bitd("x")({"x": values})["x"]
    assert stored.dtype == torch.uint8
    assert float((stored / 255 - values).abs().max()) <= 0.5 / 255 + 1e-6


def test_first_head_is_kept() -> None:
    heads = torch.rand(3, 2, 2, 2)
    assert torch.equal(FirstHeadd("pred")({"pred": heads})["pred"], heads[:1])
