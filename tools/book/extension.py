"""What the book needs from Sphinx beyond Jupyter Book; ``_config.yml`` loads it.

- Output images take their alt text from the output's metadata, ``{"image/png": {"alt": ...}}``.
- A notebook's page has boxes, folds, captions and a row of links under its title: see ``cells``.
- An image without alt text, or from another machine, is a warning, and the build fails on warnings.
- The Colab badge of a notebook becomes the local one in ``assets/``: no page asks another machine for anything.
- ``<!-- chapters -->`` and ``<!-- decks -->`` in a page become lists made from ``book/parts.yml`` and the tree;
  what ``book_sections`` reads from the notebooks is put in, too.
- MathJax is copied from its registry package, the decks from ``_build/slides``.
"""

from __future__ import annotations

import html
import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from myst_nb.core.render import MimeData, NbElementRenderer
from sphinx.application import Sphinx
from sphinx.util import logging

from tools.book import typeface
from tools.book.cells import arrange, fold, set_words
from tools.book.live_figures import fill_live
from tools.book.ratios import ratios_html
from tools.book.sections import by_letter, fill_page, find_chapters, read_plan
from tools.project import address

LOGGER = logging.getLogger(__name__)

COLAB_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
LOCAL_BADGE = "/assets/colab.svg"
PICTURE = "assets/readme.png"  # of the first page, for those who share an address
MATHJAX = ("tex-chtml-full.js", "output/chtml/fonts/woff-v2")
IMAGE_TAG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
ALT = re.compile(r"""\balt\s*=\s*("[^"]*\S[^"]*"|'[^']*\S[^']*')""", re.IGNORECASE)
REMOTE = re.compile(r"^(https?:)?//", re.IGNORECASE)


# --- lists that are made, not kept ----------------------------------------------------------------------------


def title_of(notebook: Path) -> str:
    """The first heading of a notebook, ``"3. Evaluation"``."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "markdown" and (heading := re.search(r"^# +(.+)$", cell.source, re.MULTILINE)):
            return heading[1].strip()
    return notebook.stem


def chapters_markdown(source: Path) -> str:
    """Each part with links to the chapters that exist and, on one line, the names of those to come."""
    existing = find_chapters(source)
    blocks = []
    for part in read_plan(source)["parts"]:
        lines = ["### " + part["title"], "", part["about"], ""]
        coming = []
        for number, title in part["chapters"].items():
            if number in existing:
                lines.append(f"- [{title_of(source / existing[number])}]({existing[number].as_posix()})")
            else:
                coming.append(f"{number}.\N{NO-BREAK SPACE}{title}")
        if coming:
            lines += ["", "{.coming}", f"To come: {'; '.join(coming)}."]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def decks_markdown(source: Path) -> str:
    """A table with each chapter's deck and its PDF, as far as they are in ``_build/slides``."""
    slides = source / "_build/slides"
    decks = [book for book in find_chapters(source).values() if (slides / f"{book.stem}.html").exists()]
    if not decks:
        return "This copy of the book was built without decks. `make slides` makes them, `make book` links them here."
    formats = [("Deck", "html", "open the deck"), ("Print", "pdf", "PDF")]
    formats = [form for form in formats if any((slides / f"{book.stem}.{form[1]}").exists() for book in decks)]
    rows = ["| Chapter | " + " | ".join(head for head, _, _ in formats) + " |", "|---" * (1 + len(formats)) + "|"]
    for book in decks:
        title = title_of(source / book)
        cells = [f"[{title}](../{book.as_posix()})"]
        for head, suffix, text in formats:
            name, label = f"{book.stem}.{suffix}", f"{head} of {title}: {text}".replace('"', "&quot;")
            link = f'<a href="../slides/{name}" aria-label="{label}">{text}</a>'
            cells.append(link if (slides / name).exists() else "")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


MARKERS = {"<!-- chapters -->": chapters_markdown, "<!-- decks -->": decks_markdown, "<!-- ratios -->": ratios_html}


def beside(source: Path, page: Path) -> tuple[list[str], str]:
    """Links of a chapter to its deck and its solutions, and the chapters that it builds on, as Markdown."""
    chapters = find_chapters(source)
    number = next((number for number, path in chapters.items() if path.with_suffix("") == page), None)
    if number is None:
        return [], ""
    links, name, root = [], page.name, "../" * (len(page.parts) - 1)
    if (source / f"_build/slides/{name}.html").exists():
        links.append(f'<a href="{root}slides/{name}.html" aria-label="Deck of chapter {number}">Deck</a>')
    if (source / f"notebooks/solutions/{name}.ipynb").exists():
        links.append(f"[Solutions](solutions/{name}.ipynb)")
    needs = [f"[{n}]({chapters[n].name})" for n in read_plan(source)["needs"].get(number, []) if n in chapters]
    return links, f"Builds on {' and '.join(filter(None, [', '.join(needs[:-1]), needs[-1]]))}" if needs else ""


