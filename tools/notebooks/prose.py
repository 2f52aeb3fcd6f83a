"""What the words of a notebook say: its prose, the numbers in it, what its cells printed, and what it cites.

Used by ``rules``. Prose is every Markdown cell, the slides' own text and notes, and every alt text. A number of prose
is a decimal, a share in per cent, or one with a thousands separator. It must be said by a cell: printed, or written in
its code. Few digits are printed somewhere by chance, so a decimal must be said near: in its section or the one before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from nbformat import NotebookNode

from tools.notebooks.live import without_scripts

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
BARE = re.compile(
    r"\$+\s*((?:[\d.,]|\{,\})+)\s*(?:\\[,;])?\s*(?:\\?%)?\s*\$+"
)  # maths that is a number and nothing else
NUMBER = re.compile(
    r"(?<![\w.,])((?:\d[\d,]*)?\.\d+|(?<!\()0,\d+|\d{1,3}(?:,\d{3})+|\d+(?=\s*(?:%|per cent)))(?![\w]|[.,]\d)"
    r"(\s*(?:%|per cent))?"
)
LITERAL = re.compile(r"(?<![\w.])(?:\d[\d_]*(?:\.\d+)?|\.\d+)(?:e-?\d+)?(?![\w.])")  # in code
SENTENCE = re.compile(r"(?<=[.!?])[)*\"]*\s+(?=[A-Z*\"])")


def prose(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """Cell number (from 1) and text of all prose."""
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            yield number, cell.source
        slideshow = cell.metadata.get("slideshow", {})
        for key in ("text", "notes", "said"):
            if slideshow.get(key):
                yield number, slideshow[key]
        for output in cell.get("outputs", []):
            for entry in output.get("metadata", {}).values():
                if isinstance(entry, dict) and entry.get("alt"):
                    yield number, entry["alt"]


def without_code(text: str) -> str:
    """Markdown without code blocks and code spans."""
    return SPAN.sub(" ", FENCED.sub(" ", text))


def sentences(text: str, works: Works | None = None) -> list[str]:
    """The sentences of a paragraph, a table row or a list item; a link becomes the word LINKED.

    With ``works``, a link to anything else than a work of the bibliography stays no more than its words.
    """

    def word(match: re.Match[str]) -> str:
        return "LINKED" if works is None or work_of(match[1]) in works else match[0].partition("]")[0]

    return [
        part for line in re.split(r"\n\s*\n|\n(?=\s*[-*|>#\d])", LINK.sub(word, text)) for part in SENTENCE.split(line)
    ]


def typed_numbers(text: str, works: Works | None = None, *, given: bool = False) -> Iterator[tuple[str, bool]]:
    """Numbers that are neither maths, nor a version or section number, nor in a sentence that cites a work.

    A number alone between dollar signs is no maths, but where an exercise gives its numbers (``given``).

    Yields:
        The number as it is written, and whether a per cent sign follows.
    """
    text = text.replace(r"\$", " ")
    if not given:
        text = BARE.sub(lambda match: f" {match[1].replace('{,}', ',')}{' %' * ('%' in match[0])} ", text)
    text = MATHS.sub(" ", text)
    for sentence in sentences(text, works):
        if "LINKED" not in sentence:
            for match in NUMBER.finditer(NUMBERED.sub(" ", sentence)):
                yield match[1], bool(match[2])


def said_numbers(cells: list[NotebookNode]) -> list[Decimal]:
    """Every number that code cells printed or have in their code, without its sign."""
    texts, code = [], []
    for cell in cells:
        if cell.cell_type == "code":
            code.append(cell.source)
        for output in cell.get("outputs", []):
            texts += [output.get("text", ""), output.get("evalue", "")]
            data = output.get("data", {}).items()
            texts += [without_scripts(value) for mime, value in data if "text/" in mime and isinstance(value, str)]
    printed = re.sub(r"<[^>]+>", " ", "\n".join(texts))
    found = re.findall(r"(?<![\w.])(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?![\w]|\.\d)", printed)
    found += LITERAL.findall(re.sub(r"#[^\n]*", "", "\n".join(code)))  # a comment says nothing that a cell knows
    return sorted({Decimal(number.replace(",", "").replace("_", "").rstrip(".")) for number in found})


def named_sections(text: str) -> Iterator[str]:
    """Numbers of the chapters and sections that a text names: "chapter 3", "chapters 3, 4 and 5", "§3.4"."""
    yield from re.findall(r"(?i)(?:\b(?:chapter|section)\s+|§\s*)(\d+(?:\.\d+)?)", text)
    for names in re.findall(r"(?i)\b(?:chapters|sections)\s+(\d[\d.]*(?:(?:,| and| to| or)\s+\d[\d.]*)*)", text):
        yield from re.findall(r"\d+(?:\.\d+)?", names)


def is_said(number: str, percent: bool, said: list[Decimal]) -> bool:
    """Whether a said number, rounded to the digits of the number, is the number (or its hundredth, before %)."""
    if re.fullmatch(r"0,\d+", number):  # a decimal comma
        return False
    value = Decimal(number.replace(",", ""))
    half = Decimal(5).scaleb(value.as_tuple().exponent - 1)
    scales = (Decimal(1), Decimal(100)) if percent else (Decimal(1),)
    return any(abs(each * scale - value) <= half for scale in scales for each in said)


Works = dict[str, str]  # DOI, arXiv number or address of a work -> the year that the bibliography gives it, or ""


def read_works(bibliography: str) -> Works:
    """The works of a BibTeX file."""
    found = {}
    for entry in re.split(r"(?m)^@", bibliography):
        year = re.search(r"year\s*=\s*[{\"]?\s*(\d{4})", entry)
        keys = re.findall(r"(?:doi|eprint|url)\s*=\s*[{\"]\s*([^}\"\s]+)", entry)
        found |= {work_of(key) or key.lower(): year[1] if year else "" for key in keys}
    return found


def work_of(url: str) -> str:
    """The DOI or arXiv number that a link leads to, in lower case; other links as they are."""
    found = re.search(r"(?:doi\.org/|arxiv\.org/(?:abs|pdf)/)([^\s#?]+)", url.lower())
    if found is None:
        return url.lower()
    return re.sub(r"(v\d+)?(\.pdf)?$", "", found[1]) if "arxiv.org/" in url.lower() else found[1]


def wrong_citations(text: str, works: Works) -> Iterator[str]:
    """What is wrong with the links to works in a text: unknown to the bibliography, or of another year."""
    for match in LINK.finditer(text):
        url, work = match[1], work_of(match[1])
        if work not in works:
            if re.search(r"doi\.org/|arxiv\.org/(?:abs|pdf)/", url.lower()):
                yield f"cites {url}, which is not in references.bib: add it there"
        elif (said := re.search(r"\((\d{4})\)\]\(", match[0])) and works[work] not in ("", said[1]):
            yield f"gives {url} the year {said[1]}, references.bib says {works[work]}"
