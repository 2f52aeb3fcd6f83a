"""The whole book as one PDF and one EPUB, made from its built pages: ``make pdf epub``.

    python -m tools.book.print --pdf --epub

reads ``_build/html`` and writes ``_build/print/recommender-systems.pdf`` and ``.epub``. The pages become one document,
in the order of ``_toc.yml``: folds are open or left out, a live figure is its picture and its table, a link to a page
is a link inside the document. Pandoc turns it into an EPUB, and into the text that Typst sets as a PDF for every
reader (PDF/UA-1: tagged, a contents of links, each formula with its TeX source as its words).
"""

from __future__ import annotations

import argparse
import base64
import posixpath
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import yaml
from bs4 import BeautifulSoup, NavigableString, Tag

from tools.book import typeface
from tools.book.cells import CHECK, FIGURE, SAID
from tools.book.sections import find_chapters
from tools.notebooks.tables import merge_head
from tools.project import address

ROOT = Path(__file__).resolve().parents[2]
PAGES, OUTPUT = ROOT / "_build" / "html", ROOT / "_build" / "print"
TEMPLATE = Path(__file__).parent / "template"
NAME = "recommender-systems"
LEFT_OUT = {"book/decks", "book/live_figures"}  # links to decks, and figures that stand in the chapters
FRONT = "About this book"  # the title of the first page; the book's own stands on the cover
SCAFFOLD = {FIGURE, SAID, CHECK}  # folded code that a printed book does without
DROPPED = (
    "script, style, svg, button, .headerlink, .start, .letters, #the-chapters > :not(h2, .map), figure:has(.ratios),"
    " a[aria-label^='Deck of chapter']"
)
LINES = ("lead", "glance", "guess", "outcome")  # paragraphs that print.typ sets in their own way
NUMBER = re.compile(r"(?!.*[A-Za-z]{3})[-+−±<]?[\d.]|nan$|-?inf$")  # as assets/book.js has it
ELSEWHERE = re.compile(r"(?:https?|mailto):")
RENAMED = {"dot.circle": "dot.o"}  # symbols of Typst that pandoc calls by an old name


class PrintError(ValueError):
    """A page has something that cannot be printed; the message names the page."""


# --- the pages as one document -----------------------------------------------------------------------------------


def parts(source: Path = ROOT) -> list[tuple[str, list[str]]]:
    """Each part of ``_toc.yml`` with its pages, the first page in the first: ("First steps", ["notebooks/00_…", …])."""
    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))

    def files(entries: list[dict[str, Any]]) -> Iterator[str]:
        for entry in entries:
            yield entry["file"]
            yield from files(entry.get("sections", []))

    found = [(part["caption"], [*files(part["chapters"])]) for part in toc["parts"]]
    found[0][1].insert(0, toc["root"])
    return found


def anchor(page: str, place: str = "") -> str:
    """The name of a place of a page in the whole document."""
    return re.sub(r"[^\w-]", "-", f"{page}--{place}" if place else page)


def whole(output: Path, pages: Path = PAGES, source: Path = ROOT) -> str:
    """All pages as one HTML document; its pictures are put into ``output/pictures``.

    Raises:
        PrintError: a link inside the book that leads nowhere, a picture without words.
    """
    contents = [(part, [name for name in names if name not in LEFT_OUT]) for part, names in parts(source)]
    printed = {name for _, names in contents for name in names}
    stills = read_stills(source)
    shutil.rmtree(output / "pictures", ignore_errors=True)
    (output / "pictures").mkdir(parents=True)
    body = BeautifulSoup("<body></body>", "html.parser").body
    for part, names in contents:
        body.append(made("h1", part))
        for name in names:
            article = BeautifulSoup((pages / f"{name}.html").read_text(encoding="utf-8"), "html.parser").article
            if article is None:
                raise PrintError(f"{name}: no article on its page")
            clean(article, name)
            take_pictures(article, name, pages, output, stills)
            relink(article, name, printed)
            for heading in article.find_all(re.compile(r"^h[1-5]$")):
                heading.name = f"h{int(heading.name[1]) + 1}"
            body.extend(list(article.contents))
    settle(body)
    title = yaml.safe_load((source / "_config.yml").read_text(encoding="utf-8"))["title"]
    return f'<!doctype html><html lang="en"><head><title>{title}</title></head>{body}</html>'


def made(name: str, text: str = "", **attributes: str) -> Tag:
    """A new element."""
    tag = BeautifulSoup("", "html.parser").new_tag(
        name, attrs={key.rstrip("_"): value for key, value in attributes.items()}
    )
    tag.string = text
    return tag


