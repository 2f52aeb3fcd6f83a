"""Turn the knobs that chapters offer their readers: nothing below a knob may break.

python -m tools.notebooks.knobs [NOTEBOOK ...] -> each chapter once, all its knobs at their first other value
python -m tools.notebooks.knobs --each [NOTEBOOK ...] -> every knob at each of its other values, alone

A knob is a line of the form ``k = 10  # Change this: 5, 50``. What is expected of the printed run alone only warns
here, as it does where a reader experiments.
"""

from __future__ import annotations

import ast
import copy
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.notebooks import execute, green

LINE = re.compile(r"^(\w+) = (.+?)  # Change this: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Knob:
    """A line that a reader may change: in which cell (from 0), what it sets, to what, and what else to try."""

    cell: int
    line: str
    name: str
    others: tuple[str, ...]

    def turned(self, value: str) -> str:
        """The line with another value."""
        return self.line.replace(f" = {LINE.match(self.line)[2]} ", f" = {value} ", 1)


def find(notebook: NotebookNode) -> list[Knob]:
    """The knobs of a notebook, each with at least two other values, all of them literals."""
    found = []
    for number, cell in enumerate(notebook.cells):
        for match in LINE.finditer(cell.source) if cell.cell_type == "code" else []:
            try:
                values = ast.literal_eval(f"[{match[2]}, {match[3]}]")
            except (SyntaxError, ValueError):
                raise ValueError(f"{match[0]!r}: expected values as Python writes them") from None
            if len(values) < 3 or values[0] in values[1:]:
                raise ValueError(f"{match[0]!r}: expected two values or more that it does not have already")
            written = ast.parse(f"[{match[3]}]", mode="eval").body.elts
            found.append(Knob(number, match[0], match[1], tuple(map(ast.unparse, written))))
    return found


def turns(notebook: NotebookNode, *, each: bool) -> Iterator[tuple[str, NotebookNode]]:
    """What is turned, and the notebook with it."""
    knobs = find(notebook)
    if each:
        chosen = [[(knob, value)] for knob in knobs for value in knob.others]
    else:
        chosen = [[(knob, knob.others[0]) for knob in knobs]] if knobs else []
    for turn in chosen:
        changed = copy.deepcopy(notebook)
        for knob, value in turn:
            cell = changed.cells[knob.cell]
            cell.source = cell.source.replace(knob.line, knob.turned(value), 1)
        yield ", ".join(f"{knob.name} = {value}" for knob, value in turn), changed


def run(path: Path, *, each: bool = False) -> list[str]:
    """One line for each turn that ends in an exception."""
    faults = []
    for what, notebook in turns(execute.read(path), each=each):
        with tempfile.TemporaryDirectory(prefix="course-") as folder, tempfile.TemporaryDirectory() as sockets:
            turned = Path(sockets) / path.name
            turned.write_text(nbformat.writes(notebook), encoding="utf-8")
            environment = os.environ | execute.ENVIRONMENT | {"COURSE_STRICT": "0"}
            before = len(faults)
            try:
                execute.run_cells(turned, Path(folder), Path(sockets), environment)
            except Exception as error:  # whatever a cell raises is a fault of the chapter
                faults.append(f"FAILED {path.name} with {what}\n{error}")
        print(f"{path.name}: {what}: {'FAILED' if len(faults) > before else 'runs'}", flush=True)
    return faults


def main(arguments: list[str]) -> int:
    """Turn the knobs of the chapters that are named, of all when none is; return the number of faults."""
    each = "--each" in arguments
    named = [Path(name) for name in arguments if name != "--each"]
    chapters = named or [path for path in execute.notebooks() if path.parent.name == "notebooks"]
    judge = "every knob" if each else "knobs"
    chapters = [path for path in green.left(judge, chapters) if not execute.missing_tool(path)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda path: run(path, each=each), chapters))
    green.passed(judge, [path for path, faults in zip(chapters, found, strict=True) if not faults])
    faults = [fault for each in found for fault in each]
    print("\n".join(faults), end="\n" if faults else "")
    return len(faults)


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
