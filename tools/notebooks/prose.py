"""What the words of a notebook say: its prose, the decimals in it, and what its cells printed.

Used by ``rules``. Prose is every Markdown cell, the slides' own text and notes, and every alt text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from nbformat import NotebookNode

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((https?://[^)\s]*(?:\([^)\s]*\)[^)\s]*)*)[^)]*\)")
MATHS = re.compile(r"\$\$.*?\$\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|\$(?:[^$\n]|\n(?!\n))+?\$", re.DOTALL)
FENCED = re.compile(r"^(```+|~~~+).*?^\1", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"(`+).+?\1", re.DOTALL)
NUMBERED = re.compile(
    r"^#+\s+\d+(?:\.\d+)*"  # a heading's own number
    r"|\b(?:sections?|chapters?|equations?|eq\.|figures?|tables?|exercises?|steps?)\s+\(?\d+(?:\.\d+)*"
    r"(?:\)?(?:,| and| to| or)\s+\(?\d+(?:\.\d+)*)*"
    r"|§\s*\d+(?:\.\d+)*"
    r"|\b(?:python|pytorch|torch|numpy|pandas|scikit-learn|matplotlib|jupyter|version|release|cc by)\s+v?\d+(?:\.\d+)+",
    re.IGNORECASE | re.MULTILINE,
)
DECIMAL = re.compile(r"(?<![\w.])(\d[\d,]*\.\d+)(?![\w]|\.\d)(\s*%)?")
SENTENCE = re.compile(r"(?<=[.!?])[)*\"]*\s+(?=[A-Z*\"])")


def prose(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Cell number (from 1) and text of all prose."""
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            yield number, cell.source
        slideshow = cell.metadata.get("slideshow", {})
        for key in ("text", "notes"):
            if slideshow.get(key):
                yield number, slideshow[key]
        for output in cell.get("outputs", []):
            for entry in output.get("metadata", {}).values():
                if isinstance(entry, dict) and entry.get("alt"):
                    yield number, entry["alt"]


def without_code(text: str) -> str:
    """Markdown without code blocks and code spans."""
    return SPAN.sub(" ", FENCED.sub(" ", text))


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph, a table row or a list item; links are replaced by the word LINKED."""
    return [
        part
        for line in re.split(r"\n\s*\n|\n(?=\s*[-*|>#\d])", LINK.sub("LINKED", text))
        for part in SENTENCE.split(line)
    ]


def typed_decimals(text: str) -> Iterator[tuple[str, bool]]:
    """Decimals that are neither maths, nor a version or section number, nor in a sentence that cites a source.

    Yields:
        The decimal as it is written, and whether a per cent sign follows.
    """
    text = MATHS.sub(" ", text.replace(r"\$", " "))
    for sentence in sentences(text):
        if "LINKED" not in sentence:
            for match in DECIMAL.finditer(NUMBERED.sub(" ", sentence)):
                yield match[1], bool(match[2])


def printed_numbers(notebook: NotebookNode) -> list[Decimal]:
    """Every number that a cell of the notebook printed, without its sign."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts += [output.get("text", ""), output.get("evalue", "")]
            texts += [value for mime, value in data.items() if "text/" in mime and isinstance(value, str)]
    found = re.findall(
        r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w]|\.\d)", re.sub(r"<[^>]+>", " ", "\n".join(texts))
    )
    return sorted({Decimal(number.replace(",", "").rstrip(".")) for number in found})


def is_printed(decimal: str, percent: bool, printed: list[Decimal]) -> bool:
    """Whether a printed number, rounded to the digits of the decimal, is the decimal (or its hundredth, before %)."""
    value = Decimal(decimal.replace(",", ""))
    half = Decimal(5).scaleb(value.as_tuple().exponent - 1)
    scales = (Decimal(1), Decimal(100)) if percent else (Decimal(1),)
    return any(abs(number * scale - value) <= half for scale in scales for number in printed)
