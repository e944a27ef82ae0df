"""Every engine gives the logits of torch in single precision, and says so where it cannot."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from liverseg.cache import user_cache
from liverseg.dsn import DSN
from liverseg.engine import chosen_engine, make_engine
from liverseg.engine_names import ENGINES, engine_from_environment
from liverseg.engine_openvino import MOST_SIZES, OpenVinoEngine
from liverseg.engine_torch import without_batch_norms
from liverseg.heads import LiverHeads
from liverseg.inferer import TiledInferer

CPU = torch.device("cpu")
KERNELS = ((3, 3, 3), (3, 3, 1), (3, 3, 3), (3, 3, 1), (3, 3, 1), (1, 1, 1))
# Of the largest logit: bfloat16 has 8 binary digits, and six layers round.
BF16_SHARE = 0.05


def network(**changes: object) -> DSN:
    torch.manual_seed(0)
    settings = {"channels": (2, 2, 3, 3, 4, 4), "kernel_sizes": KERNELS, "init": "he", **changes}
    dsn = DSN(**settings)  # type: ignore[arg-type]
    for module in dsn.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return dsn.eval()


NETWORKS = {
    "of the paper": {},
    "guided, with skips, normalised": {
        "in_channels": 2,
        "skips": True,
        "norm": "batch",
    },
    "of nine classes": {"out_channels": 9, "activation": "selu"},
}


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)
def test_engine_agrees_with_torch_in_single_precision(
    settings: dict[str, object], engine: str, amp: bool
) -> None:
    pytest.importorskip(engine)
    dsn = network(**settings)
    image = torch.rand(1, dsn.in_channels, 27, 22, 13)  # no multiples of the stride
    with torch.no_grad():
        wanted = LiverHeads(dsn)(image)
    made = make_engine(dsn, CPU, engine, amp)
    got = made(image)
    assert made.name == f"{engine}-{'bf16' if amp else 'f32'}"
    assert (made.halo, made.stride, made.in_channels) == (dsn.halo, 4, dsn.in_channels)
    assert got.shape == wanted.shape == (1, 3, 27, 22, 13)
    tolerance = BF16_SHARE * float(wanted.abs().max()) if amp else 1e-4
    assert torch.allclose(got.float(), wanted, atol=tolerance)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_tiles_of_an_engine_are_its_one_pass(engine: str) -> None:
    pytest.importorskip(engine)
    made = make_engine(network(), CPU, engine, amp=False)
    image = torch.rand(1, 1, 67, 45, 41)
    tiled = TiledInferer(max_voxels=60_000, amp=False)(image, made)
    assert torch.allclose(tiled, made(image), atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_engine_goes_to_another_process_and_works_there(engine: str) -> None:
    pytest.importorskip(engine)
    image = torch.rand(1, 1, 12, 8, 8)
    made = make_engine(network(), CPU, engine, amp=False)
    wanted = made(image)  # what it has compiled by now is left behind
    there = pickle.loads(pickle.dumps(made))  # noqa: S301  pickled by ourselves
    assert torch.allclose(there(image), wanted, atol=1e-5)


def test_engine_leaves_the_network_as_it_was() -> None:
    dsn = network(norm="batch")
    before = {name: value.clone() for name, value in dsn.state_dict().items()}
    make_engine(dsn, CPU, "torch", amp=True)
    assert all(torch.equal(value, before[name]) for name, value in dsn.state_dict().items())
    assert all(parameter.requires_grad for parameter in dsn.parameters())


def test_batch_normalisation_is_folded_into_the_convolution_before_it() -> None:
    dsn = network(norm="batch")
    joined = without_batch_norms(dsn)
    assert not [module for module in joined.modules() if isinstance(module, nn.BatchNorm3d)]
    image = torch.rand(1, 1, 12, 8, 8)
    with torch.no_grad():
        assert torch.allclose(joined(image), dsn(image), atol=1e-4)


def test_few_compiled_sizes_are_kept() -> None:
    pytest.importorskip("openvino")
    engine = make_engine(network(), CPU, "openvino", amp=False)
    assert isinstance(engine, OpenVinoEngine)
    for length in range(4, 4 * MOST_SIZES + 12, 4):
        engine(torch.rand(1, 1, length, 8, 8))
    assert len(engine._compiled) == MOST_SIZES


def test_translated_network_is_kept_and_made_again_when_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    image = torch.rand(1, 1, 12, 8, 8)
    wanted = make_engine(network(), CPU, "openvino", amp=False)(image)
    (kept,) = (user_cache() / "openvino").iterdir()
    assert {path.name for path in kept.iterdir()} == {"model.xml", "model.bin"}

    with monkeypatch.context() as no_translation:
        no_translation.setattr("liverseg.openvino_models.translated", None)
        assert torch.equal(make_engine(network(), CPU, "openvino", amp=False)(image), wanted)

    (kept / "model.xml").write_text("<net")
    assert torch.equal(make_engine(network(), CPU, "openvino", amp=False)(image), wanted)
    assert [path.name for path in (user_cache() / "openvino").iterdir()] == [kept.name]
    assert (kept / "model.xml").stat().st_size > 100

    make_engine(network(out_channels=3), CPU, "openvino", amp=False)(image)
    assert len(list((user_cache() / "openvino").iterdir())) == 2  # other weights, another hash


def test_nothing_is_kept_where_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert make_engine(network(), CPU, "openvino", amp=False)(torch.rand(1, 1, 8, 8, 8)).any()


def test_model_in_a_folder_that_others_may_write_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    image = torch.rand(1, 1, 8, 8, 8)
    wanted = make_engine(network(), CPU, "openvino", amp=False)(image)
    (user_cache() / "openvino").chmod(0o777)
    (kept,) = (user_cache() / "openvino").iterdir()
    (kept / "model.xml").write_text("<not what we wrote/>")
    assert torch.equal(make_engine(network(), CPU, "openvino", amp=False)(image), wanted)


def test_fastest_engine_is_openvino_on_a_cpu_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("liverseg.engine.find_spec", lambda name: object())
    assert chosen_engine("auto", CPU) == "openvino"
    assert chosen_engine("auto", torch.device("cuda:0")) == "torch"
    assert chosen_engine("torch", CPU) == "torch"
    with pytest.raises(ValueError, match="runs on the CPU only; device cuda:0 was wanted"):
        chosen_engine("openvino", torch.device("cuda:0"))
    with pytest.raises(ValueError, match="one of auto, torch, openvino; got fast"):
        chosen_engine("fast", CPU)


def test_engine_that_is_missing_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liverseg.engine.find_spec", lambda name: None)
    assert chosen_engine("auto", CPU) == "torch"
    with pytest.raises(ValueError, match=r"not installed: pip install 'liverseg\[openvino\]'$"):
        chosen_engine("openvino", CPU)


def test_engine_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVERSEG_ENGINE", raising=False)
    assert engine_from_environment() == "auto"
    monkeypatch.setenv("LIVERSEG_ENGINE", "torch")
    assert engine_from_environment() == "torch"
    monkeypatch.setenv("LIVERSEG_ENGINE", "tensorflow")
    with pytest.raises(ValueError, match="LIVERSEG_ENGINE should be one of auto, torch, openvino"):
        engine_from_environment()


SCANS = ("ircadb_01/dicom.zip", "btcv/btcv_0023_ct.nii.gz")


@pytest.mark.parametrize("scan", SCANS)
def test_masks_of_real_scans_are_those_of_torch_in_single_precision(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, scan: str
) -> None:
    from monai.bundle import ConfigParser

    from liverseg.bundle_files import bundle_root

    masks = []
    for engine, amp in [("torch", False), ("torch", True), ("openvino", True)]:
        if engine == "openvino":
            pytest.importorskip("openvino")
        monkeypatch.setenv("LIVERSEG_ENGINE", engine)
        parser = ConfigParser()
        parser.read_config(str(bundle_root() / "configs" / "inference.yaml"))
        parser.update({"amp": amp, "device": CPU, "bundle_root": str(bundle_root())})
        pipeline = parser.get_parsed_content("pipeline")
        if not masks:
            data = pipeline.preprocessing({"image": str(real_data / scan)})
        data["pred"] = pipeline.inferer(data["image"][None], pipeline.network)[0]
        masks.append(pipeline.postprocessing(data)["pred"][0].numpy().astype(bool))
    for mask in masks[1:]:
        assert 2 * np.sum(mask & masks[0]) / (mask.sum() + masks[0].sum()) > 0.999


def test_signals_are_delivered_after_engines_have_gone() -> None:
    """Each openvino.Core that goes puts another signal stack back, perhaps one that is gone."""
    pytest.importorskip("openvino")
    code = """
import faulthandler, gc, signal
faulthandler.enable()  # has a signal stack of its own
import torch
from liverseg.dsn import DSN
from liverseg.engine_openvino import OpenVinoEngine
engine = OpenVinoEngine(DSN(1, 2, channels=[2, 2, 2, 2, 2, 2]).eval(), amp=False)
for size in (16, 20, 24, 28):
    engine(torch.zeros(1, 1, size, size, size))
del engine
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr[-2000:]
