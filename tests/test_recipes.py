"""The published recipes: each trains on phantoms, says what the paper says, and has gradients."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import phantom
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.losses import DeepSupervisionLoss, DiceLoss
from torch import nn

from liverseg.arguments import RECIPES as CHOICES
from liverseg.bundle_files import bundle_root
from liverseg.dsn import DSN
from liverseg.train_run import RECIPES

CONFIGS = bundle_root() / "configs"
PUBLISHED = ("paper", "paper-plain", "blog", "blog-plain")
SHORT = "paper, short"  # no recipe of the command: what the ablation trains on CPU cores
SMALL: dict[str, Any] = {
    "spacing_mm": [6.0, 6.0, 6.0],
    "patch_size": [24, 24, 12],
    "network_def#channels": [4, 4, 8, 8, 8, 8],
    "network_def#kernel_sizes": [[3, 3, 3]] * 5 + [[1, 1, 1]],
    "amp": False,
    "max_epochs": 2,
    "val_interval": 1,
    "liver_labels": [5],
    "show_progress": False,
    "device": torch.device("cpu"),
}

pytestmark = [
    # Configurations are code, says MONAI; these are ours.
    pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning"),
    pytest.mark.filterwarnings("ignore:Default logging file"),
]


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two phantoms for training and one for validation; the output folder of a training."""
    image, affine, liver = phantom()
    cases = []
    for number in range(3):
        paths = {"image": f"ct{number}.nii.gz", "label": f"label{number}.nii.gz"}
        nib.save(nib.Nifti1Image(np.roll(image, number, 0), affine), tmp_path / paths["image"])
        label = np.roll(liver, number, 0) * np.uint8(5)
        nib.save(nib.Nifti1Image(label, affine), tmp_path / paths["label"])
        cases.append(paths)
    (tmp_path / "list.json").write_text(
        json.dumps({"training": cases[:2], "validation": cases[2:]})
    )
    monkeypatch.setenv("LIVERSEG_DATA_LIST", str(tmp_path / "list.json"))
    monkeypatch.setenv("LIVERSEG_DATA", str(tmp_path))
    monkeypatch.setenv("LIVERSEG_OUTPUT", str(tmp_path / "out"))
    return tmp_path / "out"


def configs(recipe: str) -> list[str]:
    (names,) = [(*RECIPES["paper"][0], "short.yaml")] if recipe == SHORT else RECIPES[recipe]
    return [str(CONFIGS / name) for name in names]


def parser_of(recipe: str, changes: Mapping[str, Any]) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(configs(recipe))
    parser.update(dict(changes))
    return parser