def clean(article: Tag, page: str) -> None:
    """Leave of a page what a printed book has, in the elements that pandoc knows."""
    if page == "index":
        article.h1.string = FRONT
    for tag in article.select(DROPPED):
        tag.decompose()
    for fold in article.find_all("details"):
        unfold(fold)
    for row in article.select("ul.glance"):
        row.replace_with(glance(row))
    for box in article.select("div.admonition"):
        title = box.find(class_="admonition-title")
        box.attrs = {"class": "callout", "data-kind": next(iter(set(box["class"]) - {"admonition"}), "")}
        title.name, title.attrs = "p", {}
    for title in article.select(".sd-card-title"):
        title.name = "p"
        title.wrap(made("strong")).wrap(made("p"))
        title.unwrap()
    for formula in article.select(".math"):
        set_formula(formula)
    for block in article.select("div.highlight"):
        set_code(block)
    for table in article.find_all("table"):
        set_table(table)
    for name in LINES:
        for line in article.select(f"p.{name}"):
            line.wrap(made("div", class_=f"line {name}"))
    for term in article.find_all("dt"):
        for text in term.find_all(string=True):
            text.replace_with(" ".join(text.split()) if text.strip() else "")


def read_stills(source: Path) -> dict[str, bytes]:
    """The pictures of the chapters' live figures by their words."""
    found = {}
    for path in find_chapters(source).values():
        for cell in nbformat.read(source / path, as_version=4).cells:
            for output in cell.get("outputs", []):
                if output.get("data", {}).get("text/html", "").startswith("<live-"):
                    words = output.metadata["image/png"]["alt"]
                    found[words] = base64.b64decode(output.data["image/png"])
    return found


def take_pictures(article: Tag, page: str, pages: Path, output: Path, stills: dict[str, bytes]) -> None:
    """Put a page's pictures beside the document; a live figure becomes its picture, its words and its table.

    Raises:
        PrintError: a picture without words.
    """
    for image in article.find_all("img"):
        file = (pages / posixpath.dirname(page) / image["src"]).resolve()
        if not image.get("alt", "").strip():
            raise PrintError(f"{page}: a picture without words: {image['src']}")
        shutil.copy2(file, output / "pictures" / file.name)
        image["src"] = f"pictures/{file.name}"
        if width := re.search(r"width: ([\d.]+(?:px|%))", image.attrs.pop("style", "")):
            image["width"] = width[1]
        if image.parent.name == "a":
            image.parent.unwrap()
    for live in article.find_all(lambda tag: tag.name.startswith("live-")):
        words = live.p.get_text()
        file = f"pictures/{live.name}-{len(words)}.png"
        (output / file).write_bytes(stills[words])
        figure, caption = made("figure"), made("figcaption")
        caption.extend([made("strong", "Live figure."), NavigableString(f" {words}")])
        figure.extend([made("img", src=file, alt="Live figure", width="100%"), caption])
        live.insert_before(figure)
        if table := live.table:
            set_table(table)
            live.insert_before(table.extract())
        live.decompose()


def set_table(table: Tag) -> None:
    """Numbers of a table stand right, words left, with the head of their column; the best value is bold."""
    merge_head(table)
    for name in table.select("tbody th"):
        name["style"] = "text-align: left"
    for best in table.select("td.best"):
        best.contents[0].wrap(made("strong"))
    rows = [row.find_all("td") for row in table.select("tbody tr")]
    heads = table.select("thead tr:last-child > *")
    for place in range(len(rows[0]) if rows else 0):
        column = [row[place] for row in rows if place < len(row)]
        texts = [text for cell in column if (text := cell.get_text(strip=True)) and text != "–"]
        side = "right" if any(NUMBER.match(text) for text in texts) else "left"
        for cell in [*column, *heads[len(heads) - len(rows[0]) + place :][:1]]:
            cell["style"] = f"text-align: {side}"


def unfold(fold: Tag) -> None:
    """Open a fold, or leave it out: what draws a figure or words a sentence, and the cells for answers."""
    if fold.decomposed:
        return
    line = fold.summary.get_text(" ", strip=True) if fold.summary else ""
    names = fold.summary.find_all("p") if fold.summary else []
    line = names[0].get_text(strip=True) if names else line
    if line in SCAFFOLD:
        fold.decompose()
        return
    if fold.summary:
        fold.summary.replace_with(made("p", line))
    fold.name, fold.attrs = "div", {"class": "fold"}


def glance(row: Tag) -> Tag:
    """The row under a title as one line: Colab, solutions, time, what the chapter builds on."""
    line = made("p", class_="glance")
    for item in row.find_all("li"):
        for image in item.find_all("img"):
            image.replace_with(image["alt"])
        if item.find("a", href=re.compile("slides/")):
            continue
        if line.contents[1:]:
            line.append(" · ")
        inner = item.p or item
        line.extend(list(inner.contents))
    return line


def set_formula(formula: Tag) -> None:
    """Give a formula the form in which pandoc reads it."""
    text = formula.get_text()
    display = formula.name == "div"
    tex = re.sub(r"^\s*(\\\(|\\\[)|(\\\)|\\\])\s*$", "", text).strip()
    formula.name, formula.attrs = "span", {"class": f"math {'display' if display else 'inline'}"}
    formula.string = f"\\[{tex}\\]" if display else f"\\({tex}\\)"
    if display:
        formula.wrap(made("p"))


