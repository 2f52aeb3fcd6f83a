"""Live figures in outputs: which scripts are the book's own, by their hash.

python -m tools.notebooks.live NOTEBOOK ... -> after a change in ``assets/demos``: their scripts anew, nothing is run
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from base64 import b64decode
from functools import cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "assets/demos"
SCRIPT = re.compile(r"<script>\n(.*?)\n</script>\n?", re.DOTALL)
CODED = re.compile(r"&quot;([A-Za-z0-9+/]{1000,}=*)&quot;")


@cache
def hashes() -> frozenset[str]:
    """Of the scripts in ``assets/demos``."""
    return frozenset(_hash(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.js"))


def without_scripts(html: str) -> str:
    """HTML without the scripts of the book's live figures; any other script stays in it."""
    return SCRIPT.sub(lambda script: "" if _hash(script[1]) in hashes() else script[0], html)


def is_live(html: str) -> bool:
    """Whether HTML is a live figure: it has scripts of the book."""
    return without_scripts(html) != html


@cache
def tables() -> frozenset[bytes]:
    """What the columns ``base64`` of committed tables hold."""
    found = set()
    for path in (ROOT / "results").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if "base64" in (rows.fieldnames or ()):
                found.add(b"".join(b64decode(row["base64"]) for row in rows))
    return frozenset(found)


def on_file(notebook: NotebookNode) -> int:
    """How many bytes of a notebook are numbers that its live figures have from a committed table, all of them."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    htmls = [html for output in outputs if is_live(html := output.get("data", {}).get("text/html", ""))]
    return sum(len(code) for html in htmls for code in CODED.findall(html) if b64decode(code) in tables())


def _hash(script: str) -> str:
    return hashlib.sha256(script.strip().encode()).hexdigest()


def renew(notebook: NotebookNode) -> None:
    """Put the scripts as they are now into a notebook's live figures; their data stay."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        html = output.get("data", {}).get("text/html", "")
        if name := re.match(r"<live-([\w-]+)", html):
            scripts = [(FOLDER / f"{file}.js").read_text(encoding="utf-8").strip() for file in ("frame", name[1])]
            head = html.partition("<script>")[0]
            output.data["text/html"] = head + "".join(f"<script>\n{script}\n</script>\n" for script in scripts)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        notebook = nbformat.read(name, as_version=4)
        renew(notebook)
        Path(name).write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
