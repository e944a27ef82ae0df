"""Reads lists of training cases in the format of the Medical Segmentation Decathlon.

The format is JSON: an object with the sections "training", "validation" and "test", each a list of
``{"image": path, "label": path}``; an item of "test" may be a plain path. An item of "training" may
also name "coarse": weights of a coarse network that was trained without it, whose answer is then
what the fine network is given for it. A path is taken as it is written: no character in it has a
meaning. The Decathlon's own lists have no "validation": then every fifth case of "training" is
validation, and "training" is the others. A "validation" that is an empty list holds nothing out.
"""

from __future__ import annotations

import json
from pathlib import Path

SECTIONS = ("training", "validation", "test")
# Without a validation section, training case i is validation where i % VALIDATION_EVERY is 0.
VALIDATION_EVERY = 5
# The files a case of a section has to name; a test case has no label to compare with.
WANTED_KEYS = {
    "training": ("image", "label"),
    "validation": ("image", "label"),
    "test": ("image",),
}


def load_data_list(path: Path, base_dir: Path | None, section: str) -> list[dict[str, str]]:
    """Reads one section of a data list and makes sure that every file it names is there.

    Args:
        path: the list, a JSON file.
        base_dir: the folder that relative paths in the list start from; None is the list's own.
        section: "training", "validation" or "test".

    Returns:
        One dictionary a case with the paths of "image" and, where the list has them, "label" and
        "coarse", in the list's order. Empty only for a "test" or "validation" section that is.

    Raises:
        FileNotFoundError: the list, the folder, or files that the section names are not there.
        ValueError: the list is not JSON, has no such section, no case in it or too few to hold
            some out, an item is no case, or an image is in training and in validation.
    """
    if section not in SECTIONS:
        raise ValueError(f"a section should be one of {', '.join(SECTIONS)}; got {section!r}")
    contents = _contents(path)
    _check_apart(contents, path)
    folder = path.parent if base_dir is None else base_dir
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder of the data should be a folder; {folder} is none")
    cases = [
        _case(item, folder, f"{path}: {name}[{index}]", WANTED_KEYS[section])
        for name, index, item in _items(contents, section, path)
    ]
    wanted = [file for case in cases for file in case.values()]
    missing = [file for file in wanted if not Path(file).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{path}: {section} names {len(wanted)} files, {len(missing)} of them are not there; "
            f"the first is {missing[0]}"
        )
    return cases


def _contents(path: Path) -> dict[str, object]:
    """Returns the JSON object of a list."""
    if not path.is_file():
        raise FileNotFoundError(f"a data list should be a JSON file; there is none at {path}")
    try:
        contents = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} should be JSON in UTF-8; byte {error.start} is not") from error
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path} should be JSON; line {error.lineno} column {error.colno}: {error.msg}"
        ) from error
    if not isinstance(contents, dict):
        raise ValueError(f"{path} should hold a JSON object; got {type(contents).__name__}")
    return contents


def _check_apart(contents: dict[str, object], path: Path) -> None:
    """Refuses a list that trains on an image which it also validates with."""

    def images(section: str) -> set[str]:
        items = contents.get(section)
        named = items if isinstance(items, list) else []
        return {str(item.get("image")) for item in named if isinstance(item, dict)}

    both = sorted(images("training") & images("validation"))
    if both:
        raise ValueError(
            f"{path} should not train on what it validates with; {len(both)} images are in both "
            f"sections, the first is {both[0]}"
        )


def _items(contents: dict[str, object], section: str, path: Path) -> list[tuple[str, int, object]]:
    """Returns the section's items, each with the section and the index it is written at."""
    has_validation = isinstance(contents.get("validation"), list)
    source = "training" if section == "validation" and not has_validation else section
    items = contents.get(source)
    if not isinstance(items, list):
        present = [name for name in SECTIONS if isinstance(contents.get(name), list)]
        raise ValueError(
            f"{path} should have a list called {source!r}; it has {', '.join(present) or 'none'}"
        )
    numbered = [(source, index, item) for index, item in enumerate(items)]
    if section == "test" or (section == "validation" and has_validation):
        return numbered
    least = 1 if has_validation else 2
    if len(numbered) < least:
        held_out = "" if has_validation else ", or a validation section"
        raise ValueError(
            f"{path} should have at least {least} cases in {source!r}{held_out}; got {len(items)}"
        )
    if has_validation:
        return numbered
    validating = section == "validation"
    return [entry for entry in numbered if (entry[1] % VALIDATION_EVERY == 0) == validating]


def _case(item: object, folder: Path, where: str, wanted: tuple[str, ...]) -> dict[str, str]:
    """Returns the paths of one item, those that are relative joined to the folder."""
    files = {"image": item} if isinstance(item, str) else item
    if not isinstance(files, dict):
        raise ValueError(f"{where} should be an object with {' and '.join(wanted)}; got {item!r}")
    case = {}
    for key in ("image", "label", "coarse"):
        name = files.get(key)
        if isinstance(name, str) and name:
            # Joining an absolute path leaves it as it is.
            case[key] = str(folder / name)
        elif key in wanted or name is not None:
            raise ValueError(f"{where} should name a file as {key!r}; got {name!r}")
    return case
