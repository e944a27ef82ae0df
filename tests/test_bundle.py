"""The bundle: every configuration runs on phantoms, and MONAI's own checks pass."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import phantom
from monai.bundle import ConfigParser, ConfigWorkflow

import liverseg
from liverseg.bundle_files import (
    bundle_root,
    checked_weights,
    folder_from_environment,
    working_bundle,
)
from liverseg.dsn import DSN
from liverseg.metrics import scores
from liverseg.train_run import RECIPES
from liverseg.weight_files import save_weights

CONFIGS = bundle_root() / "configs"
TRAIN, COARSE, INFERENCE, EVALUATE = (
    str(CONFIGS / f"{name}.yaml") for name in ("train", "coarse", "inference", "evaluate")
)
SCHEMA_SHA256 = "cd64aa8a5904426f6fc6855dabe46af8c742d5bad644b4e9cfb78ebad09ad678"
META, LOGGING = str(CONFIGS / "metadata.json"), str(CONFIGS / "logging.conf")

# A network and a grid so small that a test trains in seconds. Amp is off because the sums of
# bfloat16 convolutions need not repeat exactly.
SMALL: dict[str, Any] = {
    "spacing_mm": [6.0, 6.0, 6.0],
    "amp": False,
    "network_def#channels": [4, 4, 8, 8, 8, 8],
    "network_def#kernel_sizes": [[3, 3, 3]] * 5 + [[1, 1, 1]],
    "coarse_network_def#channels": [4, 4, 8, 8, 8, 8],
    "coarse_network_def#kernel_sizes": [[3, 3, 3]] * 5 + [[1, 1, 1]],
}
# No batch normalisation, whose running averages need more steps than a test has.
SMALL_TRAINING: dict[str, Any] = {
    **SMALL,
    "network_def#norm": None,
    "coarse_network_def#norm": None,
    "warm_up": 1,
    "average_decay": 0.5,
    "patch_size": [24, 24, 12],
    "patches_per_scan": 1,
    "max_epochs": 2,
    "val_interval": 1,
    "liver_labels": [5],
    "device": torch.device("cpu"),
}

pytestmark = [
    # Configurations are code, says MONAI; these are ours.
    pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning"),
    pytest.mark.filterwarnings("ignore:Default logging file"),
]


@pytest.fixture
def data_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three phantoms for training, one for validation, told to the bundle by environment."""
    image, affine, liver = phantom()
    cases = []
    for number in range(4):
        paths = {"image": f"ct {number} $@%.nii.gz", "label": f"label {number}.nii.gz"}
        nib.save(nib.Nifti1Image(np.roll(image, number, 0), affine), tmp_path / paths["image"])
        label = np.roll(liver, number, 0) * np.uint8(5)
        nib.save(nib.Nifti1Image(label, affine), tmp_path / paths["label"])
        cases.append(paths)
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": cases[:3], "validation": cases[3:]}))
    monkeypatch.setenv("LIVERSEG_DATA_LIST", str(path))
    monkeypatch.setenv("LIVERSEG_DATA", str(tmp_path))
    monkeypatch.setenv("LIVERSEG_OUTPUT", str(tmp_path / "out"))
    torch.manual_seed(0)
    definition = ConfigParser.load_config_file(TRAIN)["coarse_network_def"]
    coarse = DSN(
        **{
            **{key: value for key, value in definition.items() if key != "_target_"},
            "out_channels": 9,
            "norm": None,
            "channels": SMALL["network_def#channels"],
            "kernel_sizes": SMALL["network_def#kernel_sizes"],
        }
    )
    save_weights(coarse, tmp_path / "coarse.pt")
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Untrained weights of the fine network; the coarse one beside it sees liver everywhere."""
    torch.manual_seed(0)
    coarse = small_network("coarse_network_def")
    coarse.load_state_dict({key: torch.zeros_like(v) for key, v in coarse.state_dict().items()})
    coarse.head_main.classify.bias.data[1] = 3.0
    save_weights(coarse, tmp_path / "coarse.pt")
    save_weights(small_network(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def small_network(key: str = "network_def") -> DSN:
    """The network that inference.yaml defines, as small as SMALL says."""
    settings = ConfigParser.load_config_file(INFERENCE)[key]
    changes = {name: SMALL[f"{key}#{name}"] for name in ("channels", "kernel_sizes")}
    del settings["_target_"]
    return DSN(**settings | changes)


def with_weights(weights: Path) -> dict[str, Any]:
    """What a run of inference.yaml with them is told."""
    return {
        "checkpoint": str(weights),
        "coarse_checkpoint": str(weights.with_name("coarse.pt")),
        "least_logit": 0.0,  # untrained ones are certain of nothing
        **SMALL,
    }


def train(config: str | list[str] = TRAIN, **changes: Any) -> ConfigWorkflow:
    coarse = Path(os.environ["LIVERSEG_DATA"]) / "coarse.pt"
    settings = {**SMALL_TRAINING, "coarse_checkpoint": str(coarse), **changes}
    if COARSE in config:  # where network_def is the coarse one
        settings = {key: settings[key] for key in settings if not key.startswith("network_def")}
    workflow = ConfigWorkflow(
        config,
        META,
        LOGGING,
        run_id="training",
        workflow_type="train",
        **settings,
    )
    workflow.initialize()
    return workflow


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_configuration_is_run_by_a_test_here() -> None:
    recipes = {name for runs in RECIPES.values() for names in runs for name in names}
    assert {path.name for path in CONFIGS.iterdir()} - recipes == {  # see test_recipes.py
        "short.yaml",
        "inference.yaml",
        "multi_gpu_train.yaml",  # see test_multi_gpu.py
        "export.yaml",  # see test_export.py
        "evaluate.yaml",
        "metadata.json",
        "logging.conf",
    }


@pytest.mark.parametrize("config", [TRAIN, [TRAIN, COARSE]], ids=["fine", "coarse"])
def test_monai_finds_every_property_of_the_training_workflow(
    data_list: Path, config: str | list[str]
) -> None:
    assert train(config).check_properties() == []


@pytest.mark.parametrize("told", [True, False])
def test_monai_finds_every_property_of_the_inference_workflow(
    phantom_nifti: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    monkeypatch.delenv("LIVERSEG_INPUT", raising=False)
    if told:
        monkeypatch.setenv("LIVERSEG_INPUT", str(phantom_nifti))
    workflow = ConfigWorkflow(
        INFERENCE, META, LOGGING, workflow_type="inference", **with_weights(weights)
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_training_and_inference_say_the_same_of_network_and_grid() -> None:
    parsers = [ConfigParser.load_config_files(name) for name in (TRAIN, INFERENCE)]
    for key in ("network_def", "coarse_network_def", "spacing_mm", "factor", "window"):
        wanted, got = (parser[key] for parser in parsers)
        # Which organs the coarse network learns besides is a number of the training alone.
        if key == "coarse_network_def":
            wanted = {**wanted, "out_channels": parsers[0]["classes"]}
        assert wanted == got
    inferers = [parsers[0]["validate"]["inferer"], parsers[1]["inferer"]]
    assert inferers[0]["_target_"] == inferers[1]["_target_"]
    assert inferers[0]["tiles"]["_target_"] == inferers[1]["tiles"]["_target_"]
    assert inferers[0]["coarse_weight"] == parsers[1]["coarse_weight"]


def test_training_leaves_weights_log_curves_and_a_checkpoint(data_list: Path) -> None:
    train().run()
    out = data_list.parent / "out"
    rows = rows_of(out / "log.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for name in ("loss_main", "loss_layer6", "loss_layer3", "val_mean_dice"):
        assert all(float(row[name]) >= 0 for row in rows)
    assert (out / "curves.png").is_file()
    assert list((out / "tensorboard").glob("events*"))
    state = torch.load(out / "model.pt", weights_only=True)
    network = DSN(
        in_channels=2,
        channels=SMALL["network_def#channels"],
        kernel_sizes=SMALL["network_def#kernel_sizes"],
        skips=True,
    )
    network.load_state_dict(state)
    assert len(checked_weights(out / "model.pt")) == 64
    assert not [path.name for path in out.iterdir() if path.name.endswith(".part")]


def test_coarse_training_leaves_the_weights_that_the_fine_one_takes(data_list: Path) -> None:
    out = data_list.parent / "out"
    train([TRAIN, COARSE], max_epochs=1).run()
    assert len(checked_weights(out / "coarse" / "model.pt")) == 64
    assert len(rows_of(out / "coarse" / "log.csv")) == 1
    fine = train(max_epochs=1, coarse_checkpoint=str(out / "coarse" / "model.pt"))
    fine.run()
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["settings"]["guidance"] == checked_weights(out / "coarse" / "model.pt")
    assert len(rows_of(out / "log.csv")) == 1


def test_fine_training_takes_the_guidance_of_the_weights_that_a_case_names(data_list: Path) -> None:
    """They are part of what makes the training: a checkpoint of others is refused."""
    contents = json.loads(data_list.read_text())
    unseen = data_list.parent / "unseen.pt"
    for end in ("", ".sha256"):
        shutil.copy(data_list.parent / f"coarse.pt{end}", f"{unseen}{end}")
    contents["training"][0]["coarse"] = str(unseen)
    data_list.write_text(json.dumps(contents))
    workflow = train(max_epochs=1)
    workflow.run()
    state = torch.load(data_list.parent / "out" / "checkpoint.pt", weights_only=True)
    coarse = workflow.parser.get_parsed_content("coarse_checkpoint")
    assert state["settings"]["guidance"] == checked_weights(coarse, unseen)
    guided = workflow.parser.get_parsed_content("train#dataset")[0]
    assert "coarse" not in guided


def test_training_with_nothing_held_out_validates_nothing(data_list: Path) -> None:
    contents = json.loads(data_list.read_text())
    contents["training"] += contents.pop("validation")
    data_list.write_text(json.dumps({**contents, "validation": []}))
    train(max_epochs=1).run()
    (row,) = rows_of(data_list.parent / "out" / "log.csv")
    assert row["iteration"] == "4"
    assert row["val_mean_dice"] == ""
    assert len(checked_weights(data_list.parent / "out" / "model.pt")) == 64


def test_an_epoch_has_several_patches_of_every_scan(data_list: Path) -> None:
    workflow = train(max_epochs=1, patches_per_scan=2)
    workflow.run()
    (row,) = rows_of(data_list.parent / "out" / "log.csv")
    assert row["iteration"] == "6"  # of three scans
    patches = workflow.parser.get_parsed_content("train#repeated")
    assert not torch.equal(patches[0]["image"], patches[3]["image"])  # two draws of the first one


def test_finetuning_starts_from_the_shipped_weights_and_their_statistics(
    data_list: Path, tmp_path: Path
) -> None:
    """A learning rate of 0 leaves both as they were, however the patches look."""
    network = small_network()
    network.layer1[1].running_mean.fill_(0.25)
    save_weights(network, tmp_path / "shipped.pt")
    finetune = str(CONFIGS / "finetune.yaml")
    assert ConfigParser.load_config_file(finetune)["initial_checkpoint"].startswith("$@bundle_root")
    train(
        [TRAIN, finetune],
        learning_rate=0.0,
        initial_checkpoint=str(tmp_path / "shipped.pt"),
        **{"network_def#norm": "batch"},
    ).run()
    kept = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    for key, value in network.state_dict().items():
        assert torch.allclose(kept[key], value, atol=1e-7), key


def test_training_that_stops_and_goes_on_ends_like_one_that_never_stopped(
    data_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outs = [data_list.parent / name for name in ("whole", "stopped")]
    monkeypatch.setenv("LIVERSEG_OUTPUT", str(outs[0]))
    train(max_epochs=4, patches_per_scan=2).run()

    monkeypatch.setenv("LIVERSEG_OUTPUT", str(outs[1]))
    stopped = train(max_epochs=4, patches_per_scan=2)
    trainer = stopped.parser.get_parsed_content("train#trainer")

    def pull_the_plug(engine: Any) -> None:
        if engine.state.epoch == 3:  # in the middle of an epoch, which is lost
            raise KeyboardInterrupt

    from ignite.engine import Events

    trainer.add_event_handler(Events.ITERATION_COMPLETED, pull_the_plug)
    trainer.logger.disabled = True  # ignite logs the interruption that the test makes
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert len(rows_of(outs[1] / "log.csv")) == 2
    train(max_epochs=4, patches_per_scan=2).run()

    assert rows_of(outs[0] / "log.csv") == rows_of(outs[1] / "log.csv")
    whole, resumed = (torch.load(out / "checkpoint.pt", weights_only=True) for out in outs)
    assert whole["average"]["steps"] == resumed["average"]["steps"]
    assert whole["lr_scheduler"] == resumed["lr_scheduler"]
    for key, value in whole["network"].items():
        assert torch.allclose(value, resumed["network"][key], atol=1e-6), key
    for key, held in whole["optimizer"]["state"].items():
        for name, value in held.items():
            other = resumed["optimizer"]["state"][key][name]
            assert torch.allclose(torch.as_tensor(value), torch.as_tensor(other)), name


def test_a_small_network_learns_one_phantom_by_heart(data_list: Path) -> None:
    steps = ConfigParser.load_config_file(TRAIN)["train"]["random_steps"]
    warp, *augmenting, label, joined, selected = steps
    assert all("augment" in step["_target_"] for step in augmenting)
    changes = {
        "train#random_steps": [{**warp, "warp": {"probability": 0}}, label, joined, selected]
    }
    # A coarse network that says one half everywhere: all is looked at, nothing is given away.
    blank = torch.load(data_list.parent / "coarse.pt", weights_only=True)
    network = DSN(
        out_channels=9,
        channels=SMALL["network_def#channels"],
        kernel_sizes=SMALL["network_def#kernel_sizes"],
        skips=True,
    )
    network.load_state_dict({key: torch.zeros_like(value) for key, value in blank.items()})
    network.head_main.classify.bias.data[1] = 3.0
    save_weights(network, data_list.parent / "coarse.pt")
    train(max_epochs=80, val_interval=40, learning_rate=0.01, **changes).run()
    rows = rows_of(data_list.parent / "out" / "log.csv")
    assert float(rows[-1]["val_mean_dice"]) > 0.8
    # A voxel that the border crosses is partly liver: no network takes its loss to nothing.
    assert float(rows[-1]["loss_main"]) < 0.5 * float(rows[0]["loss_main"])


def test_inference_writes_what_the_command_writes(
    phantom_dicom: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVERSEG_INPUT", str(phantom_dicom))
    monkeypatch.setenv("LIVERSEG_OUTPUT", str(tmp_path / "out"))
    monai.bundle.run("inference", config_file=INFERENCE, meta_file=META, **with_weights(weights))
    (row,) = rows_of(tmp_path / "out" / "manifest.csv")
    assert row["status"] == "done"
    case = tmp_path / "out" / "cases" / row["case_id"]
    mask = nib.load(case / "liver.nii.gz")
    assert mask.shape == phantom()[0].shape
    report = json.loads((case / "report.json").read_text())
    assert report["volume_ml"] == float(row["volume_ml"])

    root = tmp_path / "bundle"  # the command's own way, over a bundle with the same parts
    shutil.copytree(CONFIGS, root / "configs")
    (root / "models").mkdir()
    for name in ("coarse.pt", "coarse.pt.sha256", "model.pt", "model.pt.sha256"):
        shutil.copy(weights.with_name(name), root / "models" / name)
    text = (root / "configs" / "inference.yaml").read_text()
    parts = ConfigParser.load_config_file(INFERENCE)
    for key, value in {**SMALL, "least_logit": 0.0}.items():
        place = parts
        *path, last = key.split("#")
        for name in path:
            place = place[name]
        place[last] = value
    ConfigParser.export_config_file(parts, str(root / "configs" / "inference.yaml"), fmt="yaml")
    assert text != (root / "configs" / "inference.yaml").read_text()
    monkeypatch.setattr("liverseg.pipeline.bundle_root", lambda: root)
    (again,) = liverseg.segment([phantom_dicom], tmp_path / "command")
    assert again.volume_ml == float(row["volume_ml"])
    masks = [
        (folder / "liver.nii.gz").read_bytes()
        for folder in (case, tmp_path / "command" / "cases" / again.case_id)
    ]
    assert masks[0] == masks[1]


@pytest.mark.parametrize(("name", "message"), [("empty", "it is empty"), ("gone", "gone")])
def test_inference_of_nothing_is_an_error(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("LIVERSEG_INPUT", str(tmp_path / name))
    monkeypatch.setenv("LIVERSEG_OUTPUT", str(tmp_path / "out"))
    parser = ConfigParser()
    parser.read_config(INFERENCE)
    parser.update(with_weights(weights))
    with pytest.raises(RuntimeError) as error:
        parser.get_parsed_content("inference")
    assert isinstance(error.value.__cause__, FileNotFoundError)
    assert message in str(error.value.__cause__)
    assert not (tmp_path / "out").exists()


def test_evaluator_of_inference_gives_the_mask_of_the_command(
    phantom_nifti: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVERSEG_INPUT", str(phantom_nifti))
    parser = ConfigParser()
    parser.read_config(INFERENCE)
    parser.update(with_weights(weights))
    evaluator = parser.get_parsed_content("evaluator")
    evaluator.run()
    (output,) = evaluator.state.output
    assert output["pred"].shape == (1, *phantom()[0].shape)
    assert output["pred"].dtype == torch.uint8


def test_evaluating_scores_each_case_on_its_own_grid(
    data_list: Path, weights: Path, tmp_path: Path
) -> None:
    monai.bundle.run(
        "evaluating",
        config_file=[INFERENCE, EVALUATE],
        meta_file=META,
        **with_weights(weights),
    )
    row, mean = rows_of(tmp_path / "out" / "scores.csv")
    name = row.pop("case")
    assert name == "ct 3 $@%"
    assert {"case": "mean", **row} == mean
    parser = ConfigParser()
    parser.read_config(INFERENCE)
    parser.update(with_weights(weights))
    pipeline = parser.get_parsed_content("pipeline")
    data = pipeline.preprocessing({"image": str(tmp_path / f"{name}.nii.gz")})
    data["pred"] = pipeline.inferer(data["image"][None], pipeline.network)[0]
    mask = pipeline.postprocessing(data)["pred"][0].numpy()
    label = np.asarray(nib.load(tmp_path / "label 3.nii.gz").dataobj) == 5
    expected = asdict(scores(mask, label, phantom()[1]))
    assert {key: float(text) for key, text in row.items()} == pytest.approx(expected, abs=1e-4)


def test_refined_masks_are_those_of_the_crf_and_are_told_apart(
    phantom_nifti: Path, weights: Path
) -> None:
    parser = ConfigParser()
    parser.read_config(INFERENCE)
    parser.update({**with_weights(weights), "refine": True})
    refined = parser.get_parsed_content("pipeline")
    data = refined.preprocessing({"image": str(phantom_nifti)})
    image = data["image"].as_tensor()
    # Half of what is bright, doubted: the CRF fills it, the logits alone do not.
    logit = torch.where(image > 0.5, 1.0, -1.0)
    logit[..., ::2] = -logit[..., ::2] * 0.2
    masks = {}
    for name, left_out in (("plain", "RefineD"), ("refined", "")):
        one = dict(data, pred=logit.clone())
        for step in refined.postprocessing.transforms:
            if type(step).__name__ != left_out:
                one = step(one)
        masks[name] = one["pred"]
    assert refined.options == "refine"
    assert (masks["refined"] != masks["plain"]).any()


def test_without_refine_there_is_no_crf(weights: Path) -> None:
    parser = ConfigParser()
    parser.read_config(INFERENCE)
    parser.update(with_weights(weights))
    pipeline = parser.get_parsed_content("pipeline")
    assert pipeline.options == ""
    names = [type(step).__name__ for step in pipeline.postprocessing.transforms]
    assert "RefineD" not in names
    assert names[-1] == "KeepLiverd"


def test_metadata_fits_monais_schema(real_data: Path, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_bytes((real_data / "meta_schema_20240725.json").read_bytes())
    monai.bundle.verify_metadata(
        meta_file=META, filepath=str(schema), hash_val=SCHEMA_SHA256, hash_type="sha256"
    )


def test_metadata_has_the_version_of_the_package() -> None:
    metadata = json.loads(Path(META).read_text())
    assert metadata["version"] == liverseg.__version__
    assert metadata["version"] in metadata["changelog"]


def test_network_takes_and_gives_what_the_metadata_says() -> None:
    monai.bundle.verify_net_in_out(
        net_id="network_def", meta_file=META, config_file=INFERENCE, device="cpu", any=13
    )


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_exported_torchscript_gives_the_same_logits(weights: Path, tmp_path: Path) -> None:
    exported = tmp_path / "model.ts"
    monai.bundle.ckpt_export(
        net_id="network_def",
        filepath=str(exported),
        ckpt_file=str(weights),
        meta_file=META,
        config_file=INFERENCE,
        key_in_ckpt="",
        **SMALL,
    )
    network = small_network()
    network.load_state_dict(torch.load(weights, weights_only=True))
    image = torch.rand(1, 2, 21, 18, 13)
    with torch.no_grad():
        expected = network.eval()(image)
        assert torch.allclose(torch.jit.load(str(exported)).eval()(image), expected, atol=1e-5)


def test_monais_command_line_trains(data_list: Path) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run", "training"]
    command += [
        "--config_file",
        "configs/train.yaml",
        "--max_epochs",
        "1",
        "--patches_per_scan",
        "1",
    ]
    command += ["--spacing_mm", "[8.0,8.0,8.0]", "--patch_size", "[16,16,8]"]
    coarse = {**ConfigParser.load_config_file(TRAIN)["coarse_network_def"], "out_channels": 9}
    del coarse["_target_"]
    (data_list.parent / "out" / "coarse").mkdir(parents=True)
    save_weights(DSN(**coarse), data_list.parent / "out" / "coarse" / "model.pt")
    done = subprocess.run(
        command,
        cwd=bundle_root(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(rows_of(data_list.parent / "out" / "log.csv")) == 1
    assert len(checked_weights(data_list.parent / "out" / "model.pt")) == 64


def test_weights_with_another_hash_are_refused(weights: Path) -> None:
    assert len(checked_weights(weights)) == 64
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(ValueError, match=r"should have SHA-256 .*; it has"):
        checked_weights(weights)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*model\.pt"):
        checked_weights(tmp_path / "model.pt")


def test_folder_from_the_environment_is_never_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "$__import__('os').system('false')@x%y,z#"
    monkeypatch.setenv("LIVERSEG_INPUT", name)
    parser = ConfigParser()
    parser.read_config(INFERENCE)
    assert parser.get_parsed_content("dataset_dir") == name


def test_copied_bundle_runs_with_its_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(CONFIGS, tmp_path / "copy" / "configs")
    monkeypatch.chdir(tmp_path / "copy")
    assert working_bundle() == tmp_path / "copy"
    monkeypatch.chdir(tmp_path)
    assert working_bundle() == bundle_root()


def test_unset_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVERSEG_INPUT", raising=False)
    with pytest.raises(ValueError, match="LIVERSEG_INPUT should name a folder"):
        folder_from_environment("LIVERSEG_INPUT")
