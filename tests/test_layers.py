"""Who may import whom, and what stays out of the way of a quick answer."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "liverseg"
MAX_LINES = 300

# What each module may import of ours. A package (dicom, report) may import itself as well.
# Methods, formats and files know nothing but the errors.
BASE = {"errors", "sizes"}
FILES = BASE | {
    "gzip_head",
    "dicom",
    "nifti",
    "nifti_sniff",
    "archive",
    "walk",
    "gather",
    "foreign",
    "packed",
}
MODEL = BASE | {"dsn", "crf", "grid", "metrics", "surface", "inferer", "supervision", "datalist"}
ENGINES_OF_OURS = {
    "engine",
    "engine_names",
    "engine_torch",
    "engine_openvino",
    "openvino_models",
    "cache",
}
ENGINE = {"memory", "tiling", "heads", "cascade"} | ENGINES_OF_OURS
SCANS = {"scan", "scans", "transforms"}
OUTSIDE = SCANS | {"refinement", "training", "report", "outputs", "bundle_files"}
SINGLE = FILES | MODEL | ENGINE | OUTSIDE
ALONE = BASE | {
    "failure",
    "interrupts",
    "limits",
    "lock",
    "memory",
    "quick_imports",
}  # one scan's trouble
BATCH = SINGLE | ALONE | {"uneven", "identity", "pipeline", "manifest", "job"}
BATCH |= {"case", "case_files", "conversion", "isolation", "layout", "segmented"}
BATCH |= {"crew", "record", "selection"}
COMMAND = BATCH | {"batch", "about", "arguments", "demo", "demo_ct", "progress", "tables"}
COMMAND |= {"interrupts", "size_options", "streams"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"batch", "dsn", "errors"},  # each when first used
    "errors": set(),
    "sizes": set(),
    "dsn": BASE | {"blocks"},
    **dict.fromkeys(("blocks", "gaussians", "surface", "interpolation"), BASE),
    "gzipped": set(),
    "gzip_head": set(),
    "report": BASE | {"gzipped"},
    "dicom": BASE | {"gzip_head", "hounsfield"},
    "metrics": BASE | {"surface"},
    "label_map": set(),
    "masks": BASE | {"surface", "label_map"},
    "pairs": BASE,
    "summary": BASE,
    "evaluate": BASE | {"metrics", "surface", "masks", "pairs", "outputs"},
    "plots": BASE | {"metrics", "evaluate", "masks", "outputs"},
    "scoring": {"metrics", "evaluate", "pairs"},
    "score_table": {"metrics", "summary", "tables"},
    **dict.fromkeys(("uneven", "component", "memory", "tiling", "heads", "cache"), BASE),
    "quick_imports": set(),
    "engine_torch": {"heads"},
    "openvino_models": {"cache", "heads"},
    "engine_openvino": {"engine_torch", "openvino_models", "heads"},
    "engine_names": set(),
    "engine": {"engine_torch", "engine_openvino", "engine_names"},
    "cascade": {"tiling", "inferer", "component"},
    "grid": BASE | {"interpolation", "resampler", "uneven"},
    "resampler": {"interpolation"},
    "hounsfield": set(),
    "nifti": BASE | {"gzip_head", "hounsfield", "nifti_sniff"},
    "nifti_sniff": set(),
    **dict.fromkeys(("walk", "datalist", "bundle_files"), BASE),
    "outputs": {"gzipped"},
    "archive": BASE | {"gzip_head", "limits"},
    **dict.fromkeys(("gather", "foreign"), FILES),
    "packed": FILES | {"lock"},
    "scan": FILES,
    "fingerprint": FILES | {"scan"},
    "intake": FILES | {"scan", "fingerprint"},
    "scans": FILES | {"scan", "intake", "headers", "lock"},
    "identity": {"fingerprint", "layout", "scan"},
    "inferer": {"memory", "tiling"},
    **dict.fromkeys(("supervision", "training_log"), MODEL | {"transforms", "cascade"}),
    "training": MODEL | {"transforms", "cascade", "weight_files"},
    **dict.fromkeys(("augment", "losses", "weight_average", "weight_files", "processes"), BASE),
    "muon": set(),
    "normalisation": {"weight_average"},
    "training_data": {"bundle_files", "cascade", "grid", "heads", "inferer", "weight_files"},
    "coarse_inferer": {"cascade", "inferer"},
    "export": {"heads", "openvino_models"},
    "crf": BASE | {"gaussians"},
    "refinement": BASE | {"crf"},
    "transforms": FILES | MODEL | {"cleaning", "scans", "label_map"},
    "cleaning": {"cascade", "component"},
    **dict.fromkeys(("pipeline", "failure", "manifest", "case", "batch"), BATCH),
    **dict.fromkeys(("case_files", "conversion", "segmented"), BATCH),
    "layout": set(),
    "disagreement": set(),
    **dict.fromkeys(("about", "arguments", "progress", "tables"), BATCH | {"size_options"}),
    "limits": set(),
    "size_options": BASE | {"limits"},
    "lock": {"outputs"},
    "streams": set(),
    # The processes that do the work are told what to do by what they are sent.
    "worker": {"failure", "job", "restrain", "scans", "quick_imports"},
    "header_worker": BASE | {"dicom", "failure", "restrain"},
    "restrain": set(),
    "child": BASE | {"limits"},
    "interrupts": set(),
    "headers": BASE | {"dicom", "child", "interrupts", "limits"},
    **dict.fromkeys(("job", "isolation"), ALONE | {"child", "manifest", "scans", "job"}),
    "crew": ALONE | {"child", "manifest", "scans", "job", "isolation"},
    "record": {"job", "manifest", "scans"},
    "selection": {"layout", "scans"},
    "train_run": SINGLE | {"pipeline"},
    "demo_ct": BASE | {"cache"},
    "demo": BATCH | {"batch", "demo_ct", "cache"},
    "cli": COMMAND | {"train_run", "evaluate", "score_table", "plots"},
}
NO_ENGINES = (
    "dsn",
    "blocks",
    "crf",
    "gaussians",
    "grid",
    "metrics",
    "surface",
    "dicom",
    "report",
    "nifti",
    "archive",
    "scans",
)
ENGINES = ("monai.engines", "monai.handlers", "ignite")
MODULES = sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    """The name of a module, or of the package that it is part of."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every module that a module imports, at its head or within."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports should be absolute"
            yield node.module or ""
            if node.module == "liverseg":
                yield from (f"liverseg.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    name = layer(path)
    assert name in MAY_IMPORT, "a new module should be given its place in MAY_IMPORT"
    ours = {module.split(".")[1] for module in imported(path) if module.startswith("liverseg.")}
    assert ours - MAY_IMPORT[name] - {name, "__version__"} == set()
    if name in NO_ENGINES:
        assert not [module for module in imported(path) if module.startswith(ENGINES)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_short_and_says_what_it_does(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES
    assert text.startswith(('"""', 'r"""'))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_prints_or_exits(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    if layer(path) not in ("cli", "streams"):
        assert not called & {"print", "sys.exit", "exit", "os._exit"}


def test_the_layers_have_no_circle() -> None:
    # `report` and `dicom` import nothing above them, so following the imports must end.
    imports: dict[str, set[str]] = {}
    for path in MODULES:
        name = layer(path)
        if name != "__init__":
            ours = {m.split(".")[1] for m in imported(path) if m.startswith("liverseg.")}
            imports.setdefault(name, set()).update(ours - {name, "__version__"})
    ended: set[str] = set()

    def below(name: str, above: tuple[str, ...] = ()) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in ended:
            for other in imports.get(name, ()):
                below(other, (*above, name))
            ended.add(name)

    for name in imports:
        below(name)


def test_the_command_loads_without_torch_and_monai() -> None:
    heavy = ("torch", "monai", "scipy", "highdicom", "matplotlib", "openvino")
    code = f"import sys, liverseg.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_package_is_installed() -> None:
    """A package that setup.cfg does not name is in no wheel."""
    config = configparser.ConfigParser()
    config.read(PACKAGE.parent / "setup.cfg")
    named = set(config["options"]["packages"].split())
    there = {path.parent.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("__init__.py")}
    assert {".".join(folder.parts) for folder in there} <= named
