"""The live figures of the chapters for pages without code: ``extension`` puts them there before a page is parsed.

- ``<!-- live figures -->`` becomes all of them, each below its question, with a link to the section that has it.
- ``<!-- live trade-off -->`` becomes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat

from tools.book.sections import find_chapters

LEAD = "**Try it.** "
MARKER = re.compile(r"<!-- live ([\w-]+) -->")
SCRIPT = re.compile(r"<script>\n.*?\n</script>\n", re.DOTALL)


class Figure(NamedTuple):
    """A live figure: its name, the number of its section, the question above it, its HTML."""

    name: str
    section: str
    question: str
    html: str


def read_figures(source: Path) -> Iterator[Figure]:
    """The live figures of all chapters, in order."""
    for path in find_chapters(source).values():
        section = question = ""
        for cell in nbformat.read(source / path, as_version=4).cells:
            if cell.cell_type == "markdown":
                section = ([section, *re.findall(r"(?m)^## (\d+\.\d+) ", cell.source)])[-1]
                question = cell.source.removeprefix(LEAD) if cell.source.startswith(LEAD) else question
            for output in cell.get("outputs", []):
                html = output.get("data", {}).get("text/html", "")
                if name := re.match(r"<live-([\w-]+)", html):
                    yield Figure(name[1], section, question, html)


def gallery(source: Path) -> str:
    """Markdown of all live figures; what they share is in the first alone."""
    blocks, known = [], set()
    for figure in read_figures(source):
        scripts = SCRIPT.findall(figure.html)
        html = SCRIPT.sub("", figure.html) + "".join(script for script in scripts if script not in known)
        known.update(scripts)
        words = figure.name.capitalize().replace("-", " ")
        blocks += [f"## {words}", f"{figure.question}\n\nFrom §{figure.section}.", raw(html)]
    return "\n\n".join(blocks)


def fill_live(text: str, source: Path) -> str:
    """A page's Markdown with its marked live figures."""
    if MARKER.search(text):
        found = {figure.name: raw(figure.html) for figure in read_figures(source)}
        found["figures"] = gallery(source)
        text = MARKER.sub(lambda marker: found[marker[1]], text)
    return text


def raw(html: str) -> str:
    """HTML that Markdown leaves as it is."""
    return f"````{{raw}} html\n{html}````"
