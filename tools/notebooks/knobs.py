"""Turn the knobs that chapters offer their readers: nothing that a knob reaches may break.

python -m tools.notebooks.knobs [NOTEBOOK ...] -> each chapter once, all its knobs at their first other value
python -m tools.notebooks.knobs --each [NOTEBOOK ...] -> every knob at each of its other values, alone

A knob is a line of the form ``k = 10  # Change this: 5, 50``. A chapter runs as it is printed; then, as a reader would
do it, the cells that the knob reaches run again below. What is expected of the printed run alone only warns there.
``stability --quick`` turns the knobs of the notebook that it has shaken, so CI needs no run of its own for them.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode, v4

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


@dataclass(frozen=True)
class Turn:
    """Knobs at other values, in words, and the cells to run for it after the notebook's own."""

    what: str
    cells: list[NotebookNode]


def turns(notebook: NotebookNode, *, each: bool) -> list[Turn]:
    """All knobs at their first other value, or each at each of its values alone, one turn after another."""
    knobs, found = find(notebook), []
    if each:
        chosen = [[(knob, value)] for knob in knobs for value in knob.others]
    else:
        chosen = [[(knob, knob.others[0]) for knob in knobs]] if knobs else []
    printed = ["import os", "os.environ['COURSE_STRICT'] = '0'", *dict.fromkeys(knob.line for knob in knobs)]
    for turn in chosen:
        sources = {number: notebook.cells[number].source for number in reached(notebook, [knob for knob, _ in turn])}
        for knob, value in turn:
            sources[knob.cell] = sources[knob.cell].replace(knob.line, knob.turned(value), 1)
        cells = [v4.new_code_cell("\n".join(printed), metadata={"tags": []})]
        for number in sorted(sources):
            tags = notebook.cells[number].metadata.get("tags", [])
            cells.append(v4.new_code_cell(sources[number], metadata={"tags": tags}))
        found.append(Turn(", ".join(f"{knob.name} = {value}" for knob, value in turn), cells))
    return found


def reached(notebook: NotebookNode, knobs: Iterable[Knob]) -> set[int]:
    """The cells (from 0) that have to run again when these knobs are turned after the notebook has run.

    Those of the knobs, those that read a name which one of them sets, and so on; and where one of them reads a name
    that a later cell has set anew, the cell which had set it before.
    """
    found = {number: _Names(cell.source) for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"}
    modules = {name for each in found.values() for name in each.imported}
    cells = {number: (each.read - modules, each.stored - modules) for number, each in found.items()}
    again = {knob.cell for knob in knobs}
    names: set[str] = set()
    for number, (read, stored) in cells.items():
        if number in again or read & names:
            again.add(number)
            names |= stored
        else:
            names -= stored
    queue = sorted(again)
    while queue:
        number = queue.pop()
        for name in cells[number][0]:
            setters = [other for other, (_, stored) in cells.items() if name in stored]
            before = [other for other in setters if other < number]
            lost = setters[-1:] != before[-1:] or again.intersection(before)
            if before and before[-1] not in again and lost:
                again.add(before[-1])
                queue = sorted(again)
    return again


class _Names:
    """Names that a cell reads from cells before it, sets or changes, and imports; none where it is no Python."""

    OWN = ast.Lambda | ast.FunctionDef | ast.ClassDef | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    LATE = (ast.Store, ast.Del)

    def __init__(self, source: str) -> None:
        self.read, self.stored, self.imported = set[str](), set[str](), set[str]()
        try:
            self.visit(ast.parse(source))
        except SyntaxError:
            return

    def visit(self, node: ast.AST) -> None:
        """Note the names in a node, what is computed before what is set."""
        if isinstance(node, self.OWN):  # what a function or a comprehension sets is its own
            inside = list(ast.walk(node))
            own = {each.arg for each in inside if isinstance(each, ast.arg)}
            own |= {each.id for each in inside if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
            self.read |= {each.id for each in inside if isinstance(each, ast.Name)} - own - self.stored
            self.stored |= {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else set()
            return
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            self.read |= {node.id} - self.stored
        elif isinstance(node, ast.AugAssign):
            self.read |= {node.target.id} - self.stored if isinstance(node.target, ast.Name) else set()
        elif isinstance(node, ast.alias):
            self.imported.add(node.asname or node.name.partition(".")[0])
        children = list(ast.iter_child_nodes(node))
        late = {id(each) for each in children if isinstance(getattr(each, "ctx", None), self.LATE)}
        if isinstance(node, ast.For):
            children, late = [node.iter, node.target, *node.body, *node.orelse], set()
        for child in sorted(children, key=lambda child: id(child) in late):
            self.visit(child)
        if isinstance(getattr(node, "ctx", None), self.LATE):  # `x = 1`, `x.y = 1`, `x[0] = 1`
            self.stored.add(_base(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):  # `x.fit(y)` as a line changes x
            self.stored |= {_base(node.value.func)} if isinstance(node.value.func, ast.Attribute) else set()
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("fit"):  # `h = loop.fit(x, y)` too
            self.stored |= {each.id for each in node.args[:1] if isinstance(each, ast.Name)}
        self.stored.discard("")


def _base(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def broken(path: Path, turned: list[Turn], ran: list[NotebookNode]) -> list[str]:
    """One line and the first exception of each turn that raised; ``ran`` has the cells of all turns, as they ran."""
    faults, rest = [], iter(ran)
    for turn in turned:
        cells = [cell for cell in (next(rest) for _ in turn.cells) if "raises-exception" not in cell.metadata["tags"]]
        raised = [output for cell in cells for output in cell.outputs if output.output_type == "error"]
        if raised:
            faults.append(f"FAILED {path.name} with {turn.what}\n" + "\n".join(raised[0].traceback))
        print(f"{path.name}: {turn.what}: {'FAILED' if raised else 'runs'}", flush=True)
    return faults


def run(path: Path, *, each: bool = False) -> list[str]:
    """Run the notebook, then its turns; one line for each turn that ends in an exception."""
    turned = turns(execute.read(path), each=each)
    more = [cell for turn in turned for cell in turn.cells]
    with tempfile.TemporaryDirectory(prefix="course-") as folder, tempfile.TemporaryDirectory() as sockets:
        environment = os.environ | execute.ENVIRONMENT
        ran = execute.run_cells(path, Path(folder), Path(sockets), environment, stop=False, more=more)
    return broken(path, turned, ran.cells[len(ran.cells) - len(more) :])


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
