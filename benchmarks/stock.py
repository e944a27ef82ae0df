"""The stock MONAI pipeline that benchmarks.speed measures ours against: SCAN FOLDER DEVICE.

Without arguments, as in `make bench`, it says what it is for.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib

from liverseg.job import Stopwatch

if TYPE_CHECKING:
    import torch
    from monai.bundle import ConfigParser
    from monai.transforms import Compose


def main(scan: Path, folder: Path, device: str) -> None:
    """Write folder/stock.nii.gz."""
    Stock(device).segment(scan, folder / "stock.nii.gz", Stopwatch())


class Stock:
    """The pipeline, its networks loaded.

    Args:
        device: where they are.
    """

    def __init__(self, device: str) -> None:
        from monai.bundle import ConfigParser

        from liverseg.bundle_files import bundle_root

        self.parser = ConfigParser()
        self.parser.read_config(str(bundle_root() / "configs" / "inference.yaml"))
        self.coarse, self.fine = networks(self.parser, device)
        self.device = device

    def segment(self, scan: Path, mask: Path, watch: Stopwatch) -> None:
        """Write the mask of a scan, and count the seconds of each stage."""
        import torch
        from monai.inferers import sliding_window_inference

        from liverseg.cascade import coarse_image, guidance, with_coarse
        from liverseg.heads import liver_logit

        pre, factor = preprocessing(self.parser), self.parser["factor"]
        with tempfile.TemporaryDirectory() as unpacked, torch.no_grad():
            with watch.stage("reading, preprocessing"):
                data = pre({"image": str(nifti(scan, Path(unpacked)))})
            with watch.stage("network"):
                image = data["image"][None].to(self.device)
                window = {"roi_size": (96, 96, 96), "sw_batch_size": 1, "overlap": 0.5}
                # Not in windows: it is smaller than one, which MONAI would fill up with 0, that is
                # -125 HU, and the coarse network takes the end of a scan for another one
                # (benchmarks.agreement).
                looked = self.coarse(coarse_image(image.as_tensor(), factor))
                guide = guidance(liver_logit(looked), image.shape[2:], factor)
                both = torch.cat([image.as_tensor(), guide], dim=1)
                logits = sliding_window_inference(
                    both, predictor=self.fine, mode="gaussian", **window
                )
                weight = self.parser["coarse_weight"]
                logits[:, 1:] = with_coarse(logits[:, 1:], guide, weight)
                data["pred"] = logits[0].cpu()
            with watch.stage("postprocessing"):
                found = postprocessing(pre)(data)["pred"]
            with watch.stage("writing"):
                array = found[0].numpy().astype("uint8")
                original = data["image"].meta["original_affine"]
                nib.save(nib.Nifti1Image(array, original), mask)


def networks(parser: ConfigParser, device: str) -> list[torch.nn.Module]:
    """The coarse and the fine network of the bundle, with their weights."""
    import torch

    import liverseg.dsn  # noqa: F401  makes `_target_: DSN` known
    from liverseg.bundle_files import bundle_root

    loaded = []
    for key, file in (("coarse_network_def", "coarse.pt"), ("network_def", "model.pt")):
        network = parser.get_parsed_content(key)
        state = torch.load(bundle_root() / "models" / file, weights_only=True)
        network.load_state_dict(state)
        loaded.append(network.to(device).eval())
    return loaded


def preprocessing(parser: ConfigParser) -> Compose:
    """MONAI's own way from a file to the network's grid."""
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        LoadImaged,
        Orientationd,
        ScaleIntensityRanged,
        Spacingd,
    )

    low, high = parser["window"]
    return Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS"),
            Spacingd("image", pixdim=parser["spacing_mm"], mode="bilinear"),
            ScaleIntensityRanged("image", low, high, 0.0, 1.0, clip=True),
        ]
    )


def postprocessing(pre: Compose) -> Compose:
    """And the way back, on the full grid."""
    from monai.transforms import (
        Activationsd,
        AsDiscreted,
        Compose,
        Invertd,
        KeepLargestConnectedComponentd,
    )

    return Compose(
        [
            Activationsd("pred", softmax=True),
            Invertd("pred", transform=pre, orig_keys="image", nearest_interp=False),
            AsDiscreted("pred", argmax=True),
            KeepLargestConnectedComponentd("pred", applied_labels=[1]),
        ]
    )


def nifti(scan: Path, folder: Path) -> Path:
    """The scan as a NIfTI file; MONAI's own readers do not open an archive of DICOM."""
    from liverseg.outputs import write_nifti
    from liverseg.scans import found_scans, read_scan

    with found_scans([scan]) as scans:
        volume = read_scan(next(one for one in scans if one.accepted))
    write_nifti(folder / "ct.nii.gz", volume.image, volume.affine)
    return folder / "ct.nii.gz"


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print("benchmarks.stock is what benchmarks.speed runs")
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
