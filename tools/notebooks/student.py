"""The student edition: the chapters with what comes out left for the reader to find.

python -m tools.notebooks.student [FOLDER] -> FOLDER/notebooks/*.ipynb (default: _build/student)

The Colab badges open it, from the branch ``student-RELEASE``, to which it is published. Outputs after a prediction
and of exercises are cleared, and a clinic's repair is closed until it is opened. So is code that says what comes out:
by what it asserts or expects, or in the words of a figure.
"""

from __future__ import annotations

import argparse
import copy
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.notebooks import execute

ROOT = Path(__file__).resolve().parents[2]
TELLS = re.compile(r"^ *(assert |expect\(|alt = )|figure\(", re.MULTILINE)  # of what comes out
CLOSED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # Colab's word for it, and JupyterLab's


def student(notebook: NotebookNode) -> NotebookNode:
    """A copy without the answers: from each prediction to the next text, in exercises, and in repairs."""
    notebook = copy.deepcopy(notebook)
    asked = False
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code":
            asked = False
            continue
        repair = "repair" in tags
        if asked or repair or "came-out" in tags or re.search(r"^check\(", cell.source, re.MULTILINE):
            cell.outputs, cell.execution_count = [], None
        tells = (asked or {"came-out", "remove-input"} & set(tags)) and TELLS.search(cell.source)
        if repair or tells:
            title = "A repair: open it when you have yours" if repair else "What comes out: run it, then open it"
            title += ", for a line to change" if "  # Change this: " in cell.source else ""
            cell.source = f"# @title {title}\n{cell.source}"
            cell.metadata.update(CLOSED)
        asked = asked or "predict" in tags
    return notebook


def write(folder: Path) -> list[Path]:
    """Write the student edition of every chapter; return the files."""
    written = []
    for path in execute.notebooks(ROOT):
        if path.parent.name == "notebooks":
            target = folder / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(nbformat.writes(student(execute.read(path))).rstrip("\n") + "\n", encoding="utf-8")
            written.append(target)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "_build/student")
    place = parser.parse_args().folder
    print(f"{len(write(place))} chapters: {place}")
