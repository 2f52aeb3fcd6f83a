"""From a notebook's cells to the slides of its deck: the rules of the ``slideshow`` metadata, no HTML.

``slide_type`` says where a cell stands: ``slide`` begins a slide, ``subslide`` one of the same thought, ``fragment``
appears on the next key, ``-`` continues, ``notes`` is for the speaker, ``skip`` (or no metadata) is not in the deck.
Three more keys of ours: ``notes`` (speaker notes of that slide), ``text`` (stands in place of a Markdown cell's
prose, or in front of a code cell) and ``said`` (stands in place of what a code cell printed). Tags:
``slide-hide-input``, ``slide-hide-output``, ``slide-given``, ``cols-left``, ``cols-right``, ``cols-end``,
``section-slide``, ``closing-slide``. The first cell is the title slide, whatever its metadata. A cell tagged
``came-out`` answers a question: the question has its slide, the answer the next one, under the same heading and with
the same notes. What a cell shows below a ``text`` that asks is a fragment by itself, unless ``slide-given`` says that
it belongs to the question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import nbformat

from tools.notebooks.live import is_live

TYPES = ("slide", "subslide", "fragment", "-", "notes", "skip")
KEYS = ("slide_type", "notes", "text", "said")
COLUMNS = {"cols-left": "left", "cols-right": "right", "cols-end": "below"}
KINDS = {"section-slide": "section", "closing-slide": "closing"}
TAGS = ("slide-hide-input", "slide-hide-output", "slide-given", *COLUMNS, *KINDS)
AFTER = {"left": ("",), "right": ("left",), "below": ("right",)}


class DeckError(ValueError):
    """A notebook cannot become a deck; the message names the notebook and the cell, counted from 1."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")


@dataclass
class Block:
    """One cell on a slide.

    Attributes:
        where: notebook and cell, for messages.
        cell: the notebook cell.
        text: Markdown of ours that stands in place of prose, or in front of code; None when there is none.
        said: Markdown of ours that stands in place of what the cell printed; None when there is none.
        fragment: appears on the next key.
        column: "" for the full width above, "left", "right", or "below" both columns.
    """

    where: str
    cell: nbformat.NotebookNode
    text: str | None = None
    said: str | None = None
    fragment: bool = False
    column: str = ""

    @property
    def words(self) -> str:
        """The Markdown that the slide shows of the cell, its outputs apart."""
        return (self.cell.source if self.cell.cell_type == "markdown" else "") if self.text is None else self.text

    def tagged(self, tag: str) -> bool:
        """Whether the cell carries a tag."""
        return tag in self.cell.metadata.get("tags", [])


@dataclass
class Slide:
    """One slide: its cells in order, and what the speaker says (Markdown).

    ``asked`` is the slide whose question this one answers, under the same heading.
    """

    kind: str = "content"  # or title, section, closing
    sub: bool = False
    blocks: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asked: Slide | None = None


@dataclass
class Deck:
    """A lecture: ``title`` without its ``number`` ("3", or "" when there is none), one ``sentence``, the slides."""

    name: str
    number: str
    title: str
    sentence: str
    slides: list[Slide]


def has_slides(notebook: nbformat.NotebookNode) -> bool:
    """Whether any cell asks to be in a deck."""
    return any(cell.metadata.get("slideshow", {}).get("slide_type", "skip") != "skip" for cell in notebook.cells)


def read_deck(path: Path) -> Deck:
    """Sort the cells of a notebook into slides.

    Args:
        path: the ``.ipynb`` file; its outputs are taken as they are.

    Raises:
        DeckError: metadata that this module's rules do not know, or a deck without a slide of its own.
    """
    notebook = nbformat.read(path, as_version=4)
    if not has_slides(notebook):
        raise DeckError(path.name, "no cell has slideshow metadata")
    deck = _title(path, notebook.cells[0])
    for index, cell in enumerate(notebook.cells[1:], start=2):
        _add(deck, Block(f"{path.name}, cell {index}", cell))
    for slide in deck.slides:
        columns = [block.column for block in slide.blocks]
        if "left" in columns and "right" not in columns:
            raise DeckError(slide.blocks[0].where, "cols-left without a cols-right on the same slide")
    if len(deck.slides) == 1:
        raise DeckError(path.name, "no cell begins a slide")
    return deck


