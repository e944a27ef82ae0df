"""List the regular files below a folder, without following links or opening what is no file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Found:
    """What lies below a folder.

    Attributes:
        files: regular files, sorted within each folder, folders in order.
        special: how many links, FIFOs, sockets and devices each folder holds; never opened.
        unreadable: folders and files that the operating system does not let us look at.
    """

    files: list[Path] = field(default_factory=list)
    special: dict[Path, int] = field(default_factory=dict)
    unreadable: list[Path] = field(default_factory=list)


def files_below(root: Path) -> Found:
    """Walk a folder of any depth.

    A link inside the folder is not followed: what it points to is found at its own place when
    that is inside too, and is none of our business when it is outside.

    Args:
        root: an existing folder, or a file, which is then all that is found. May itself be a link.

    Returns:
        What was found.
    """
    found = Found()
    if root.is_file():
        found.files.append(root)
        return found
    if not root.is_dir():  # a FIFO, a socket, a device
        found.special[root] = 1
        return found
    folders = [root]  # a list, not recursion: trees can be deeper than Python's stack
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            found.unreadable.append(folder)
            continue
        below = []
        for entry in inside:
            try:
                mode = entry.stat(follow_symlinks=False).st_mode
            except OSError:  # a folder that may be listed and not entered, a path that is too long
                found.unreadable.append(Path(entry.path))
                continue
            if stat.S_ISDIR(mode):
                below.append(Path(entry.path))
            elif stat.S_ISREG(mode):
                found.files.append(Path(entry.path))
            else:
                found.special[folder] = found.special.get(folder, 0) + 1
        folders.extend(reversed(below))
    return found
