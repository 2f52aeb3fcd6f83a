"""Notebooks that need no second run: what they run has not changed since it was last green on this machine.

A mark below ``.cache/green`` names the code cells with their outputs, the package, the tables, the lock, what judges,
Python and the processor; prose and slides are no part of it. In CI every notebook runs. ``rm -r .cache/green`` forgets.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from pathlib import Path

from tools.notebooks import execute
from tools.project import bench

ROOT = execute.ROOT
MARKS = ROOT / ".cache" / "green"
SHARED = ("src/**/*", "results/*.csv", "tools/notebooks/*", "tests/book/test_colab.py", "requirements.lock")


def left(judge: str, paths: list[Path], marks: Path = MARKS) -> list[Path]:
    """Those of the notebooks that have to run: all in CI, else what was not green before this judge as it stands."""
    if os.environ.get("CI"):
        return paths
    found = [path for path in paths if not _green(_mark(judge, path, marks), path)]
    if len(found) < len(paths):
        print(f"{judge}: {len(paths) - len(found)} unchanged since they were green here")
    return found


def passed(judge: str, paths: list[Path], marks: Path = MARKS) -> None:
    """Note that these notebooks are green before this judge."""
    marks.mkdir(parents=True, exist_ok=True)
    for path in paths:
        _mark(judge, path, marks).write_text(key(path))


def key(path: Path) -> str:
    """A hash of all that a run of the notebook depends on."""
    cells = [cell for cell in execute.read(path).cells if cell.cell_type == "code"]
    words = json.dumps([[cell.source, cell.metadata.get("tags", []), cell.outputs] for cell in cells])
    return hashlib.sha256((words + _shared()).encode()).hexdigest()


def _green(mark: Path, path: Path) -> bool:
    return mark.exists() and mark.read_text() == key(path)


@functools.cache
def _shared() -> str:
    files = sorted({file for pattern in SHARED for file in ROOT.glob(pattern) if file.is_file()})
    kept = [file for file in files if "__pycache__" not in file.parts]
    machine = (platform.python_version(), *bench.processor())
    return " ".join([*machine, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in kept)])


def _mark(judge: str, path: Path, marks: Path) -> Path:
    return marks / f"{judge}_{path.parent.name}_{path.stem}"
