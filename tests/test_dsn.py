"""The network: the paper's layers, the heads, any size, and what MONAI and torch make of it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import monai.networks.nets
import pytest
import torch
from monai.bundle import ConfigParser

import liverseg
from liverseg.dsn import DSN, halo

# Table "Network" of the paper: weights and biases of layers 1, 2, 4, 5, 7 and 8.
PAPER_PARAMETERS = {1: 4_544, 2: 36_296, 4: 31_376, 5: 125_472, 7: 76_832, 8: 1_056}

SMALL = {
    "channels": (2, 2, 3, 3, 4, 4),
    "kernel_sizes": ((3, 3, 3), (3, 3, 1), (3, 3, 3), (3, 3, 1), (3, 3, 1), (1, 1, 1)),
    "deconv_channels": 2,
    "init": "he",
}


def small_network(**changes: object) -> DSN:
    torch.manual_seed(0)
    return DSN(**{**SMALL, **changes}).eval()


def test_convolutions_have_the_parameters_of_the_paper() -> None:
    network = DSN()
    counts = {
        layer: sum(p.numel() for p in getattr(network, f"layer{layer}").parameters())
        for layer in PAPER_PARAMETERS
    }
    assert counts == PAPER_PARAMETERS
    assert sum(counts.values()) == 275_576


def test_whole_network_has_between_0_28_and_0_33_million_parameters() -> None:
    assert 280_000 < sum(p.numel() for p in DSN().parameters()) < 330_000


@pytest.mark.parametrize("size", [(16, 12, 8), (17, 14, 9), (3, 2, 1), (1, 1, 1)])
def test_every_head_has_the_size_of_the_image_whatever_it_is(size: tuple[int, ...]) -> None:
    heads = small_network().all_heads(torch.rand(2, 1, *size))
    assert [tuple(head.shape) for head in heads] == [(2, 2, *size)] * 3


def test_training_gives_main_layer6_layer3_and_evaluation_the_main_head() -> None:
    network = small_network()
    image = torch.rand(1, 1, 8, 12, 8)
    heads = network.all_heads(image)
    evaluated = network(image)
    trained = network.train()(image)
    assert torch.equal(evaluated, heads[0])
    assert isinstance(trained, list)
    assert all(torch.equal(a, b) for a, b in zip(trained, heads, strict=True))


def test_heads_see_as_far_as_their_depth() -> None:
    """Main sees around layer 7, layer 6 around layer 5, layer 3 around layer 2 only."""
    network = small_network()
    image = torch.rand(1, 1, 96, 8, 8, requires_grad=True)
    reach = []
    for head in network.all_heads(image):
        (gradient,) = torch.autograd.grad(head[0, 1, 48, 4, 4], image, retain_graph=True)
        touched = torch.nonzero(gradient[0, 0].abs().sum(dim=(1, 2)))
        reach.append(int(touched.max() - touched.min()) + 1)
    assert reach[0] > reach[1] > reach[2] > 1


def test_padding_to_the_stride_does_not_move_the_answer() -> None:
    """A size that is padded inside gives what the same image with zeros behind it gives."""
    network = small_network()
    image = torch.rand(1, 1, 9, 10, 7)
    padded = torch.zeros(1, 1, 12, 12, 8)
    padded[:, :, :9, :10, :7] = image
    expected = network(padded)[:, :, :9, :10, :7]
    assert torch.allclose(network(image), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 8, 8), (1, 2, 8, 8, 8), (1, 1, 8, 0, 8)])
def test_image_of_another_form_is_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(B, 1, X, Y, Z\).*got shape"):
        small_network()(torch.zeros(shape))


def test_paper_initialisation_is_normal_with_one_hundredth() -> None:
    torch.manual_seed(1)
    weight = DSN().layer5[0].weight.detach()  # 125,440 weights
    assert float(weight.mean()) == pytest.approx(0, abs=2e-4)
    assert float(weight.std()) == pytest.approx(0.01, rel=0.02)


def test_he_initialisation_keeps_the_variance_of_the_signal() -> None:
    """He et al. 2015: std = sqrt(2 / fan-in); layer 5 has 16 x 7 x 7 x 5 inputs."""
    torch.manual_seed(1)
    weight = DSN(init="he").layer5[0].weight.detach()
    assert float(weight.std()) == pytest.approx((2 / (16 * 7 * 7 * 5)) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "batch"},
        {"norm": "instance"},
        {"activation": "selu", "deconv_activation": "selu"},
        {"deconv_kernel_size": 2, "head_convolution": True, "out_channels": 1},
        {"deconv_kernel_size": 4},
        {"skips": True, "in_channels": 1, "norm": "batch"},
    ],
)
def test_variants_of_the_recipes_build_and_keep_the_size(changes: dict[str, object]) -> None:
    network = small_network(**changes)
    channels = changes.get("out_channels", 2)
    assert network(torch.rand(1, 1, 9, 8, 6)).shape == (1, channels, 9, 8, 6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": (8, 8)}, "6 entries"),
        ({"kernel_sizes": ((2, 3, 3),) * 6}, "odd"),
        ({"deconv_kernel_size": 1}, "at least 2"),
        ({"init": "zeros"}, "paper, he"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DSN(**{**SMALL, **changes})


def test_halo_of_the_paper_covers_what_a_voxel_sees() -> None:
    assert halo() == (32, 32, 24)


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_halo_is_enough_and_a_stride_less_is_not(axis: int, skips: bool) -> None:
    """The gradient of four aligned output voxels ends within the halo, close to its rim."""
    torch.manual_seed(0)
    network = DSN(init="he", activation="tanh", skips=skips).eval()
    length = [4, 4, 4]
    length[axis] = 4 + 2 * network.halo[axis] + 8
    image = torch.rand(1, 1, *length, requires_grad=True)
    start = network.halo[axis] + 4
    rows = network(image).movedim(2 + axis, 0)[start : start + 4]
    (gradient,) = torch.autograd.grad(rows.abs().sum(), image)
    seen = torch.nonzero(gradient[0, 0].movedim(axis, 0).flatten(1).abs().sum(1)).flatten()
    before, after = start - int(seen.min()), int(seen.max()) - (start + 3)
    assert network.halo[axis] - network.stride < max(before, after) <= network.halo[axis]


def test_network_is_registered_with_monai() -> None:
    assert monai.networks.nets.DSN is liverseg.DSN
    assert monai.networks.nets.dsn.DSN is DSN


@pytest.mark.parametrize("target", ["DSN", "monai.networks.nets.DSN", "liverseg.DSN"])
def test_bundle_configuration_builds_the_network_by_every_name(target: str) -> None:
    parser = ConfigParser({"network_def": {"_target_": target, "init": "he"}})
    assert type(parser.get_parsed_content("network_def")) is DSN


def test_a_pickled_network_is_loaded_by_a_process_that_has_imported_nothing(
    tmp_path: Path,
) -> None:
    network = DSN(**SMALL).eval()
    torch.save(network, tmp_path / "whole.pt")
    code = (
        "import sys, torch; n = torch.load(sys.argv[1], weights_only=False); "
        "print(type(n).__name__, float(n(torch.ones(1, 1, 8, 8, 8)).detach().sum()))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "whole.pt"],
        capture_output=True,
        text=True,
        check=True,
    )
    name, total = ended.stdout.split()
    assert name == "DSN"
    assert float(total) == pytest.approx(
        float(network(torch.ones(1, 1, 8, 8, 8)).detach().sum()), rel=1e-5
    )


def test_batch_norm_in_any_spelling_keeps_the_halo() -> None:
    assert DSN(norm="BATCH").halo == DSN(norm="batch").halo is not None


def test_pickle_gives_the_same_network() -> None:
    network = small_network()
    image = torch.rand(1, 1, 8, 8, 4)
    assert torch.equal(pickle.loads(pickle.dumps(network))(image), network(image))  # noqa: S301


@pytest.mark.parametrize("closed", ["side1", "side2"])
def test_main_head_with_skips_sees_the_maps_of_layers_5_and_2(closed: str) -> None:
    """With what comes from layer 8 and from one of the two shut off, the other still speaks."""
    network = small_network(skips=True)
    head = network.head_main
    with torch.no_grad():
        head.double1.weight.zero_()
        getattr(head, closed).weight.zero_()
        answer = network(torch.rand(1, 1, 8, 8, 8))
        assert float(answer.std()) > 0
        for side in (head.side1, head.side2):
            side.weight.zero_()
        assert float(network(torch.rand(1, 1, 8, 8, 8))[..., 2:6, 2:6, 2:6].std()) < 1e-6


@pytest.mark.parametrize("skips", [False, True])
def test_torchscript_gives_the_same_heads_at_another_size(skips: bool) -> None:
    network = small_network(skips=skips)
    scripted = torch.jit.script(network)
    image = torch.rand(1, 1, 9, 7, 5)
    assert torch.allclose(scripted(image), network(image), atol=1e-6)
    heads = zip(scripted.all_heads(image), network.all_heads(image), strict=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in heads)


def test_torch_export_gives_the_same_logits() -> None:
    network = small_network()
    image = torch.rand(1, 1, 9, 7, 5)
    exported = torch.export.export(network, (image,)).module()
    assert torch.allclose(exported(image), network(image), atol=1e-6)
