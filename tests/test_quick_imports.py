"""What nobody needs is not imported, and is there again afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest

from liverseg.quick_imports import left_out


def test_packages_are_as_if_not_installed_within_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with left_out(["colorsys"]), pytest.raises(ModuleNotFoundError, match="left out here"):
        import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_what_is_imported_already_stays() -> None:
    with left_out(["sys", "subprocess"]):
        import subprocess as again
    assert again is subprocess


def test_pipeline_loads_without_what_monai_takes_along() -> None:
    code = (
        "import sys; from liverseg.quick_imports import MONAI_EXTRAS, left_out\n"
        "from liverseg.pipeline import load_pipeline\n"
        "with left_out(MONAI_EXTRAS): load_pipeline('cpu')\n"
        "print([name for name in MONAI_EXTRAS if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
