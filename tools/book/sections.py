"""What the book's pages without code say about its chapters, read from the notebooks so that it cannot go stale.

``extension`` puts it into each ``.md`` page before it is parsed:

- ``§3.3`` becomes a link to section 3.3, ``§3`` one to chapter 3; a number that no notebook has is a warning, but a
  planned chapter that is not written yet is named without a link.
- ``<!-- deck 3 -->`` becomes the deck of chapter 3 with its number of slides and minutes.
- ``<!-- exercises -->`` becomes a table of all exercises with their solutions.
- ``<!-- needs -->`` becomes a table of what each chapter builds on, from ``book/parts.yml``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nbformat
import yaml

from tools.slides.clock import times
from tools.slides.deck import read_deck

SECTION_SIGN = re.compile(r"§(\d+(?:\.\d+)?)")
DECK = re.compile(r"<!-- deck (\d+) -->")


@dataclass(frozen=True)
class Section:
    """A numbered part of a chapter.

    Attributes:
        number: "3" for the chapter, "3.4" for a section of it.
        title: its heading without the number.
        notebook: path from the root of the book.
        anchor: what follows ``#`` in a link; empty for a whole chapter.
        text: all Markdown and code under the heading, up to the next numbered one.
    """

    number: str
    title: str
    notebook: Path
    anchor: str
    text: str

    def link(self, root: str) -> str:
        """A Markdown link that names the section; ``root`` leads from the page to the root of the book."""
        name = "section" if self.anchor else "chapter"
        target = f"{root}{self.notebook.as_posix()}" + (f"#{self.anchor}" if self.anchor else "")
        return f"[{name}\N{NO-BREAK SPACE}{self.number}]({target})"


def slug(heading: str) -> str:
    """The anchor that MyST gives a heading: lower case, hyphens for spaces, no punctuation."""
    plain = re.sub(r"\$[^$]*\$", "", heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\u4e00-\u9fff\- ]", "", plain.lower().replace(" ", "-"))


def find_chapters(source: Path) -> dict[int, Path]:
    """The chapters that exist: number -> notebook, relative to ``source``, in order."""
    found = sorted((source / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return {int(path.name[:2]): path.relative_to(source) for path in found}


@lru_cache(maxsize=2)
def read_sections(source: Path) -> dict[str, Section]:
    """Every chapter and numbered section of the book by its number."""
    found = {}
    for number, notebook in find_chapters(source).items():
        cells = nbformat.read(source / notebook, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells)
        title = re.sub(r"^# \d+\. ", "", text.split("\n", 1)[0])
        found[str(number)] = Section(str(number), title, notebook, "", text)
        parts = re.split(rf"(?m)^## (?={number}\.\d+ )", text)[1:]
        for part in parts:
            heading = part.split("\n", 1)[0].strip()
            name, title = heading.split(" ", 1)
            found[name] = Section(name, title, notebook, slug(heading), part)
    return found


def link_sections(
    text: str, sections: dict[str, Section], planned: set[str], root: str, missing: Callable[[str], None]
) -> str:
    """Turn each ``§3.3`` of a page into a link; ``missing`` hears of each number that no notebook has."""

    def link(match: re.Match[str]) -> str:
        if match[1] in sections:
            return sections[match[1]].link(root)
        chapter = match[1].split(".")[0]
        if chapter in planned and chapter not in sections:
            return f"chapter\N{NO-BREAK SPACE}{chapter}"
        missing(match[1])
        return match[0]

    return SECTION_SIGN.sub(link, text)


def deck_line(source: Path, number: int, root: str) -> str:
    """Length of a chapter's deck, its notes and held-back steps, and a link to it where it was built."""
    notebook = find_chapters(source).get(number)
    if notebook is None:
        return "*Deck:* to come."
    deck = read_deck(source / notebook)
    slides, length = deck.slides, times(deck)[-1].ends
    steps = sum(block.fragment for slide in slides for block in slide.blocks)
    noted = sum(bool(slide.notes) for slide in slides)
    held = f"{steps} step{'' if steps == 1 else 's'} held back"
    line = f"*Deck:* {len(slides)} slides, {noted} with speaker notes, {held}; about {length} minutes."
    if (source / "_build/slides" / f"{notebook.stem}.html").exists():
        label = f"Deck of chapter {number}: open it"
        line += f' <a href="{root}slides/{notebook.stem}.html" aria-label="{label}">Open it.</a>'
    return line


