"""The options of the command that are numbers: what a scan may use and what is too large."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace

from liverseg.limits import GIB, Limits
from liverseg.sizes import ORDINARY_SIZES, Sizes


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"should be a whole number from 1; got {text!r}")
    return int(text)


def above_zero(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"should be a number above 0; got {text!r}")
    return number


def from_one(text: str) -> float:
    """A number from 1."""
    number = above_zero(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"should be a number from 1; got {text!r}")
    return number


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """What is too large; each default is that of liverseg.sizes.Sizes."""
    limits = parser.add_argument_group("what is too large", "refused before anything is allocated")
    ordinary = ORDINARY_SIZES
    for name, parse, metavar, default, what in (
        ("voxels", positive, "N", f"{ordinary.voxels}", "of one volume"),
        ("slices", positive, "N", f"{ordinary.slices}", "of one series"),
        ("file-size", above_zero, "GIB", f"{ordinary.file_bytes / GIB:g}", "of one file"),
        ("ratio", from_one, "R", f"{ordinary.ratio:g}", "of unpacked to packed bytes"),
        ("archive", above_zero, "GIB", f"{ordinary.archive_bytes / GIB:g}", "out of one archive"),
        ("members", positive, "N", f"{ordinary.members}", "files and folders of one archive"),
        ("kept", above_zero, "GIB", f"{ordinary.kept_bytes / GIB:g}", "of archives kept unpacked"),
    ):
        limits.add_argument(
            f"--max-{name}", type=parse, metavar=metavar, help=f"{what} (default: {default})"
        )


def limits_of(args: argparse.Namespace) -> Limits:
    """What the command line lets the scans use."""
    memory = None if args.memory_limit is None else math.ceil(args.memory_limit * GIB)
    return Limits(args.timeout, memory, args.workers)


def sizes_of(args: argparse.Namespace) -> Sizes:
    """What is too large, as the command line says."""
    given = {
        "voxels": args.max_voxels,
        "slices": args.max_slices,
        "ratio": args.max_ratio,
        "members": args.max_members,
    }
    in_gib = {
        "file_bytes": args.max_file_size,
        "archive_bytes": args.max_archive,
        "kept_bytes": args.max_kept,
    }
    given |= {name: math.ceil(value * GIB) for name, value in in_gib.items() if value is not None}
    return replace(ORDINARY_SIZES, **{k: v for k, v in given.items() if v is not None})
