"""Random transforms: what they change, what they leave, and that a seed repeats them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from liverseg.augment.contrast import RandLesionsd, RandPhased, RandTextured
from liverseg.augment.draws import blurred, smooth_field
from liverseg.augment.geometry import RandWarpPatchd
from liverseg.augment.guidance import RandGuidanced
from liverseg.augment.quality import RandFieldOfViewd, RandScannerd
from liverseg.augment.targets import ClassProbabilitiesd

WINDOW = (-125.0, 275.0)
STILL: dict[str, float] = {"probability": 0.0}


def body(size: tuple[int, int, int] = (30, 28, 26)) -> dict[str, Any]:
    """A body of 55 HU with a liver (class 1) in its right half and a spleen (2) in its left."""
    image = torch.zeros(1, *size)
    image[:, 3:-3, 3:-3, :] = 180 / 400
    organs = torch.zeros(1, *size, dtype=torch.uint8)
    organs[:, 16:25, 6:20, 5:20] = 1
    organs[:, 5:10, 6:14, 5:20] = 2
    return {"image": image, "organs": organs, "liver": (organs == 1).float()}


def test_patch_without_deformation_is_the_scan_cut_out() -> None:
    """The place is a whole voxel where the patch's size is even and the centre is at a half."""
    scan = torch.rand(1, 12, 12, 12)
    cut = RandWarpPatchd("image", [], (6, 6, 6), jitter=0, warp=STILL)
    cut._centre = lambda shape, near: np.array([5.5, 4.5, 6.5])  # type: ignore[method-assign]
    patch = cut({"image": scan})["image"]
    assert torch.allclose(patch, scan[:, 3:9, 2:8, 4:10], atol=1e-5)


def test_step_takes_every_third_voxel() -> None:
    scan = torch.rand(1, 15, 15, 15)
    cut = RandWarpPatchd("image", [], (3, 3, 3), step=3, jitter=0, warp=STILL)
    cut._centre = lambda shape, near: np.array([7.0, 7.0, 7.0])  # type: ignore[method-assign]
    assert torch.allclose(cut({"image": scan})["image"], scan[:, 4:11:3, 4:11:3, 4:11:3], atol=1e-5)


def test_eight_bits_become_shares_of_one_and_class_numbers_stay() -> None:
    data = {
        "image": torch.full((1, 9, 9, 9), 51, dtype=torch.uint8),
        "organs": torch.full((1, 9, 9, 9), 3, dtype=torch.uint8),
    }
    cut = RandWarpPatchd(["image", "organs"], ["organs"], (3, 3, 3), jitter=0, warp=STILL)
    # In the middle: at the rim a patch blends into the blank beyond the scan.
    cut._centre = lambda shape, near: np.array([4.0, 4.0, 4.0])  # type: ignore[method-assign]
    patch = cut(data)
    assert torch.allclose(patch["image"], torch.full((1, 3, 3, 3), 0.2))
    assert torch.equal(patch["organs"], torch.full((1, 3, 3, 3), 3.0))


def test_image_and_label_are_deformed_alike_and_classes_stay_whole() -> None:
    data = body()
    data["image"] = data["liver"].clone()
    patch = RandWarpPatchd(
        ["image", "organs", "liver"], ["organs"], (24, 24, 20), near_key="liver", near_share=1
    ).set_random_state(seed=1)(data)
    assert torch.equal(patch["image"], patch["liver"])
    assert set(patch["organs"].unique().tolist()) <= {0.0, 1.0, 2.0}
    agree = (patch["organs"] == 1) == (patch["liver"] > 0.5)
    assert float(agree.float().mean()) > 0.99


def test_patches_near_a_mask_hold_some_of_it() -> None:
    cut = RandWarpPatchd(
        ["liver"], [], (6, 6, 6), near_key="liver", near_share=1, jitter=0, warp=STILL
    ).set_random_state(seed=0)
    assert all(float(cut(body())["liver"].sum()) > 0 for _ in range(20))


def test_patch_beyond_the_scan_is_blank() -> None:
    cut = RandWarpPatchd("image", [], (4, 4, 4), jitter=0, warp=STILL)
    cut._centre = lambda shape, near: np.array([-50.0, 0, 0])  # type: ignore[method-assign]
    assert float(cut({"image": torch.ones(1, 9, 9, 9)})["image"].sum()) == 0


