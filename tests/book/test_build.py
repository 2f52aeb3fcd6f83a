"""The book builds without a warning, and what must be a warning is one."""

import re
import shutil

import nbformat
import sample_notebook as sample
from pages import COLAB, ROOT, dead_links, external_loads, html_files, pages_of_toc, read, wrong_badges

from tools.book.build import build
from tools.book.extension import COLAB_BADGE, title_of
from tools.book.sections import find_chapters, read_plan

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
DATA = {"image/png": sample.png(), "image/svg+xml": SVG}
TOC = "format: jb-book\nroot: index\nchapters:\n  - file: notebooks/01_small\n"
BADGE = f"[![Open in Colab]({COLAB_BADGE})](https://colab.research.google.com/github/a/b/blob/c/d.ipynb)"
FAULTY_PAGE = """
![](assets/mark.svg)

<img src="assets/favicon.svg">

![a mark](https://example.org/mark.svg)

[gone](nowhere.md) [gone](#no-such-place) {cite}`nobody1900`
"""


def build_small(folder, *outputs, markdown="# 1. Small", page=""):
    """Build two pages with the real configuration and extension: a front page and one notebook."""
    for name in ("assets", "tools", "references.bib"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "_config.yml", folder)
    (folder / "_toc.yml").write_text(TOC)
    (folder / "index.md").write_text(f"# Front\n\n{page}\n")
    notebook = nbformat.v4.new_notebook(cells=[sample.markdown(markdown), sample.code("show()", *outputs)])
    sample.write(folder, notebook, "notebooks/01_small.ipynb")
    return build(folder, capture=True)


def shown(kind, alt=None):
    return sample.displayed(kind, DATA[kind], alt)


def test_alt_text_comes_from_the_metadata_and_the_badge_from_assets(tmp_path):
    line = shown("image/png", alt='A "quoted" line rises & falls.')
    diagram = shown("image/svg+xml", alt="A diagram.")
    done = build_small(tmp_path, line, diagram, markdown=f"# 1. Small\n\n{BADGE}")
    assert done.returncode == 0, done.stdout
    html = (tmp_path / "_build/html/notebooks/01_small.html").read_text()
    assert 'alt="A &quot;quoted&quot; line rises &amp; falls."' in html
    assert 'alt="A diagram."' in html
    assert COLAB_BADGE not in html
    assert 'alt="Open in Colab"' in html
    assert (tmp_path / "_build/html/_images/colab.svg").exists()
    assert wrong_badges(tmp_path / "_build/html"), "a badge that names another repository must be found"


def test_every_planted_fault_is_a_warning_and_fails_the_build(tmp_path):
    done = build_small(tmp_path, shown("image/svg+xml"), shown("image/png", alt="  "), page=FAULTY_PAGE)
    assert done.returncode != 0
    assert done.stdout.count("image without alt text") == 4
    for says in ("image from another machine", "nowhere.md", "no-such-place", "nobody1900"):
        assert says in done.stdout
    assert done.stdout.count("WARNING:") == 8


def test_book_builds_every_page(book):
    built = {path.relative_to(book).with_suffix("").as_posix() for path in html_files(book)}
    assert built == {*pages_of_toc(), "search", "genindex"}


def test_toc_lists_every_notebook_and_page():
    paths = [path for path in ROOT.glob("notebooks/**/*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    tree = {path.relative_to(ROOT).with_suffix("").as_posix() for path in [*paths, *ROOT.glob("book/*.md")]}
    assert set(pages_of_toc()) == tree | {"index"}, "_toc.yml differs from notebooks/ and book/"


def test_plan_and_map_agree_with_the_chapters():
    parts = read_plan(ROOT)["parts"]
    planned = {number: title for part in parts for number, title in part["chapters"].items()}
    assert list(planned) == sorted(planned)
    assert all(set(part["stages"]) <= set(read_plan(ROOT)["stages"]) for part in parts)
    for number, notebook in find_chapters(ROOT).items():
        title = f"{number}. {planned[number]}"
        assert title_of(ROOT / notebook) == title, "mend book/parts.yml, redraw figs/book_map.py"
    described = "; ".join(f"{number} {title}" for number, title in planned.items())
    drawn = (ROOT / "figs/book_map.svg").read_text()
    assert f"<dc:description>{described}</dc:description>" in drawn, "run figs/book_map.py"


def test_pages_link_each_chapter_and_each_deck(book):
    chapters = {path.with_suffix(".html").as_posix() for path in find_chapters(ROOT).values()}
    assert chapters <= set(read(book / "index.html").links)
    decks = {f"../slides/{deck.name}" for deck in (book / "slides").glob("*.*")}
    assert decks <= set(read(book / "book/decks.html").links)


def test_bibliography_lists_every_reference(book):
    html = (book / "book/bibliography.html").read_text()
    text = (ROOT / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"(?m)^@\w+\{(\w+),", text)
    assert len(keys) == len(set(keys))
    assert html.count('<div class="citation"') == len(keys)
    hosts = {"doi": "https://doi.org/", "eprint": "https://arxiv.org/abs/"}
    assert all(hosts[kind] + work in html for kind, work in re.findall(r"(?m)^\s*(doi|eprint) = \{(.+)\},$", text))


def test_nothing_is_loaded_from_elsewhere_and_maths_is_local(book):
    assert external_loads(book) == []
    assert "_static/mathjax/tex-chtml-full.js" in (book / "book/notation.html").read_text()
    assert (book / "_static/mathjax/tex-chtml-full.js").exists()
    assert list((book / "_static/mathjax/output/chtml/fonts/woff-v2").glob("*.woff"))


def test_search_knows_the_pages(book):
    index = (book / "searchindex.js").read_text()
    assert all(f'"{page}"' in index for page in pages_of_toc())
    assert "factor" in index


def test_links_anchors_and_badges_resolve(book):
    assert dead_links(book) == []
    assert wrong_badges(book) == []
    for notebook in find_chapters(ROOT).values():
        assert any(link.startswith(COLAB) for link in read(book / notebook.with_suffix(".html")).links)


def test_planted_faults_are_found(tmp_path):
    start = "https://colab.research.google.com/github/recsys-notebook-book/recsys-notebook-book/blob"
    (tmp_path / "other.html").write_text('<p id="here">x</p>')
    style = '@import "https://example.org/a.css"; a {background: url(//example.org/b.png)}'
    (tmp_path / "style.css").write_text(style)
    (tmp_path / "index.html").write_text(
        '<a href="other.html#here">good</a><a href="other.html#gone">bad</a><a href="#gone">bad</a>'
        '<a href="gone.html">bad</a><a href="https://example.org/x">not ours</a>'
        '<script src="https://example.org/a.js"></script><link rel="stylesheet" href="//example.org/a.css">'
        '<img src="https://example.org/a.png" alt="a"><iframe src="https://example.org"></iframe>'
        f'<a href="{start}/v0.1.0/notebooks/99_gone.ipynb">bad</a>'
        f'<a href="{start}/main/notebooks/00_start_here.ipynb">bad</a>'
    )
    assert len(dead_links(tmp_path)) == 3
    assert len(external_loads(tmp_path)) == 6
    assert len(wrong_badges(tmp_path)) == 2
