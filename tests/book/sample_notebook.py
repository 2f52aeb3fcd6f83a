"""A small notebook that keeps every rule, and a project around it; tests break copies of it."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import nbformat
from nbformat import v4
from PIL import Image, ImageDraw

from tools.notebooks import execute
from tools.project import address

CONFIG = "title: T\nrepository:\n  url: https://github.com/readers/book\n  branch: v1.2.0\n"
NAME = "03_evaluation.ipynb"


def png(size=(80, 60), line=None, level=6) -> str:
    """A picture as base64 PNG."""
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle((10, 10, 30, 30), fill="navy")
    if line:
        ImageDraw.Draw(picture).line(line, fill="black")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=level)
    return base64.b64encode(buffer.getvalue()).decode()


def code(source: str, *outputs, tags=(), slide: str | None = None):
    """A code cell that ran."""
    metadata = {"tags": list(tags)} | ({"slideshow": {"slide_type": slide}} if slide else {})
    return v4.new_code_cell(source, execution_count=1, outputs=list(outputs), metadata=metadata)


def text(source: str, **slideshow):
    """A Markdown cell."""
    return v4.new_markdown_cell(source, metadata={"slideshow": slideshow} if slideshow else {})


def stdout(printed: str):
    """Printed text."""
    return v4.new_output("stream", name="stdout", text=printed)


def shown(data: dict, **metadata):
    """Something displayed."""
    return v4.new_output("display_data", data=data, metadata=metadata)


def project(root: Path) -> Path:
    """A project with the address, a bibliography, a solution and room for chapters."""
    (root / "notebooks" / "solutions").mkdir(parents=True)
    (root / "_config.yml").write_text(CONFIG)
    (root / "references.bib").write_text(
        "@article{a2020,\n  doi = {10.1000/ABC.1},\n}\n@misc{b, eprint = {1906.00091}}\n"
    )
    (root / "notebooks" / "solutions" / NAME).write_text("{}")
    return root


def good(root: Path, name: str = f"notebooks/{NAME}") -> nbformat.NotebookNode:
    """The notebook that keeps every rule; the numbers of its cells stand beside them."""
    home = address.read(root)
    title = f"# 3. Evaluation\n\nAfter this chapter you can tell a good list from a bad one.\n\n{home.badge(name)}"
    alt = "A blue square in the upper left corner of an empty page."
    picture = shown({"image/png": png(), "text/plain": "Figure"}, **{"image/png": {"alt": alt}})
    failed = v4.new_output("error", ename="ValueError", evalue="k: got 0", traceback=["ValueError: k: got 0"])
    cells = [
        text(title, slide_type="slide"),  # 1
        code(home.bootstrap, tags=["remove-cell"]),  # 2
        code("import torch\n\nimport course_utils\n\ncourse_utils.setup()"),  # 3
        text(
            "**Prerequisites.** Chapter 0, Python 3.11.\n\n## 3.1 Lists",
            slide_type="slide",
            text="Half is 0.50.",
        ),  # 4
        code("print(0.5, 6.3)", stdout("0.5 6.3\n")),  # 5
        text(
            "Half is 0.5, and $x = 0.25$. Others found 0.77 ([A (2020)](https://doi.org/10.1000/abc.1))."
        ),  # 6
        code("figure(fig, alt='...')", picture, slide="-"),  # 7
        code("raise ValueError('k: got 0')", failed, tags=["raises-exception"]),  # 8
        text("### Details\n\nSee [B (2019)](https://arxiv.org/abs/1906.00091v2).\n\n## 3.2 Exercises"),  # 9
        text("## 3.3 Recap\n\nYou can tell a good list from a bad one."),  # 10
    ]
    notebook = v4.new_notebook(cells=cells)
    return nbformat.reads(execute.dumps(notebook), as_version=4)


def write(
    root: Path, notebook: nbformat.NotebookNode, name: str = f"notebooks/{NAME}", *, raw: bool = False
) -> Path:
    """Write a notebook in normal form, or as it is."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook) if raw else execute.dumps(notebook), encoding="utf-8")
    return path
