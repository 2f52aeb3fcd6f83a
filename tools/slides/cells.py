"""From one cell of a notebook to the HTML of a slide: Markdown, highlighted code, outputs."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html import escape
from itertools import zip_longest
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from nbconvert.filters import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from tools.notebooks.live import is_live, without_scripts
from tools.notebooks.tables import dress, set_signs, signs
from tools.slides.deck import Block, DeckError

# the richest form that a slide can show comes first
MIMES = ("text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/html", "text/latex", "text/plain")
FORBIDDEN = ("script", "iframe", "link", "object", "video", "audio")
EXTERNAL = re.compile(r"(https?:)?//")
OUTCOME = re.compile(r"(.+): (.+?)( .+)? \(no guess yet\)")  # what a prediction's outcome says to a reader
NUMBER = re.compile(r"(?!.*[A-Za-z]{3})[-+−±]?[\d.]|nan$|-?inf$")  # "2001: A Space Odyssey" is none


def block_html(block: Block, folder: Path) -> str:
    """The HTML of one cell: text of ours, code, outputs.

    Args:
        block: from ``deck``.
        folder: where the notebook lies; pictures in its Markdown are looked up from here.

    Raises:
        DeckError: a picture without alt text, a missing file, an external resource, a failed cell.
    """
    cell = block.cell
    if cell.cell_type == "markdown":
        return markdown_html(cell.source if block.text is None else block.text, block.where, folder)
    parts = [markdown_html(block.text, block.where, folder)] if block.text else []
    if cell.cell_type == "code":
        if not block.tagged("slide-hide-input"):
            parts.append(_code(cell.source))
        if block.said is not None:
            parts.append(_said(block, folder))
        if not block.tagged("slide-hide-output"):
            parts += [_output(output, block, folder) for output in cell.outputs]
    return "\n".join(parts)


def markdown_html(source: str, where: str, folder: Path) -> str:
    """The HTML of Markdown; its maths is left for MathJax. ``where`` is for messages."""
    renderer = IPythonRenderer(escape=False, exclude_anchor_links=True)
    return _checked(MarkdownWithMath(renderer=renderer).render(source), where, folder)


def _checked(html: str, where: str, folder: Path) -> str:
    """HTML with its pictures inlined and nothing in it that would need the network."""
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(FORBIDDEN):
        raise DeckError(where, f"<{tag.name}> does not belong on a slide")
    for image in soup.find_all("img"):
        if not image.get("alt", "").strip():
            raise DeckError(where, f"picture without alt text: {image.get('src', '')[:60]}")
        _embed(image, where, folder)
    for link in soup.find_all("a"):
        # A deck stands alone: a link to a neighbour in the book would lead nowhere.
        if not EXTERNAL.match(link.get("href", "")):
            link.unwrap()
    set_signs(soup)
    return str(soup)


def _embed(image: object, where: str, folder: Path) -> None:
    source = image["src"]
    if source.startswith("data:"):
        return
    kinds = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
    path = (folder / source).resolve()
    if EXTERNAL.match(source) or path.suffix not in kinds or not path.is_file():
        raise DeckError(where, f"no such picture in the project: {source}")
    image["src"] = f"data:{kinds[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _code(source: str) -> str:
    """Highlighted code."""
    body = highlight(source.rstrip(), PythonLexer(), HtmlFormatter(nowrap=True)).rstrip("\n")
    return f'<pre class="code mathjax_ignore"><code>{body}</code></pre>'


def _output(output: dict, block: Block, folder: Path) -> str:
    if output.output_type == "stream":
        # standard error is progress bars and warnings: not for the audience
        return _printed(output.text, block) if output.name == "stdout" and block.said is None else ""
    if output.output_type == "error":
        if not block.tagged("raises-exception"):
            raise DeckError(block.where, f"the cell failed: {output.ename}")
        return _plain(f"{output.ename}: {output.evalue}", "error")
    if is_live(html := output.data.get("text/html", "")):
        _checked(without_scripts(html), block.where, folder)
        return f'<div class="live">{html}</div>'
    mime = next((mime for mime in MIMES if mime in output.data), None)
    if mime is None:
        return ""  # glue, widgets
    data = output.data[mime]
    if mime.startswith("image/"):
        alt = output.metadata.get(mime, {}).get("alt", "").strip()
        if not alt:
            raise DeckError(block.where, f"picture without alt text ({mime} output)")
        coded = base64.b64encode(data.encode()).decode() if mime == "image/svg+xml" else "".join(data.split())
        return f'<img src="data:{mime};base64,{coded}" alt="{escape(alt)}">'
    if mime in ("text/markdown", "text/latex"):
        return markdown_html(data, block.where, folder)
    return _plain(data) if mime == "text/plain" else _table(_checked(data, block.where, folder))


def _printed(text: str, block: Block) -> str:
    """The outcome of a prediction as one large number, nothing where a table or a figure says it as well."""
    found = OUTCOME.fullmatch(text.strip())
    if found is None:
        raise DeckError(block.where, "prints on a slide: say it in slideshow's `said`, or hide it by slide-hide-output")
    return "" if len(block.cell.outputs) > 1 else _answer(found[2], found[3] or "", f"<p>{escape(found[1])}</p>")


def _said(block: Block, folder: Path) -> str:
    """Our words for what a cell printed; a first line ``# 6.3 per cent`` is one large number."""
    first, _, rest = block.said.partition("\n")
    if not first.startswith("# "):
        return markdown_html(block.said, block.where, folder)
    value, _, unit = first[2:].partition(" ")
    return _answer(value, unit and f" {unit}", markdown_html(rest, block.where, folder))


