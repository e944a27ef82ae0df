"""The page of one scan: one HTML file with slices and 3D to move through, that asks no network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from liverseg.report.embed import HIGHEST_HU, LOWEST_HU, STEP_HU, Embedded
from liverseg.report.picture import WINDOW_HU

NIIVUE_VERSION = "0.69.0"
NIIVUE_SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"
# Presets of the viewer, HU; the first one is shown at first.
WINDOWS = {
    "Soft tissue": (int(WINDOW_HU[0]), int(WINDOW_HU[1])),
    "Liver": (20, 180),
    "Liver without contrast": (0, 110),
    "Wide": (LOWEST_HU, HIGHEST_HU),
}
NOSCRIPT_STYLE = ".viewer { display: none; } .static { display: block; }"
DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"


def page(case_id: str, report: Mapping[str, Any], embedded: Embedded, picture_png: bytes) -> str:
    """The page of a scan.

    Args:
        case_id: as in the manifest.
        report: what report.json holds; times are not shown, so that the page does not depend on
            how fast the machine was.
        embedded: the volumes to move through.
        picture_png: shown where the volumes cannot be: on paper, without WebGL.

    Returns:
        HTML, every text in it escaped.
    """
    library, script, style = resource("vendor/niivue.umd.js"), template("report.js"), _style()
    volumes = {
        "image": _text(embedded.image),
        "mask": _text(embedded.mask),
        "solid": _text(embedded.solid),
        "disagreement": None if embedded.disagreement is None else _text(embedded.disagreement),
        "shape": embedded.shape,
        "start": embedded.start,
        "windows": list(WINDOWS.values()),
    }
    return Template(template("report.html")).substitute(
        policy=policy([library, script], [style, NOSCRIPT_STYLE]),
        style=style,
        case_id=escape(case_id),
        figures=_figures(report),
        flags=_flags(report["flags"]),
        picture=_text(picture_png),
        windows=_window_choices(),
        disagreement=_disagreement_choice(embedded),
        shown=escape(_shown(embedded)),
        measurements=facts(_measurements(report)),
        geometry=facts(_geometry(report["geometry"])),
        versions=facts(_versions(report)),
        niivue=NIIVUE_VERSION,
        # "<" would end the element, whatever it stands in.
        volumes=json.dumps(volumes).replace("<", "\\u003c"),
        library=library,
        script=script,
    )


def policy(scripts: Sequence[str], styles: Sequence[str], images: str = "data:") -> str:
    """A Content-Security-Policy that allows these inline texts and nothing else.

    Args:
        scripts: what stands in the page's script elements.
        styles: what stands in its style elements.
        images: where pictures may come from.
    """

    def hashes(texts: Sequence[str]) -> str:
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes(scripts)}; style-src {hashes(styles)}; "
        f"img-src {images}; base-uri 'none'; form-action 'none'"
    )


@cache
def resource(name: str) -> str:
    """A text file of this package."""
    return files("liverseg.report").joinpath(name).read_text(encoding="utf-8")


def template(name: str) -> str:
    """A file of templates/."""
    return resource(f"templates/{name}")


def _style() -> str:
    return template("style.css")


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Rows of a table of names and values, escaped."""
    return "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in pairs
    )


def figure(name: str, value: str, unit: str = "", kind: str = "") -> str:
    """A large number with its name, escaped."""
    mark = f' class="{kind}"' if kind else ""
    tail = f'<span class="unit">{escape(unit)}</span>' if unit and value != DASH else ""
    return f"<div{mark}><dt>{escape(name)}</dt><dd>{escape(value)}{tail}</dd></div>"


def number(value: float | None, decimals: int = 2) -> str:
    """A number as the page shows it; a dash where it is undefined."""
    return DASH if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def _with_unit(value: float | None, unit: str) -> str:
    """A number and its unit; a dash alone where it is undefined."""
    shown = number(value)
    return shown if shown == DASH else f"{shown} {unit}"