def set_code(block: Tag) -> None:
    """A code block without the marks of its highlighting; what is printed has the class ``printed``."""
    kinds = {"highlight-ipython3": "python", "highlight-python": "python", "highlight-bash": "bash"}
    around = block.parent.get("class", []) if block.parent else []
    language = next((kinds[name] for name in around if name in kinds), "printed")
    pre = made("pre", class_=language)
    pre.append(made("code", block.get_text().rstrip("\n")))
    block.replace_with(pre)


def relink(article: Tag, page: str, printed: set[str]) -> None:
    """Name the places of a page in the whole document, and let its links lead there or stay what they are outside."""
    for tag in article.find_all(id=True):
        tag["id"] = anchor(page, tag["id"])
    article.h1["id"] = anchor(page)
    for link in article.find_all("a"):
        target = link.get("href", "")
        if ELSEWHERE.match(target):
            continue
        path, _, place = target.partition("#")
        to = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)).removesuffix(".html") if path else page
        if to in printed and target:
            link.attrs = {"href": f"#{anchor(to, place)}"}
        else:
            link.unwrap()


def settle(body: Tag) -> None:
    """Give each place that a link asks for one mark that pandoc keeps, and take all other ids and sections away.

    Raises:
        PrintError: a link to a place that is nowhere.
    """
    wanted = {link["href"][1:] for link in body.find_all("a", href=re.compile("^#"))}
    known, same = set(), {}  # a heading has one name: a mark inside it would stand in the contents, too
    for tag in body.find_all(id=True):
        name = tag["id"]
        if re.fullmatch(r"h[1-6]", tag.name) and name not in known:
            known.add(name)
            continue
        del tag["id"]
        if name not in wanted or name in known:
            continue
        known.add(name)
        heading = tag.find(re.compile(r"^h[1-6]$"), recursive=False) if tag.name == "section" else None
        if heading:
            same[name] = heading["id"] = heading.get("id") or name
        else:
            (tag.find("p") or tag).insert(0, made("span", id=name))
    for link in body.find_all("a", href=re.compile("^#")):
        link["href"] = "#" + same.get(link["href"][1:], link["href"][1:])
    if lost := sorted(wanted - known):
        raise PrintError(f"links to nowhere: {lost[:9]}")
    for section in body.find_all("section"):
        section.unwrap()


# --- the two forms ------------------------------------------------------------------------------------------------


def convert(text: str, kind: str, target: Path, *options: str) -> None:
    """Let pandoc turn the document into a file; a warning of pandoc is an error."""
    import pypandoc

    home = address.read(ROOT)
    metadata = {
        "subtitle": "A book that you run",
        "author": "The authors of the book",
        "version": f"{home.tag}, {home.slug}",
        "lang": "en-GB",
        "rights": "Text: CC BY 4.0. Code: BSD-3-Clause.",
    }
    pypandoc.convert_text(
        text,
        kind,
        format="html-auto_identifiers+tex_math_single_backslash",
        outputfile=target,
        extra_args=[
            "--standalone",
            "--fail-if-warnings",
            f"--lua-filter={TEMPLATE / 'print.lua'}",
            f"--resource-path={target.parent}",
            *(f"--metadata={key}={value}" for key, value in metadata.items()),
            *options,
        ],
    )


def write_pdf(text: str, output: Path) -> Path:
    """Set the document with Typst and return the PDF."""
    import typst

    source, target = output / f"{NAME}.typ", output / f"{NAME}.pdf"
    convert(text, "typst", source, f"--template={TEMPLATE / 'print.typ'}", "--syntax-highlighting=idiomatic")
    marked = source.read_text(encoding="utf-8")
    for old, new in RENAMED.items():
        marked = marked.replace(old, new)
    source.write_text(marked, encoding="utf-8")
    typst.compile(
        source,
        output=target,
        root=output,
        font_paths=[typeface.print_fonts()],
        ignore_system_fonts=True,
        pdf_standards=["ua-1"],
        timestamp=datetime.fromtimestamp(0, UTC),
    )
    return target


def write_epub(text: str, output: Path) -> Path:
    """Let pandoc write the EPUB and return it."""
    target = output / f"{NAME}.epub"
    typeface.copy_to(output / "fonts")
    fonts = [f"--epub-embed-font={file}" for file in sorted((output / "fonts").glob("*.woff2"))]
    levels = ["--toc-depth=3", "--split-level=2"]
    convert(text, "epub3", target, f"--css={TEMPLATE / 'print.css'}", "--mathml", *levels, *fonts)
    return target


def main() -> int:
    """Read the command line and write what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdf", action="store_true")
    parser.add_argument("--epub", action="store_true")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if not (PAGES / "index.html").exists():
        raise SystemExit("the book is printed from its pages: make book")
    options.output.mkdir(parents=True, exist_ok=True)
    text = whole(options.output)
    for wanted, write in ((options.pdf, write_pdf), (options.epub, write_epub)):
        if wanted:
            print(write(text, options.output))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
