"""The stock MONAI pipeline that benchmarks.speed measures ours against: SCAN FOLDER DEVICE.

Without arguments, as in `make bench`, it says what it is for.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nibabel as nib


def main(scan: Path, folder: Path, device: str) -> None:
    """Write folder/stock.nii.gz."""
    import torch
    from monai.bundle import ConfigParser
    from monai.inferers import sliding_window_inference
    from monai.transforms import (
        Activationsd,
        AsDiscreted,
        Compose,
        EnsureChannelFirstd,
        Invertd,
        KeepLargestConnectedComponentd,
        LoadImaged,
        Orientationd,
        ScaleIntensityRanged,
        Spacingd,
    )

    import liverseg.dsn  # noqa: F401  makes `_target_: DSN` known
    from liverseg.bundle_files import bundle_root
    from liverseg.cascade import coarse_image, guidance
    from liverseg.heads import liver_logit

    parser = ConfigParser()
    parser.read_config(str(bundle_root() / "configs" / "inference.yaml"))
    networks = []
    for key, file in (("coarse_network_def", "coarse.pt"), ("network_def", "model.pt")):
        network = parser.get_parsed_content(key)
        state = torch.load(bundle_root() / "models" / file, weights_only=True)
        network.load_state_dict(state)
        networks.append(network.to(device).eval())
    coarse, fine = networks
    low, high = parser["window"]
    factor = parser["factor"]
    pre = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS"),
            Spacingd("image", pixdim=parser["spacing_mm"], mode="bilinear"),
            ScaleIntensityRanged("image", low, high, 0.0, 1.0, clip=True),
        ]
    )
    post = Compose(
        [
            Activationsd("pred", softmax=True),
            Invertd("pred", transform=pre, orig_keys="image", nearest_interp=False),
            AsDiscreted("pred", argmax=True),
            KeepLargestConnectedComponentd("pred", applied_labels=[1]),
        ]
    )
    with tempfile.TemporaryDirectory() as unpacked, torch.no_grad():
        data = pre({"image": str(nifti(scan, Path(unpacked)))})
        image = data["image"][None].to(device)
        window = {"roi_size": (96, 96, 96), "sw_batch_size": 1, "overlap": 0.5, "mode": "gaussian"}
        small = coarse_image(image.as_tensor(), factor)
        looked = sliding_window_inference(small, predictor=coarse, **window)
        guide = guidance(liver_logit(looked), image.shape[2:], factor)
        both = torch.cat([image.as_tensor(), guide], dim=1)
        data["pred"] = sliding_window_inference(both, predictor=fine, **window)[0].cpu()
        mask = post(data)["pred"]
    reference = data["image"].meta
    array = mask[0].numpy().astype("uint8")
    original = reference["original_affine"]
    nib.save(nib.Nifti1Image(array, original), folder / "stock.nii.gz")


def nifti(scan: Path, folder: Path) -> Path:
    """The scan as a NIfTI file; MONAI's own readers do not open an archive of DICOM."""
    from liverseg.outputs import write_nifti
    from liverseg.scans import found_scans, read_scan

    with found_scans([scan]) as scans:
        volume = read_scan(next(one for one in scans if one.accepted))
    write_nifti(folder / "ct.nii.gz", volume.image, volume.affine, gzip_level=1)
    return folder / "ct.nii.gz"


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print("benchmarks.stock is what benchmarks.speed runs")
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