def _title(path: Path, cell: nbformat.NotebookNode) -> Deck:
    where = f"{path.name}, cell 1"
    found = re.match(r"# +(?:(\d+)\. +)?(.+)", cell.source) if cell.cell_type == "markdown" else None
    if found is None:
        raise DeckError(where, "the first cell must be Markdown that begins with '# N. Title'")
    slideshow = _slideshow(where, cell)
    prose = slideshow.get("text") or re.sub(r"\[!\[.*?\]\(.*?\)\]\(.*?\)", "", cell.source[found.end() :])
    sentence = next((part.strip() for part in re.split(r"\n\s*\n", prose) if part.strip()), "")
    notes = [slideshow["notes"]] if "notes" in slideshow else []
    return Deck(path.stem, found[1] or "", found[2].strip(), sentence, [Slide("title", notes=notes)])


def _slideshow(where: str, cell: nbformat.NotebookNode) -> dict[str, str]:
    slideshow = dict(cell.metadata.get("slideshow", {}))
    if unknown := sorted(set(slideshow) - set(KEYS)):
        raise DeckError(where, f"unknown slideshow key {unknown}, there are {list(KEYS)}")
    if slideshow.get("slide_type", "-") not in TYPES:
        raise DeckError(where, f"unknown slide_type {slideshow['slide_type']!r}, there are {list(TYPES)}")
    ours = [tag for tag in cell.metadata.get("tags", []) if re.match(r"slide|cols|section|closing", tag)]
    if unknown := sorted(set(ours) - set(TAGS)):
        raise DeckError(where, f"unknown slide tag {unknown}, there are {list(TAGS)}")
    return slideshow


def _add(deck: Deck, block: Block) -> None:
    """Put one cell where its metadata says."""
    slideshow = _slideshow(block.where, block.cell)
    kind = slideshow.get("slide_type", "skip")
    if kind == "skip":
        if found := {"notes", "text", "said"} & set(slideshow):
            raise DeckError(block.where, f"{sorted(found)} on a cell that is not in the deck")
        return
    kinds = [KINDS[tag] for tag in KINDS if block.tagged(tag)]
    if kind in ("slide", "subslide"):
        deck.slides.append(Slide(kinds[0] if kinds else "content", kind == "subslide"))
    elif kinds:
        raise DeckError(block.where, "section-slide and closing-slide belong on the cell that begins the slide")
    slide = deck.slides[-1]
    if slide.kind == "title" and kind != "notes":
        raise DeckError(block.where, f"slide_type {kind!r} before the first slide")
    if kind == "notes":
        if block.cell.cell_type != "markdown":
            raise DeckError(block.where, "a notes cell must be Markdown")
        slide.notes.append(slideshow.get("text", block.cell.source))
        return
    if "notes" in slideshow:
        slide.notes.append(slideshow["notes"])
    if block.tagged("came-out") and slide.asked is None and _asks(slide):
        slide = Slide(sub=True, notes=slide.notes, asked=slide)
        deck.slides.append(slide)
        kind = "-"
    block.text, block.said = slideshow.get("text"), slideshow.get("said")
    block.fragment = kind == "fragment"
    block.column = _column(slide, block)
    if block.text and slide.asked is None and holds_back(block):
        slide.blocks.append(replace(block, cell=nbformat.v4.new_markdown_cell(block.text), text=None, said=None))
        block.text, block.fragment = None, True
    slide.blocks.append(block)


def asks(text: str) -> bool:
    """Whether Markdown asks: a heading with a question mark, or a line that ends in one."""
    lines = [line.strip(" *_") for line in text.splitlines()]
    return any(line.endswith("?") or (line.startswith("#") and "?" in line) for line in lines)


def holds_back(block: Block) -> bool:
    """Whether what a code cell shows answers the text in front of it."""
    open_ = block.tagged("predict") or block.tagged("slide-given")
    shown = [] if block.tagged("slide-hide-output") else block.cell.get("outputs", [])
    data = [each["data"] for each in shown if "data" in each]
    live = any(is_live(each.get("text/html", "")) for each in data)
    return asks(block.text) and not open_ and not live and (block.said is not None or bool(data))


def _asks(slide: Slide) -> bool:
    """Whether a slide has more than a heading that asks nothing."""
    words = [block.cell.source if block.text is None else block.text for block in slide.blocks]
    return len(words) > 1 or any("\n" in text.strip() or "?" in text for text in words)


def _column(slide: Slide, block: Block) -> str:
    before = slide.blocks[-1].column if slide.blocks else ""
    columns = [COLUMNS[tag] for tag in COLUMNS if block.tagged(tag)]
    if not columns:
        return before
    if len(columns) > 1 or before not in AFTER[columns[0]]:
        raise DeckError(block.where, "columns go cols-left, cols-right, cols-end, once a slide, one tag a cell")
    return columns[0]
