"""nnU-Net's predictor beside our network: seconds of a window, and how many windows a scan has.

    python -m benchmarks.nnunet [--mirroring] [--whole]

The network is the one that nnU-Net 2 plans for abdominal CT at full resolution (1.0 x 0.77 x
0.77 mm, windows of 128 x 128 x 128, six stages of up to 320 channels), with random weights, which
are as fast as trained ones. One window goes through its predictor; how many a scan takes is
counted by nnU-Net's own rule for 3D-IRCADb-01 patient 1 (206 x 292 x 292 mm), and with --whole they
all do: its network alone, nothing read, resampled or written. Beside it, as many voxels as a window
has through our fine network. Leaves the table out where nnunetv2 cannot be imported; it
is no part of the extras: pip install nnunetv2.
"""

from __future__ import annotations

import argparse
import time

import torch

SPACING_MM = (1.0, 0.767, 0.767)
SIZE_MM = (206.4, 291.8, 291.8)
WINDOW = (128, 128, 128)
FEATURES = [32, 64, 128, 256, 320, 320]
# As much of a plan as the predictor reads.
CONFIGURATION = {
    "patch_size": list(WINDOW),
    "batch_size": 2,
    "architecture": {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {},
        "_kw_requires_import": [],
    },
}


def predictor(mirroring: bool) -> object:
    """nnU-Net's predictor with a random network."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
    from torch import nn

    stages = len(FEATURES)
    network = PlainConvUNet(
        1,
        stages,
        FEATURES,
        nn.Conv3d,
        [[3, 3, 3]] * stages,
        [[1, 1, 1], *[[2, 2, 2]] * (stages - 1)],
        [2] * stages,
        2,
        [2] * (stages - 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    ).eval()
    plans = PlansManager(
        {
            "image_reader_writer": "SimpleITKIO",
            "label_manager": "LabelManager",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "configurations": {"3d_fullres": CONFIGURATION},
        }
    )
    made = nnUNetPredictor(
        use_mirroring=mirroring,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}}
    axes = (0, 1, 2)
    made.manual_initialization(
        network,
        plans,
        plans.get_configuration("3d_fullres"),
        [network.state_dict()],
        dataset,
        "nnUNetTrainer",
        axes,
    )
    return made


def main() -> None:
    """Print the table, or why there is none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--mirroring", action="store_true", help="eight passes a window, as default"
    )
    parser.add_argument("--whole", action="store_true", help="the whole scan, not one window")
    told, _ = parser.parse_known_args()
    try:
        from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

        made = predictor(told.mirroring)
    except ImportError as error:
        print(f"nnU-Net is left out: {error}")
        return
    from liverseg.pipeline import load_pipeline

    shape = tuple(round(mm / step) for mm, step in zip(SIZE_MM, SPACING_MM, strict=True))
    steps = compute_steps_for_sliding_window(shape, WINDOW, 0.5)
    windows = len(steps[0]) * len(steps[1]) * len(steps[2])
    image = torch.rand(1, *(shape if told.whole else WINDOW))
    start, used = time.perf_counter(), time.process_time()
    made.predict_sliding_window_return_logits(image)  # type: ignore[attr-defined]
    spent, used = time.perf_counter() - start, time.process_time() - used
    one = "one window of 128 x 128 x 128"
    print(f"{f'{windows} windows, the scan' if told.whole else one:<35}wall s   processor s")
    ways = 8 if told.mirroring else 1
    print(f"nnU-Net 3d_fullres, {ways} pass{'es' * (ways > 1):<7}{spent:12.1f}{used:14.1f}")
    network = load_pipeline("cpu").network
    given = torch.rand(1, 2, *WINDOW)
    with torch.inference_mode():
        network(given)
        start, used = time.perf_counter(), time.process_time()
        network(given)
        spent, used = time.perf_counter() - start, time.process_time() - used
    print(f"ours, one window, {network.name:<11}{spent:12.2f}{used:14.2f}")  # type: ignore[attr-defined]
    print(f"windows that nnU-Net takes for the scan, {shape} voxels: {windows}")


if __name__ == "__main__":
    main()