def _figures(report: Mapping[str, Any]) -> str:
    shown = [
        figure("Volume", number(report["volume_ml"]), "ml", "main"),
        figure("Mean", number(report["mean_hu"]), "HU"),
        figure("Standard deviation", number(report["std_hu"]), "HU"),
        figure("Extent", f" {TIMES} ".join(number(mm, 0) for mm in report["extent_mm"]), "mm"),
    ]
    if report.get("disagreement") is not None:
        shown.append(figure("Disagreement of heads", number(report["disagreement"])))
    return "".join(shown)


def _flags(flags: Sequence[Mapping[str, str]]) -> str:
    """The flags, notes last; a calm sentence where there are none."""
    if not flags:
        return '<p class="card calm">Nothing was flagged.</p>'
    items = []
    for flag in sorted(flags, key=lambda flag: flag["code"] == "NOTE"):
        is_note = flag["code"] == "NOTE"
        mark = ' class="note"' if is_note else ""
        code = "" if is_note else f'<span class="code">{escape(flag["code"])}</span>'
        items.append(f"<li{mark}>{escape(_sentence(flag['sentence']))}{code}</li>")
    return f'<ul class="card flags">{"".join(items)}</ul>'


def _sentence(text: str) -> str:
    """With a capital and a full stop, which what reading notes does not have."""
    text = text.strip()
    ended = text if text.endswith((".", "!", "?")) else f"{text}."
    return ended[:1].upper() + ended[1:]


def _window_choices() -> str:
    choices = []
    for index, (name, (low, high)) in enumerate(WINDOWS.items()):
        checked = " checked" if index == 0 else ""
        choices.append(
            f'<label class="choice" title="{low} to {high} HU"><input type="radio" name="window" '
            f'value="{index}"{checked}><span>{escape(name)}</span></label>'
        )
    return "".join(choices)


def _disagreement_choice(embedded: Embedded) -> str:
    if embedded.disagreement is None:
        return ""
    return (
        '<label class="slide"><input type="checkbox" id="disagreement">'
        "where the network's heads disagree</label>"
    )


def _shown(embedded: Embedded) -> str:
    """What the viewer does not show, in words."""
    grid = f" {TIMES} ".join(f"{mm:.2f}" for mm in embedded.spacing_mm)
    parts = [
        "cropped to the body and the liver's surroundings"
        if embedded.cropped
        else "the whole scan",
        f"{'resampled to' if embedded.resampled else 'voxels of'} {grid} mm",
        f"{LOWEST_HU} to {HIGHEST_HU} HU in steps of {STEP_HU}",
    ]
    return (
        f"Shown here: {'; '.join(parts)}. The numbers are measured on the scan itself. "
        "Arrow keys and Page Up, Page Down move through the slices; drag with the right mouse "
        "button to change the window."
    )


def _measurements(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [
        ("Volume", _with_unit(report["volume_ml"], "ml")),
        ("Mean", _with_unit(report["mean_hu"], "HU")),
        ("Median", _with_unit(report["median_hu"], "HU")),
        ("Standard deviation", _with_unit(report["std_hu"], "HU")),
        ("Extent", f" {TIMES} ".join(number(mm, 0) for mm in report["extent_mm"]) + " mm"),
        ("Reaches the border", _contact(report["border_contact_cm2"])),
    ]
    if report.get("components") is not None:
        found.append(("Components before cleaning", str(report["components"])))
    if report.get("removed_share") is not None:
        found.append(("Removed by cleaning", f"{100 * report['removed_share']:.2f} %"))
    if report.get("disagreement") is not None:
        found.append(("Disagreement of heads", number(report["disagreement"], 4)))
    return found


def _contact(areas_cm2: Mapping[str, float]) -> str:
    sides = [f"{side} {area:.1f} cm\N{SUPERSCRIPT TWO}" for side, area in areas_cm2.items()]
    return ", ".join(sides) or "no"


def _geometry(geometry: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Voxels", f" {TIMES} ".join(map(str, geometry["shape"]))),
        ("Spacing", f" {TIMES} ".join(f"{mm:.3f}" for mm in geometry["spacing_mm"]) + " mm"),
        ("Orientation of the axes", geometry["orientation"]),
    ]


def _versions(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    made = [*report["versions"].items(), ("engine", report["engine"])]
    return [*made, ("weights SHA-256", report["weights_sha256"])]


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