def test_a_larger_body_fills_more_of_the_patch() -> None:
    def liver(scaling: tuple[float, float]) -> float:
        warp = {"rotation": (0, 0, 0), "scaling": scaling, "stretch": 0, "elastic_mm": 0}
        cut = RandWarpPatchd(
            "liver", [], (30, 28, 26), jitter=0, warp={**warp, "probability": 1}
        ).set_random_state(seed=0)
        return float(cut(body())["liver"].sum())

    assert liver((1.2, 1.2)) == pytest.approx(1.2**3 * liver((1.0, 1.0)), rel=0.1)


def test_taking_contrast_out_leaves_fat_and_bone() -> None:
    """At a share of 0 what was 145 HU is 45; -100 HU and 240 HU stay."""
    phase = RandPhased("image", "organs", 3, WINDOW)
    hu = torch.tensor([-100.0, 45.0, 145.0, 240.0]).reshape(1, 4, 1, 1)
    less = phase._less_enhanced((hu + 125) / 400, 0.0) * 400 - 125
    assert less.flatten().tolist() == pytest.approx([-100, 45, 45, 240], abs=1e-3)


def test_liver_alone_drifts() -> None:
    phase = RandPhased(
        "image", "organs", 3, WINDOW, 0.0, liver_hu=(-40, -40), organ_hu=0, probability=1
    ).set_random_state(seed=0)
    data = body()
    change = (phase(data)["image"] - data["image"]) * 400
    assert float(change[0, 20, 12, 12]) == pytest.approx(-40, abs=1e-3)  # inside
    assert float(change[0, 4, 20, 12]) == 0  # far outside


def test_lesions_are_painted_in_the_liver_only() -> None:
    lesions = RandLesionsd("image", "liver", 2.0, WINDOW, probability=1).set_random_state(seed=3)
    data = body()
    change = lesions(data)["image"] - data["image"]
    assert float(change.abs().max()) > 0
    assert float(change[data["liver"] == 0].abs().max()) == 0


def test_without_a_liver_no_lesion_is_painted() -> None:
    data = body()
    data["liver"] = torch.zeros_like(data["liver"])
    lesions = RandLesionsd("image", "liver", 2.0, WINDOW, probability=1).set_random_state(seed=3)
    assert torch.equal(lesions(data)["image"], data["image"])


def test_air_stays_air_and_values_stay_in_the_window() -> None:
    scanner = RandScannerd(
        "image", 2.0, WINDOW, noise_hu=200, shift_hu=100, thickness_mm=2, probability=1
    ).set_random_state(seed=0)
    data = body()
    data["image"] = data["image"] * (torch.rand(1, 30, 28, 26) > 0)
    image = scanner(data)["image"]
    assert float(image.min()) >= 0
    assert float(image.max()) <= 1
    assert float(image[:, 0].max()) == 0  # the rim that no blur reaches


def test_thick_slices_keep_what_does_not_change_along_z() -> None:
    scanner = RandScannerd("image", 2.0, WINDOW, thickness_mm=8)
    image = torch.rand(1, 6, 6, 1).expand(1, 6, 6, 20).contiguous()
    assert torch.allclose(scanner._thicker(image), image, atol=1e-5)
    steps = torch.arange(20.0).remainder(2).expand(1, 6, 6, 20).contiguous()
    scanner.set_random_state(seed=2)
    assert float(scanner._thicker(steps).std()) < float(steps.std())


def test_field_of_view_blanks_image_and_label_alike() -> None:
    data = {"image": torch.ones(1, 8, 8, 8), "liver": torch.ones(1, 8, 8, 8)}
    cut = RandFieldOfViewd(["image", "liver"], most=(0.5, 0.5, 0.5), probability=1)
    seen = cut.set_random_state(seed=0)(data)
    assert torch.equal(seen["image"], seen["liver"])
    assert 0 < float(seen["image"].sum()) < 8**3
    assert float(data["image"].sum()) == 8**3  # the scan itself is kept as it is


def test_slab_keeps_a_share_of_the_slices_together() -> None:
    data = {"image": torch.ones(1, 4, 4, 20)}
    cut = RandFieldOfViewd("image", probability=0, slab=(0.2, 0.2), slab_probability=1)
    for seed in range(5):
        kept = cut.set_random_state(seed=seed)(data)["image"][0, 0, 0]
        assert int(kept.sum()) == 4
        first = int(kept.argmax())
        assert kept[first : first + 4].tolist() == [1, 1, 1, 1]


