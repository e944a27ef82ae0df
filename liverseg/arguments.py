"""The arguments of the command `liverseg`, as text and choices; nothing is run here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn, TypeAlias

from liverseg import __version__
from liverseg.layout import DEFAULT_OUTPUTS, OUTPUTS, wrong_outputs
from liverseg.limits import MEMORY_SHARE, ORDINARY_WORKERS, TIMEOUT_S
from liverseg.size_options import above_zero, add_sizes, positive

WRONG_USAGE = 2
RECIPES = ("default", "finetune", "paper", "blog", "paper-plain", "blog-plain")
NETWORKS = ("coarse", "fine")
NEIGHBOURS = {6: 1, 18: 2, 26: 3}  # to the connectivity of liverseg.surface


def _outputs(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    wrong = wrong_outputs(names)
    if wrong:
        raise argparse.ArgumentTypeError(wrong)
    return names


def _path(text: str) -> Path:
    # Path("") is the current folder, which an unset variable of a script does not mean.
    return Path(_given(text))


def _given(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("should not be empty")
    return text


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; argparse's own puts the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USAGE, f"liverseg: {message}; {self.prog} --help tells more\n")


def command_parser() -> argparse.ArgumentParser:
    """The parser of the command line; `command` names what was asked for."""
    parser = _Parser(
        prog="liverseg",
        description="Liver masks, volumes and reports from a hospital's CT folder. "
        "For research; not a medical device.",
        epilog="Exit status: 0 every scan done; 1 some scan rejected or failed; "
        "2 wrong usage or nothing found; 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"liverseg {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_batch_commands(commands)
    _add_other_commands(commands)
    return parser


# argparse has no public name for what add_subparsers gives.
_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def _add_batch_commands(commands: _Commands) -> None:
    segment = commands.add_parser("segment", help="mask, volume and report of every CT series")
    _add_inputs(segment)
    segment.add_argument("-o", "--output", type=_path, required=True, metavar="OUT")
    _add_device(segment)
    _add_series(segment)
    segment.add_argument(
        "--outputs",
        type=_outputs,
        default=DEFAULT_OUTPUTS,
        metavar="LIST",
        help=f"what to write, of {','.join(OUTPUTS)} (default: {','.join(DEFAULT_OUTPUTS)})",
    )
    segment.add_argument(
        "--resample-irregular",
        action="store_true",
        help="segment unevenly spaced slices too, flagged; they are refused otherwise",
    )
    segment.add_argument(
        "--refine",
        action="store_true",
        help="refine the masks with the paper's conditional random field, a few seconds of a "
        "processor more for each scan (default: off)",
    )
    _add_no_resume(segment, "segment again what an earlier run has finished")
    _add_limits(segment)
    add_sizes(segment)
    _add_common(segment)

    inspect = commands.add_parser("inspect", help="list the series found, each with its verdict")
    _add_inputs(inspect)
    inspect.add_argument("--json", action="store_true", help="a JSON list instead of a table")
    add_sizes(inspect)
    _add_common(inspect)

    convert = commands.add_parser("convert", help="accepted series as NIfTI, int16 HU, exact")
    _add_inputs(convert)
    convert.add_argument("-o", "--output", type=_path, required=True, metavar="OUT")
    _add_series(convert)
    _add_limits(convert)
    add_sizes(convert)
    _add_common(convert)


def _add_other_commands(commands: _Commands) -> None:
    train = commands.add_parser("train", help="run the bundle's training")
    train.add_argument(
        "--recipe",
        choices=RECIPES,
        default=RECIPES[0],
        help="how to train: from nothing; on from the bundle's weights; as published by Dou et "
        "al.; as the Keras version of a blog; plain: without deep supervision (default: default)",
    )
    train.add_argument(
        "--only",
        choices=NETWORKS,
        help="one of the two networks of the recipe (default: both, the coarse one first)",
    )
    train.add_argument("--data-list", type=_path, metavar="F", help="MSD-format JSON list of cases")
    train.add_argument(
        "--data",
        type=_path,
        metavar="DIR",
        help="where the list's paths start (default: beside it)",
    )
    train.add_argument("-o", "--output", type=_path, metavar="OUT", help="weights, log and curves")
    train.add_argument(
        "--liver-labels",
        type=int,
        nargs="+",
        metavar="V",
        help="label values that mean liver (default: the recipe's, 5 as in BTCV)",
    )
    train.add_argument("--epochs", type=positive, metavar="N", help="instead of the recipe's")
    _add_device(train)
    _add_no_resume(train, "start afresh, not from the checkpoint in OUT")
    _add_common(train)

    _add_evaluate(commands)

    demo = commands.add_parser("demo", help="segment a public CT, or a phantom without a network")
    demo.add_argument("-o", "--output", type=_path, default=Path("out-demo"), metavar="OUT")
    _add_common(demo)

    info = commands.add_parser("info", help="versions, device, engine, weights and their hash")
    _add_common(info)


def _add_evaluate(commands: _Commands) -> None:
    evaluate = commands.add_parser(
        "evaluate",
        help="score masks against references: overlap, surface distances, SLIVER07",
        description="Score masks against references on the same grid. Of two folders the files "
        "with the same name, without .nii.gz, are a pair; an output folder of liverseg segment "
        "pairs by case id, or by the name that a source has in its linkage.csv.",
        epilog="Exit status: 0 all scored; 1 something is unpaired or could not be scored; "
        "2 wrong usage or nothing paired.",
    )
    folder = "a .nii(.gz), a folder of those, or an output folder of liverseg segment"
    evaluate.add_argument("--prediction", type=_path, required=True, metavar="P", help=folder)
    evaluate.add_argument("--reference", type=_path, required=True, metavar="R", help="as P")
    evaluate.add_argument(
        "--reference-labels",
        type=int,
        nargs="+",
        default=[],
        metavar="V",
        help="values that mean liver in R (default: any but 0)",
    )
    evaluate.add_argument(
        "--versus", type=_path, metavar="P2", help="compare with a second system, case by case"
    )
    evaluate.add_argument(
        "--neighbours",
        type=int,
        choices=list(NEIGHBOURS),
        default=min(NEIGHBOURS),
        help="a border voxel has one of these outside its mask; SLIVER07: 26 (default: 6)",
    )
    evaluate.add_argument(
        "-o", "--output", type=_path, metavar="FILE.csv", help="a row a case, and the mean"
    )
    evaluate.add_argument(
        "--plots",
        type=_path,
        metavar="DIR",
        help="draw a box plot per figure, Bland-Altman of the volumes, and the worst cases",
    )
    _add_common(evaluate)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        type=_path,
        metavar="INPUT",
        help="a DICOM folder or a tree of patients, a .zip or .tar of one, a .nii(.gz), "
        "or a folder of those",
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="auto", metavar="auto|cpu|cuda|cuda:N", help="default: auto"
    )


def _add_series(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--series",
        type=_given,
        default="all",
        metavar="all|best|UID",
        help="best: of each study the series with most slices; UID: a SeriesInstanceUID or a "
        "case id as inspect lists it (default: all)",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=above_zero,
        default=TIMEOUT_S,
        metavar="S",
        help=f"seconds for one scan (default: {TIMEOUT_S:g})",
    )
    parser.add_argument(
        "--memory-limit",
        type=above_zero,
        metavar="GIB",
        help="for the processes that read and segment the scans (default: "
        f"{MEMORY_SHARE:.0%} of the machine's memory)".replace("%", "%%"),
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="scans at a time, each in a process of its own (default: "
        f"{ORDINARY_WORKERS}, or 1 on one core)",
    )


def _add_no_resume(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--no-resume", dest="resume", action="store_false", help=text)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    parser.add_argument("-v", "--verbose", action="store_true", help="where an error came from")
