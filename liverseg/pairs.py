"""Find which prediction belongs to which reference."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".nii.gz", ".nii")
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# Of the output folder of `liverseg segment`.
CASES, MASK, LINKAGE = "cases", "liver.nii.gz", "linkage.csv"


@dataclass(frozen=True)
class Pairs:
    """What belongs together.

    Args:
        files: case to (prediction, reference), in order of case; a case is named as its reference,
            without .nii.gz.
        lone_predictions: names of predictions without a reference.
        lone_references: names of references without a prediction.
    """

    files: dict[str, tuple[Path, Path]]
    lone_predictions: tuple[str, ...] = ()
    lone_references: tuple[str, ...] = ()

    @property
    def unpaired(self) -> str:
        """What stands alone, as text; "" where nothing does."""
        alone = (("predictions", self.lone_predictions), ("references", self.lone_references))
        return "; ".join(f"{role} {', '.join(names)}" for role, names in alone if names)


def pairs(prediction: Path, reference: Path) -> Pairs:
    """Pair two files, or the files of two folders by their names.

    In an output folder of `liverseg segment` a case is named by its case id or, where linkage.csv
    knows it, as the file, folder or archive that it came from, where only one did.

    Args:
        prediction: a .nii(.gz), a folder of those, or an output folder of `liverseg segment`.
        reference: as prediction; a file for a file, a folder for a folder.

    Raises:
        FileNotFoundError: one of the two does not exist.
        ValueError: one is a file and the other a folder, or a folder has two files of one name.
    """
    for name, path in (("prediction", prediction), ("reference", reference)):
        if not path.exists():
            raise FileNotFoundError(f"the {name} should exist: {path}")
    if prediction.is_dir() != reference.is_dir():
        raise ValueError("prediction and reference should both be files or both be folders")
    if prediction.is_file():
        return Pairs({_name_of_file(reference): (prediction, reference)})
    predictions, references = _masks_in(prediction), _masks_in(reference)
    aliases = _aliases(prediction)
    found = {}
    used = set()
    for name in sorted(references):
        known_as = name if name in predictions else aliases.get(name, name)
        if known_as in predictions:
            found[name] = (predictions[known_as], references[name])
            used.add(known_as)
    return Pairs(
        found,
        tuple(sorted(predictions.keys() - used)),
        tuple(sorted(references.keys() - found.keys())),
    )


def _name_of_file(path: Path) -> str:
    if path.name == MASK and path.resolve().parent.parent.name == CASES:
        return path.resolve().parent.name
    return case_name(path.name)


def case_name(name: str) -> str:
    """The name of a case: that of its file without .nii.gz or .nii."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _masks_in(folder: Path) -> dict[str, Path]:
    """Name to file: of a folder of masks, or of an output folder of `liverseg segment`."""
    if (folder / CASES).is_dir():
        masks = (folder / CASES).glob(f"*/{MASK}")
        return {path.parent.name: path for path in masks}
    named: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = case_name(path.name)
        # Some systems put a hidden file beside every file on a foreign disk: "._case.nii.gz".
        if name == path.name or path.name.startswith(".") or not path.is_file():
            continue
        if name in named:
            raise ValueError(
                f"a folder should hold one file for a case; {named[name].name} and {path.name} "
                "are two"
            )
        named[name] = path
    return named


def _aliases(folder: Path) -> dict[str, str]:
    """Name of a source to its case id, of an output folder; names of several cases are left out."""
    path = folder / LINKAGE
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = [
            (name, row["case_id"])
            for row in csv.DictReader(file)
            if row.get("source") and row.get("case_id")
            for name in _names_of(Path(row["source"]).name)
        ]
    counts = Counter(name for name, _ in rows)
    return {name: case_id for name, case_id in rows if counts[name] == 1}


def _names_of(source: str) -> set[str]:
    """What a case may be called by its source: an archive with its suffix or without."""
    for suffix in ARCHIVES:
        if source.lower().endswith(suffix):
            return {source, source[: -len(suffix)]}
    return {case_name(source)}
