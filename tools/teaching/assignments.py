"""Assignments that grade themselves: for students a notebook, for you an autograder.

    python -m tools.teaching.assignments [01 02 ...] [--output FOLDER]  (default: all, into _build/assignments)

writes ``NN/assignment_NN.ipynb`` for students, ``NN/autograder.zip`` for ``tools.teaching.grade`` and for Gradescope,
and ``NN/solution_NN.ipynb``. The source is ``assignments/NN/master.py``, a notebook in jupytext's percent form:

- a text cell that begins ``## 3. A title (4 points)`` begins a question;
- a cell tagged ``solution`` has the answer. Students get the same cell without what otter-grader's marks name:
  ``# SOLUTION`` at the end of a line, ``# BEGIN SOLUTION`` to ``# END SOLUTION``;
- a cell tagged ``hidden`` has tests, ``def test_NAME(STUDENT, answer)``, and what they need: never in a student's copy;
- the cell tagged ``numbers`` draws a student's numbers, in the notebook and, from the same lines, in the hidden tests;
- the cell tagged ``bootstrap`` becomes the cell that installs the package in Colab.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_raw_cell

from tools.project import address

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "assignments"
OUTPUT = ROOT / "_build" / "assignments"
HEADING = re.compile(r"## (\d+)\. .*\((\d+) points?\)")
OWN = "import math\nfrom types import SimpleNamespace\n\nimport numpy as np\n\n"
SAMPLE = 4711  # the student's number with which a solution is tried
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def names() -> list[str]:
    """The assignments that there are."""
    return sorted(path.parent.name for path in SOURCE.glob("*/master.py"))


def read(name: str) -> NotebookNode:
    """The master of an assignment, as it is written."""
    import jupytext

    return jupytext.read(SOURCE / name / "master.py")


def split(name: str) -> tuple[NotebookNode, str]:
    """The master as otter-grader reads it, and the module of numbers and tests that goes into the autograder alone."""
    cells, hidden, own, question = [], [], [OWN + (SOURCE / "checking.py").read_text(encoding="utf-8")], None
    config = {"name": name, "init_cell": False, "export_cell": False, "tests": {"ok_format": False}}
    place = address.read()
    config |= {"autograder_files": ["own.py"], "requirements": [f"git+{place.url}@{place.tag}"]}
    cells.append(new_raw_cell("# ASSIGNMENT CONFIG\n" + yaml.safe_dump(config | {"generate": True}, sort_keys=False)))

    def close() -> None:
        if question:
            cells.extend(_block("TESTS", [new_code_cell(test) for test in hidden]))
            cells.append(new_raw_cell("# END QUESTION"))
            hidden.clear()

    for cell in read(name).cells:
        tags = cell.metadata.pop("tags", [])
        started = HEADING.match(cell.source) if cell.cell_type == "markdown" else None
        if started:
            close()
            question = f"q{started[1]}"
            head = {"name": question, "points": int(started[2]), "check_cell": False}
            cells.append(new_raw_cell("# BEGIN QUESTION\n" + yaml.safe_dump(head, sort_keys=False)))
        if "bootstrap" in tags:
            cell.source = place.bootstrap
        if "numbers" in tags:
            own.append(cell.source)
        if "hidden" in tags:
            own.append(cell.source)
            hidden += _wrappers(cell.source)
        else:
            cells.extend(_block("SOLUTION", [cell]) if "solution" in tags else [cell])
    close()
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), "\n\n\n".join(own) + "\n"


def _block(kind: str, cells: Sequence[NotebookNode]) -> list[NotebookNode]:
    return [new_raw_cell(f"# BEGIN {kind}"), *cells, new_raw_cell(f"# END {kind}")]


def _wrappers(source: str) -> list[str]:
    """For each test a cell that calls it: what an autograder quotes of a failed test is this line, not the test."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            given = ", ".join(argument.arg for argument in node.args.args)
            found.append(f"# HIDDEN\ndef {node.name}({given}):\n    import own\n    own.{node.name}({given})")
    return found


def build(name: str, output: Path = OUTPUT) -> Path:
    """Write one assignment's three files; return their folder. The solution has to get full marks, else this fails."""
    from otter.assign import main as assign

    notebook, own = split(name)
    target = output / name
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        master = work / f"assignment_{name}.ipynb"
        nbformat.write(with_number(notebook, SAMPLE), master)
        (work / "own.py").write_text(own, encoding="utf-8")
        assign(str(master), str(work / "made"), no_pdfs=True)
        target.mkdir(parents=True, exist_ok=True)
        (autograder,) = (work / "made" / "autograder").glob("*.zip")
        shutil.copy(autograder, target / "autograder.zip")
        for kind, stem in (("student", "assignment"), ("autograder", "solution")):
            made = nbformat.read(work / "made" / kind / master.name, as_version=4)
            for cell in made.cells:
                cell.metadata.pop("lines_to_next_cell", None)
            nbformat.write(made if kind == "autograder" else with_number(made, None), target / f"{stem}_{name}.ipynb")
    return target


def with_number(notebook: NotebookNode, student: int | None) -> NotebookNode:
    """The notebook with a student's number in its place."""
    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.source = re.sub(r"(?m)^STUDENT = \w+", f"STUDENT = {student}", cell.source)
    return copy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NN", help="such as 01 (default: all)")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names()):
        raise SystemExit(f"there is no assignment {sorted(unknown)}; there are {names()}")
    for each in arguments.names or names():
        print(build(each, arguments.output), flush=True)