def test_guidance_stays_a_probability_and_is_sometimes_absent() -> None:
    damage = RandGuidanced("guidance", 2.0, absent_probability=0.3).set_random_state(seed=0)
    guide = blurred((body()["organs"] == 1).float(), 3)
    seen = [damage({"guidance": guide})["guidance"] for _ in range(30)]
    assert all(float(g.min()) >= 0 and float(g.max()) <= 1 for g in seen)
    absent = [float(g.max()) == 0 for g in seen]
    assert any(absent)
    assert not all(absent)
    assert len({round(float(g.sum()), 2) for g in seen}) > 10


def test_class_probabilities_sum_to_one_and_the_liver_takes_its_share_first() -> None:
    organs = torch.tensor([0.0, 1.0, 2.0, 5.0]).reshape(1, 4, 1, 1)
    liver = torch.tensor([0.0, 0.75, 0.25, 0.0]).reshape(1, 4, 1, 1)
    label = ClassProbabilitiesd("organs", "liver", 3)({"organs": organs, "liver": liver})["label"]
    assert label[:, :, 0, 0].T.tolist() == [[1, 0, 0], [0.25, 0.75, 0], [0, 0.25, 0.75], [1, 0, 0]]


def test_a_seed_repeats_everything() -> None:
    def once() -> torch.Tensor:
        steps = Compose(
            [
                RandWarpPatchd(["image", "organs", "liver"], ["organs"], (20, 20, 16)),
                RandPhased("image", "organs", 3, WINDOW),
                RandLesionsd("image", "liver", 2.0, WINDOW, probability=1),
                RandTextured("image", probability=1),
                RandScannerd("image", 2.0, WINDOW),
                RandFieldOfViewd(["image", "organs", "liver"]),
            ]
        )
        steps.set_random_state(seed=11)
        image: torch.Tensor = steps(body())["image"]
        return image

    assert torch.equal(once(), once())


def test_smooth_field_has_the_shape_and_no_jumps() -> None:
    field = smooth_field(np.random.RandomState(0), (20, 10, 15), 3, 2)
    assert field.shape == (2, 20, 10, 15)
    assert float(field.diff(dim=1).abs().max()) < 0.6


def every_transform(device: str) -> dict[str, Any]:
    """All of train.yaml's random steps in their order, always, on items of a device."""
    always = {"probability": 1.0}
    data = {key: value.to(device) for key, value in body().items()}
    data["guidance"] = data["liver"].clone()
    four = ["image", "organs", "liver", "guidance"]
    steps = [
        RandWarpPatchd(four, ["organs"], (16, 16, 16)),
        RandGuidanced("guidance", 2.0, absent_probability=0.0, **always),
        RandPhased("image", "organs", 9, WINDOW, unenhanced_probability=1.0, **always),
        RandTextured("image", **always),
        RandScannerd("image", 2.0, WINDOW, **always),
        RandFieldOfViewd(four, slab_probability=1.0, **always),
        ClassProbabilitiesd("organs", "liver", 9),
    ]
    if device != "meta":  # where nothing can be looked for
        steps.insert(3, RandLesionsd("image", "liver", 2.0, WINDOW, **always))
    for step in steps:
        if hasattr(step, "set_random_state"):
            step.set_random_state(3)
        data = step(data)
    return data


def test_augmentation_stays_on_the_device_of_what_is_augmented() -> None:
    """Torch refuses to mix its device without data with another one, as it refuses a GPU."""
    for key, item in every_transform("meta").items():
        assert item.device.type == "meta", key
        assert item.shape[1:] == (16, 16, 16)


def test_lesions_are_painted_on_the_device_of_the_patch() -> None:
    lesions = RandLesionsd("image", "liver", 2.0, WINDOW)
    lesions.set_random_state(3)
    change = torch.zeros(1, 16, 16, 16, device="meta")
    lesions._paint(change, torch.tensor([8, 7, 9]), -40.0)
    assert change.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_augmentation_on_a_gpu_is_that_on_the_cpu() -> None:
    here, there = every_transform("cpu"), every_transform("cuda")
    for key in here:
        assert there[key].device.type == "cuda"
        assert torch.allclose(there[key].cpu(), here[key], atol=1e-3), key
