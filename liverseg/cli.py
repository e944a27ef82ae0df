"""The command `liverseg`: reads arguments, shows results; the only exit status."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from liverseg.arguments import NEIGHBOURS, command_parser
from liverseg.errors import ScanRejected
from liverseg.interrupts import interrupted_once
from liverseg.size_options import limits_of, sizes_of
from liverseg.streams import open_streams, say, set_up_streams, show, tell

if TYPE_CHECKING:
    from liverseg.batch import Row
    from liverseg.evaluate import Case, Evaluation

# Exit status, fixed by the design: others build on it.
DONE = 0
SOME_NOT_DONE = 1
WRONG_OR_NOTHING = 2
INTERRUPTED = 130
# What every hospital's disc holds beside its scans: listed, but not what the status is about.
NO_SCANS = {"NOT_CT", "LOCALIZER"}
# What a shell adds to the number of the signal that ended a program.
SIGNALLED = 128
# A shutdown, and a terminal that is closed, where the system has that.
TERMINATING = (signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: as tidy an end as Ctrl-C's; nothing unpacked or half-written stays."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; those of the process when None.

    Returns:
        The exit status: 0 every scan done, whatever lies beside them that is no CT scan; 1 some
        scan rejected or failed; 2 wrong usage or no CT found; 130 interrupted.
    """
    open_streams()
    args = command_parser().parse_args(argv)
    set_up_streams(args.verbose)
    # What nohup has ignored stays ignored.
    handled = [one for one in TERMINATING if signal.getsignal(one) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, _terminate)
    try:
        # Warnings of other libraries quote values of the data, which may be a patient's.
        with interrupted_once(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _status(args)
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def _status(args: argparse.Namespace) -> int:
    """The command's exit status; what went wrong is said."""
    try:
        return _COMMANDS[args.command](args)
    except Terminated as ended:
        return say("terminated; what is done is kept", SIGNALLED + ended.number)
    except KeyboardInterrupt:
        return say("interrupted; what is done is kept", INTERRUPTED)
    except Exception as error:  # noqa: BLE001  one line, whatever it is; --verbose tells more
        return _failed(error, args.verbose, getattr(args, "output", None))


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def _failed(error: Exception, verbose: bool, output: Path | None) -> int:
    """One line for an error that ended the program."""
    from liverseg.failure import NOT_WRITABLE, first_cause, is_about, place, raised_by_us, where

    cause = first_cause(error)
    if verbose:
        tell(where(error))
    if isinstance(cause, ScanRejected):
        return say(str(cause), WRONG_OR_NOTHING)
    if isinstance(cause, OSError) and cause.errno is not None:
        # Without the path that the system's message would add.
        words = cause.strerror or os.strerror(cause.errno)
        if cause.errno in NOT_WRITABLE or (output and is_about(cause, output)):
            words = f"the output folder cannot be written: {words}; what is done is kept"
        return say(words, WRONG_OR_NOTHING)
    if isinstance(cause, (ValueError, OSError, ImportError)) and raised_by_us(cause):
        return say(str(cause), WRONG_OR_NOTHING)
    kind = type(cause).__name__
    more = "" if verbose else "; --verbose tells more"
    return say(f"unexpected {kind} in {place(cause)}{more}", WRONG_OR_NOTHING)


def _status_of(rows: Sequence[Row]) -> int:
    if not rows:
        return say("no scan found; wanted DICOM series, archives of them, or .nii(.gz)", 2)
    if all(row.code == "NOT_CT" for row in rows):
        return say(f"no CT found among {len(rows)} series or files that are something else", 2)
    undone = {row.code for row in rows if row.status in ("rejected", "failed")}
    if any(row.status in ("done", "skipped") and not row.code for row in rows):
        undone -= NO_SCANS
    return SOME_NOT_DONE if undone else DONE


def _segment(args: argparse.Namespace) -> int:
    from liverseg.batch import segment
    from liverseg.progress import BatchProgress

    with closing(BatchProgress(args.quiet)) as progress:
        rows = segment(
            args.inputs,
            args.output,
            device=args.device,
            series=args.series,
            outputs=args.outputs,
            refine=args.refine,
            resume=args.resume,
            resample_irregular=args.resample_irregular,
            limits=limits_of(args),
            sizes=sizes_of(args),
            on_row=progress,
        )
    return _show_batch(rows, args.output)


def _convert(args: argparse.Namespace) -> int:
    from liverseg.batch import convert
    from liverseg.progress import BatchProgress

    with closing(BatchProgress(args.quiet)) as progress:
        rows = convert(
            args.inputs,
            args.output,
            series=args.series,
            limits=limits_of(args),
            sizes=sizes_of(args),
            on_row=progress,
        )
    return _show_batch(rows, args.output)


def _show_batch(rows: Sequence[Row], output: Path) -> int:
    from liverseg.layout import INDEX_FILE
    from liverseg.tables import batch_summary

    if rows:
        index = output / INDEX_FILE
        show(batch_summary(rows, str(output), str(index) if index.exists() else ""))
    return _status_of(rows)


def _inspect(args: argparse.Namespace) -> int:
    from liverseg.manifest import new_row
    from liverseg.scans import Finding, found_scans
    from liverseg.tables import series_json, series_table

    with found_scans(args.inputs, Finding(sizes=sizes_of(args))) as scans:
        if args.json:
            show(json.dumps([series_json(scan) for scan in scans], indent=2))
        elif scans:
            show(series_table(scans))
        return _status_of(
            [new_row(scan, "done" if scan.accepted else "rejected", scan.code) for scan in scans]
        )


def _train(args: argparse.Namespace) -> int:
    from liverseg.train_run import Training, train

    training = Training(
        recipe=args.recipe,
        only=args.only,
        data_list=args.data_list,
        data=args.data,
        output=args.output,
        liver_labels=None if args.liver_labels is None else tuple(args.liver_labels),
        device=args.device,
        epochs=args.epochs,
        resume=args.resume,
        quiet=args.quiet,
    )
    show(f"training ended; weights, curves and log: {train(training)}")
    return DONE


def _evaluate(args: argparse.Namespace) -> int:
    from liverseg.evaluate import evaluate, write_scores
    from liverseg.score_table import comparison_table, score_table

    def scored(prediction: Path) -> Evaluation:
        return evaluate(
            prediction,
            args.reference,
            ref_labels=args.reference_labels,
            connectivity=NEIGHBOURS[args.neighbours],
            on_case=None if args.quiet else _show_case,
        )

    if args.output is not None and args.output.is_dir():
        raise ValueError("-o should name a file for the CSV; it is a folder")
    found = [scored(path) for path in (args.prediction, args.versus) if path is not None]
    # Files first: whoever reads the tables may go away (| head).
    if found[0].cases and args.output is not None:
        write_scores(args.output, found[0].scored)
    if args.plots is not None:
        from liverseg.plots import draw_plots

        systems = dict(zip(("prediction", "versus"), found, strict=False))
        draw_plots(args.plots, systems, args.reference_labels)
    if found[0].scored:
        show(score_table(found[0].scored))
    several = {value for case in found[0].cases for value in case.ref_values}
    if len(several) > 1 and not args.reference_labels:
        values = ", ".join(f"{value:g}" for value in sorted(several))
        say(f"references hold {values}, all taken for liver; --reference-labels chooses", DONE)
    if len(found) > 1:
        show(f"\n{comparison_table(found[0].scored, found[1].scored)}")
    return max(_status_of_evaluation(one) for one in found)


def _show_case(case: Case, number: int, count: int) -> None:
    from liverseg.tables import printable

    figures = f"dice {case.scores.dice:.3f}" if case.scores is not None else "not scored"
    tell(f"[{number}/{count}] {printable(case.name)} {figures}")


def _status_of_evaluation(found: Evaluation) -> int:
    from liverseg.tables import printable

    status = DONE
    for case in found.cases:
        if case.error:
            status = say(printable(f"{case.name}: {case.error}"), SOME_NOT_DONE)
    if found.pairs.unpaired:
        status = say(printable(f"unpaired: {found.pairs.unpaired}"), SOME_NOT_DONE)
    if not found.cases:
        return say(
            "nothing to compare: no prediction has a reference of its name", WRONG_OR_NOTHING
        )
    return status


def _demo(args: argparse.Namespace) -> int:
    from liverseg.demo import run_demo
    from liverseg.progress import BatchProgress

    with closing(BatchProgress(args.quiet)) as progress:
        result = run_demo(args.output, on_row=progress)
    show("\n".join(result.lines))
    return DONE if any(row.status == "done" for row in result.rows) else SOME_NOT_DONE


def _info(args: argparse.Namespace) -> int:
    from liverseg.about import about
    from liverseg.tables import aligned

    show(aligned(about()))
    return DONE


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "segment": _segment,
    "inspect": _inspect,
    "convert": _convert,
    "train": _train,
    "evaluate": _evaluate,
    "demo": _demo,
    "info": _info,
}


if __name__ == "__main__":
    sys.exit(main())
