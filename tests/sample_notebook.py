"""A small notebook that keeps every rule, and a project around it; tests break copies of it."""

import base64
import io

import matplotlib.pyplot as plt
import nbformat
import numpy as np
from nbformat import v4
from PIL import Image, ImageDraw, PngImagePlugin

from tools.notebooks import execute
from tools.project import address
from tools.slides.deck import TYPES

CONFIG = "title: T\nrepository:\n  url: https://github.com/readers/book\n  branch: v1.2.0\n"
REFERENCES = "@article{a2020,\n  doi = {10.1000/ABC.1},\n  year = {2020},\n}\n@misc{b, eprint = {1906.00091}}\n"
NAME = "03_evaluation.ipynb"


def png(size=(80, 60), line=None, level=6, software=None):
    """A picture as base64 PNG."""
    info = PngImagePlugin.PngInfo()
    if software:
        info.add_text("Software", software)
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle((10, 10, 30, 30), fill="navy")
    if line:
        ImageDraw.Draw(picture).line(line, fill="black")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=level, pnginfo=info)
    return base64.b64encode(buffer.getvalue()).decode()


def markdown(source, *words, **slideshow):
    """A Markdown cell; of the words, one is its slide type and the others are tags."""
    return _placed(v4.new_markdown_cell(source), words, slideshow)


def code(source, *parts, **slideshow):
    """A code cell that ran; its parts are outputs, and words as of a Markdown cell."""
    outputs = [part for part in parts if not isinstance(part, str)]
    cell = v4.new_code_cell(source, outputs=outputs, execution_count=1)
    return _placed(cell, [part for part in parts if isinstance(part, str)], slideshow)


def _placed(cell, words, slideshow):
    tags = [word for word in words if word not in TYPES]
    for word in set(words) - set(tags):
        slideshow["slide_type"] = word
    cell.metadata = nbformat.from_dict({"slideshow": slideshow} if slideshow else {})
    cell.metadata.update({"tags": tags} if tags else {})
    return cell


def stdout(printed, name="stdout"):
    """Printed text."""
    return v4.new_output("stream", name=name, text=printed)


def shown(data, **metadata):
    """Something displayed."""
    return v4.new_output("display_data", data=data, metadata=metadata)


def displayed(mime, data, alt=None):
    """One form of data, with the alt text where `course_utils.notebook` writes it."""
    return shown({mime: data}, **({} if alt is None else {mime: {"alt": alt}}))


def written(path, *sources):
    """A notebook of these code cells that never ran."""
    path.write_text(execute.dumps(v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])))
    return path


def chart(bar=2.0, label=".27", marker=3.0, shift=0.0):
    """A chart as the book draws them, as base64 PNG."""
    figure, axes = plt.subplots(figsize=(7.2, 4), dpi=160)
    axes.bar([0, 1, 2], [1, bar, 3])
    x = np.linspace(0, 2, 50)
    axes.plot(x, np.sin(x) + 1 + shift)
    axes.plot([1.5], [2.5], "o", markersize=marker)
    axes.text(0.5, 2.6, label, color="0.4", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()


NEEDS = "**Prerequisites.** Chapter 0, Python 3.11.\n\n## 3.1 Lists"
ASKED = "guess = None  # films\nasked = predict('hits', guess, unit='films')"
CITED = "Others found 0.77 ([A (2020)](https://doi.org/10.1000/abc.1))."


def project(root):
    """A project with the address, a bibliography, a solution and room for chapters."""
    (root / "notebooks" / "solutions").mkdir(parents=True)
    (root / "_config.yml").write_text(CONFIG)
    (root / "book").mkdir()
    (root / "book" / "parts.yml").write_text("parts: [{title: T, chapters: {0: A, 3: B}}]\nneeds: {}\n")
    (root / "references.bib").write_text(REFERENCES)
    (root / "notebooks" / "solutions" / NAME).write_text("{}")
    return root


def good(root, name=f"notebooks/{NAME}"):
    """The notebook that keeps every rule; the numbers of its cells stand beside them."""
    home = address.read(root)
    title = f"# 3. Evaluation\n\nAfter this chapter you can tell a good list from a bad one.\n\n{home.badge(name)}"
    alt = "A blue square in the upper left corner of an empty page."
    picture = shown({"image/png": png(), "text/plain": "Figure"}, **{"image/png": {"alt": alt}})
    failed = v4.new_output("error", ename="ValueError", evalue="k: got 0", traceback=["ValueError: k: got 0"])
    cells = [
        markdown(title, "slide"),  # 1
        code(home.bootstrap, "remove-cell"),  # 2
        code("import torch\n\nimport course_utils\n\ncourse_utils.setup()"),  # 3
        markdown(NEEDS, "slide", text="Half is 0.50.", notes="Ask."),  # 4
        code("print(0.5, 6.3)", stdout("0.5 6.3\n")),  # 5
        markdown(f"Half is 0.5, and $x = 0.25$. {CITED}"),  # 6
        code("figure(fig, alt='...')", picture, "-"),  # 7
        code("raise ValueError('k: got 0')", failed, "raises-exception"),  # 8
        markdown("### Details\n\nSee [B (2019)](https://arxiv.org/abs/1906.00091v2).\n\n## 3.2 Exercises"),  # 9
        markdown("## 3.3 Recap\n\nYou can tell a good list from a bad one."),  # 10
        markdown("**Predict before you run.** How many?", "slide", notes="Ask."),  # 11
        code(ASKED, "predict"),  # 12
        code("asked.outcome(3)", "came-out", "fragment"),  # 13
        markdown("**Change this.** Watch the list.\n\n### Clinic: a bad list"),  # 14
        *(code(f"{name} = 1  # Change this: 2, 3") for name in "abc"),  # 15 to 17
        code('check("03clinic1", hits=None)'),  # 18
        code("hits = 4", "repair"),  # 19
    ]
    return nbformat.reads(execute.dumps(v4.new_notebook(cells=cells)), as_version=4)


def write(root, notebook, name=f"notebooks/{NAME}", *, raw=False):
    """Write a notebook in normal form, or as it is."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook) if raw else execute.dumps(notebook), encoding="utf-8")
    return path