def exercises_of(notebook: Path) -> Iterator[tuple[str, str]]:
    """Letter and title of each exercise of a chapter: ``**(a) Density.**``."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown":
            yield from re.findall(r"(?m)^\*\*\(([a-z])\) (.+?)\.?\*\*", cell.source)


def exercises_table(source: Path, root: str) -> str:
    """A table: chapter, its exercises by letter and title, the notebook with the answers."""
    rows = ["| Chapter | Exercises | Answers |", "|---|---|---|"]
    for number, notebook in find_chapters(source).items():
        titles = "; ".join(f"({letter}) {title}" for letter, title in exercises_of(source / notebook))
        target = f"{root}notebooks/solutions/{notebook.name}"
        exists = (source / "notebooks/solutions" / notebook.name).exists()
        answers = f"[solutions {number}]({target})" if exists else ""
        rows.append(f"| [{number}]({root}{notebook.as_posix()}) | {titles} | {answers} |")
    return "\n".join(rows)


def read_plan(source: Path) -> dict[str, Any]:
    """``book/parts.yml``: the parts of the book with their chapters, and what each chapter needs."""
    return yaml.safe_load((source / "book/parts.yml").read_text(encoding="utf-8"))


def planned_chapters(source: Path) -> set[str]:
    """The numbers of all chapters of the plan."""
    return {str(number) for part in read_plan(source)["parts"] for number in part["chapters"]}


def needs_table(source: Path, root: str) -> str:
    """A table: chapter, and the chapters to read before it."""
    plan = read_plan(source)
    existing = find_chapters(source)

    def link(number: int, title: str) -> str:
        return f"[{title}]({root}{existing[number].as_posix()})" if number in existing else title

    rows = ["| Chapter | Builds on |", "|---|---|"]
    for part in plan["parts"]:
        for number, title in part["chapters"].items():
            before = ", ".join(link(need, str(need)) for need in plan["needs"].get(number, [])) or "nothing"
            rows.append(f"| {link(number, f'{number}. {title}')} | {before} |")
    return "\n".join(rows)


def by_letter(text: str) -> str:
    """A glossary with a heading for each first letter, and a row of links to them below the title."""
    if not (glossary := re.search(r":::\{glossary\}\n(.*?)\n:::", text, re.DOTALL)):
        return text
    letters: dict[str, list[str]] = {}
    for entry in glossary[1].split("\n\n"):
        letters.setdefault(entry[0].upper(), []).append(entry)
    parts = [f"## {letter}\n\n:::{{glossary}}\n" + "\n\n".join(found) + "\n:::" for letter, found in letters.items()]
    row = "{.letters}\n" + " ".join(f"[{letter}](#{letter.lower()})" for letter in letters)
    return text.replace(glossary[0], "\n\n".join([row, *parts]))


TABLES = {"<!-- exercises -->": exercises_table, "<!-- needs -->": needs_table}


def fill_page(text: str, source: Path, docname: str, missing: Callable[[str], None]) -> str:
    """Put links, decks and exercises into the text of one page.

    Args:
        text: the Markdown of the page.
        source: the root of the book.
        docname: the page's name from the root, as Sphinx gives it.
        missing: called with the number of each section that does not exist.
    """
    root = "../" * docname.count("/")
    if SECTION_SIGN.search(text):
        text = link_sections(text, read_sections(source), planned_chapters(source), root, missing)
    text = DECK.sub(lambda match: deck_line(source, int(match[1]), root), text)
    for marker, make in TABLES.items():
        if marker in text:
            text = text.replace(marker, make(source, root))
    return text