@pytest.mark.parametrize("recipe", [*PUBLISHED, SHORT])
def test_recipe_trains_and_validates(out: Path, recipe: str) -> None:
    workflow = ConfigWorkflow(
        configs(recipe),
        str(CONFIGS / "metadata.json"),
        str(CONFIGS / "logging.conf"),
        run_id="training",
        workflow_type="train",
        **SMALL,
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    with (out / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    weights = [float(rows[0][f"weight_{head}"]) for head in ("main", "layer6", "layer3")]
    stated = [0.6, 0.3, 0.1] if recipe.startswith("blog") else [1, 0.4, 0.3]
    assert weights == ([stated[0], 0, 0] if recipe.endswith("plain") else stated)
    assert all(0 <= float(row["val_mean_dice"]) <= 1 for row in rows)
    assert torch.load(out / "model.pt", weights_only=True)


def test_command_and_bundle_know_the_same_recipes() -> None:
    assert sorted(CHOICES) == sorted(RECIPES)


def test_paper_states_its_optimiser_and_its_learning_rate_of_each_epoch(out: Path) -> None:
    parser = parser_of("paper", SMALL)
    optimizer = parser.get_parsed_content("optimizer")
    scheduler = parser.get_parsed_content("lr_scheduler")
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["weight_decay"] == 2 * parser["l2"]
    rates = []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert [rates[0], rates[49], rates[50], rates[100]] == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_weight_decay_is_the_gradient_of_lambda_w_squared() -> None:
    weight = nn.Parameter(torch.tensor([3.0]))
    optimizer = torch.optim.SGD([weight], lr=1.0, weight_decay=2 * 0.25)
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert weight.item() == 3.0 - 2 * 0.25 * 3.0


def test_paper_looks_at_its_patches_at_the_scans_own_spacing(out: Path) -> None:
    parser = parser_of("paper", {"patch_size": [40, 40, 16], "liver_labels": [5]})
    dataset = parser.get_parsed_content("train#dataset")
    item = dataset[0]
    assert item["image"].shape == (1, 40, 40, 16)
    assert item["label"].shape == (2, 40, 40, 16)
    spacing = item["image"].affine[:3, :3].abs().sum(0).tolist()
    assert sorted(spacing[:2]) == pytest.approx([1.5, 2.0])  # a patch may have been turned
    assert spacing[2] == pytest.approx(3.0)
    whole = parser.get_parsed_content("validate#dataset")[0]["image"]
    assert (float(whole.mean()), float(whole.std())) == pytest.approx((0, 1), abs=1e-3)


def test_paper_turns_patches_in_the_axial_plane_by_all_right_angles(out: Path) -> None:
    parser = parser_of("paper", {"patch_size": [16, 16, 8]})
    turn = parser.get_parsed_content("train#random_steps#2")
    image = torch.arange(16.0 * 16 * 8).reshape(1, 16, 16, 8)
    seen = set()
    turn.set_random_state(seed=0)
    for _ in range(60):
        turned = turn({"image": image, "label": image})["image"].as_tensor()
        seen |= {k for k in range(4) if torch.equal(turned, image.rot90(k, (1, 2)))}
    assert seen == {0, 1, 2, 3}


def test_blog_has_the_layers_of_its_keras_code(out: Path) -> None:
    network = parser_of("blog", {}).get_parsed_content("network_def")
    kernels = [
        tuple(reversed(module.kernel_size))  # z, y, x
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv3d) and name.startswith("layer")
    ]
    assert kernels == [(7, 9, 9), (7, 9, 9), (5, 7, 7), (5, 7, 7), (3, 5, 5), (1, 1, 1)]
    for head, doublings in ((network.head_layer3, 1), (network.head_layer6, 2)):
        kinds = [type(module).__name__ for module in head]
        assert kinds == ["ConvTranspose3d", "SELU"] * doublings + ["Conv3d"]
        assert head[0].out_channels == 2
        assert (head[0].kernel_size, head[0].stride) == ((2, 2, 2), (2, 2, 2))
        assert (head[-1].kernel_size, head[-1].out_channels) == ((1, 1, 1), 1)


class SoftmaxOfOne(nn.Module):
    """The blog's Dice loss on its branches: a softmax over one channel first."""

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        liver = torch.softmax(logits, dim=1)
        return 1 - 2 * (liver * label).sum() / (liver.sum() + label.sum())


def blog_gradients(branch_loss: nn.Module) -> tuple[list[torch.Tensor], dict[str, float]]:
    """The branches' logits, and the largest gradient of each part when only they have a loss."""
    torch.manual_seed(0)
    parser = parser_of("blog", {"network_def#channels": SMALL["network_def#channels"]})
    network = parser.get_parsed_content("network_def")
    heads = network.train()(torch.rand(1, 1, 16, 16, 8))
    label = torch.zeros(1, 1, 16, 16, 8)
    label[..., :8, :8, :4] = 1
    DeepSupervisionLoss(branch_loss, weights=[0.0, 0.3, 0.1])(heads, label).backward()
    return heads[1:], {
        name: max(float(p.grad.abs().max()) for p in part.parameters() if p.grad is not None)
        for name, part in network.named_children()
        if any(p.grad is not None for p in part.parameters())
    }


def test_softmax_over_one_channel_is_1_and_trains_no_branch(out: Path) -> None:
    branches, gradients = blog_gradients(SoftmaxOfOne())
    for logits in branches:
        assert bool((torch.softmax(logits, dim=1) == 1).all())
    assert set(gradients.values()) == {0.0}


def test_sigmoid_trains_the_branches_and_what_is_below_them(out: Path) -> None:
    _, gradients = blog_gradients(DiceLoss(sigmoid=True))
    for name in ("head_layer6", "head_layer3", "layer1", "layer2", "layer4", "layer5"):
        assert gradients[name] > 0, name


def test_without_deep_supervision_nothing_of_the_branches_reaches_the_main_path() -> None:
    torch.manual_seed(0)
    network = DSN(channels=SMALL["network_def#channels"], init="he").train()
    image, label = torch.rand(1, 1, 12, 12, 8), torch.randint(0, 2, (1, 12, 12, 8))
    gradients = []
    for weights in ([1.0, 0.0, 0.0], None):
        network.zero_grad()
        heads = network(image)
        loss = nn.CrossEntropyLoss()
        if weights is None:
            loss(heads[0], label).backward()
        else:
            total = sum(w * loss(head, label) for w, head in zip(weights, heads, strict=True))
            total.backward()
        gradients.append(network.layer1[0].weight.grad.clone())
    assert torch.equal(*gradients)