def prepare_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the local badge and the generated lists into a page before it is parsed."""
    source[0] = source[0].replace(COLAB_BADGE, LOCAL_BADGE)
    if app.env.doc2path(docname).endswith(".ipynb"):
        source[0] = fold(source[0], *beside(Path(app.srcdir), Path(docname)))
        return
    for marker, make in MARKERS.items():
        if marker in source[0]:
            source[0] = source[0].replace(marker, make(Path(app.srcdir)))

    def missing(number: str) -> None:
        LOGGER.warning("no such section: %s", number, location=docname, type="course", subtype="section")

    source[0] = by_letter(fill_page(fill_live(source[0], Path(app.srcdir)), Path(app.srcdir), docname, missing))


# --- pictures --------------------------------------------------------------------------------------------------


def take_alt_from_output(original: Any) -> Any:
    """Wrap myst-nb's ``render_image``, which reads width and height of the output's metadata, but not ``alt``."""

    def render_image(self: NbElementRenderer, data: MimeData) -> list[nodes.Element]:
        rendered = original(self, data)
        alt = data.output_metadata.get(data.mime_type, {}).get("alt")
        for node in rendered:
            if alt:
                node["alt"] = alt
        return rendered

    render_image.takes_alt = True  # type: ignore[attr-defined]
    return render_image


def check_images(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Warn of each picture of a page that has no alt text or lies on another machine."""
    for image in doctree.findall(nodes.image):
        name = image.get("uri", "?")
        if not image.get("alt", "").strip():
            LOGGER.warning("image without alt text: %s", name, location=image, type="course", subtype="alt")
        if REMOTE.match(name):
            LOGGER.warning("image from another machine: %s", name, location=image, type="course", subtype="remote")
    for raw in doctree.findall(nodes.raw):
        for tag in IMAGE_TAG.findall(raw.astext()) if raw.get("format") == "html" else []:
            if not ALT.search(tag):
                LOGGER.warning("image without alt text: %s", tag[:80], location=raw, type="course", subtype="alt")


def arrange_notebook(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Captions and folds of a notebook's page, once its pictures are known to have words; the signs of each page."""
    if app.builder.format == "html" and app.env.doc2path(docname).endswith(".ipynb"):
        arrange(doctree)
    set_words(doctree)


# --- the finished pages ----------------------------------------------------------------------------------------


def tidy_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Describe a page to those who share its address; mend what the libraries write and a screen reader trips over."""
    if doctree and "og:image" not in context["metatags"]:
        context["metatags"] += described(doctree, context["title"], context["metatags"], address.read(Path(app.srcdir)))
    if body := context.get("body"):
        # docutils puts entries of a bibliography into a list, but gives them a role that a list may not hold
        context["body"] = body.replace(' role="doc-biblioentry"', "").replace(
            '<div class="citation" id', '<div class="citation" role="listitem" id'
        )


def described(doctree: nodes.document, title: str, known: str, home: address.Address) -> str:
    """Tags with a page's title, its first sentence and the book's picture, as far as they are not ``known``."""
    first = next((p.astext() for p in doctree.findall(nodes.paragraph) if isinstance(p.parent, nodes.section)), "")
    words = " ".join(re.split(r"(?<=[.?])\s", first.strip(), maxsplit=1)[0].split())
    picture = f"https://raw.githubusercontent.com/{home.slug}/{home.tag}/{PICTURE}"
    tags = {"property": {"og:title": re.sub("<[^>]+>", "", title), "og:description": words, "og:image": picture}}
    tags["name"] = {"description": words, "twitter:card": "summary_large_image"}
    return "".join(
        f'<meta {kind}="{name}" content="{html.escape(html.unescape(text))}" />\n'
        for kind, each in tags.items()
        for name, text in each.items()
        if text and f'"{name}"' not in known
    )


def copy_files(app: Sphinx, exception: Exception | None) -> None:
    """Copy MathJax, the fonts and the decks into the finished book."""
    if exception is not None or app.builder.format != "html":
        return
    out = Path(app.outdir)
    package = Path(str(metadata.distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline")))
    for name in MATHJAX:
        origin, target = package / "static/mathjax" / name, out / "_static/mathjax" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, target, dirs_exist_ok=True)
        else:
            shutil.copy2(origin, target)
    typeface.copy_to(out / "_static/fonts")
    for deck in sorted((Path(app.srcdir) / "_build/slides").glob("*.*")):
        if deck.suffix in {".html", ".pdf"}:
            (out / "slides").mkdir(exist_ok=True)
            shutil.copy2(deck, out / "slides" / deck.name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx when it loads the extension."""
    if not hasattr(NbElementRenderer.render_image, "takes_alt"):
        NbElementRenderer.render_image = take_alt_from_output(NbElementRenderer.render_image)
    app.add_css_file("typeface.css", priority=899)
    app.add_css_file("book.css", priority=900)  # after the theme and its extensions
    app.add_js_file("book.js", loading_method="defer")
    app.connect("source-read", prepare_source)
    app.connect("doctree-resolved", check_images)
    app.connect("doctree-resolved", arrange_notebook)
    app.connect("html-page-context", tidy_page)
    app.connect("build-finished", copy_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