def _answer(value: str, unit: str, about: str) -> str:
    words, value = "" if NUMBER.match(value) else " words", signs(value)
    large = f"{value}{unit}" if words else value
    unit = "" if words else f"<span>{escape(unit)}</span>"
    return f'<div class="answer{words}"><p class="value">{escape(large)}{unit}</p>{about}</div>'


def _plain(text: str, kind: str = "output") -> str:
    return f'<pre class="{kind} mathjax_ignore">{escape(strip_ansi(text).rstrip())}</pre>'


def _table(html: str) -> str:
    """A pandas table without its own style and its "n rows × m columns" line."""
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all("style", scoped=True):
        tag.decompose()
    for tag in soup.find_all("p", string=re.compile(r"^\d+ rows × \d+ columns$")):
        tag.decompose()
    for table in soup.find_all("table"):
        for row in table.find_all("tr"):
            row.attrs = {}
        dress(table)
        _mark_words(table)
        for name in table.select("tbody th"):
            if name.string and len(name.string) <= 11:  # "1 neighbour" is one word
                name.string = name.string.replace(" ", "\N{NO-BREAK SPACE}")
        size = _size(table)
        table.attrs = {"class": size} if size else {}
    return f'<div class="table mathjax_ignore">{soup}</div>'


def _size(table: Tag) -> str:
    """The class of a table: ``small`` when it needs the smaller type, ``broad`` when it does on a 4:3 screen alone."""
    # pixels in the larger type: a letter, the room around a cell; its numbers never break, its words may
    words, lines = _widest(table, _longest_word), _widest(table, len)
    least, line = (18 * sum(letters) + 48 * len(letters) for letters in (words, lines))
    rows = len(table.find_all("tr"))
    if least > 1150 or rows > 8 or (line > 1150 and rows > 5):
        return "small"
    return "broad" if least > 992 else ""


def _longest_word(text: str) -> int:
    return len(text) if NUMBER.match(text) else max(map(len, text.split(" ")))


def _widest(table: Tag, measure: Callable[[str], int]) -> list[int]:
    """The largest measure of the texts of each column."""
    rows = [[measure(cell.get_text(strip=True)) for cell in row.find_all(["th", "td"])] for row in table.find_all("tr")]
    return [max(column) for column in zip_longest(*rows, fillvalue=0)]


def _mark_words(table: Tag) -> None:
    """Give the class ``words`` to a column without any number, its heading included, and to the heads of names."""
    for head in table.select("thead tr:last-child > th")[: len(table.select("tbody tr:first-child > th"))]:
        head["class"] = "words"
    rows = [row.find_all("td") for row in table.tbody.find_all("tr")] if table.tbody else []
    for place, column in enumerate(zip(*rows, strict=False)):
        texts = list(filter(None, (cell.get_text(strip=True) for cell in column)))
        if texts and not any(NUMBER.match(text) for text in texts):
            heads = table.thead.find_all("tr")[-1].find_all("th") if table.thead else []
            for cell in [*column, *heads[len(heads) - len(rows[0]) + place :][:1]]:
                cell["class"] = "words"
