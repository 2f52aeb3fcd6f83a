"""The book builds without a warning, and what must be a warning is one."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import nbformat
import yaml
from matplotlib.figure import Figure
from pages import ROOT, book, dead_links, external_loads, html_files, pages_of_toc, wrong_badges  # noqa: F401

from tools.book.build import build
from tools.book.extension import COLAB_BADGE, find_chapters, read_parts, reference_links, title_of


def picture(kind: str) -> dict[str, str]:
    """A tiny picture as the data of a notebook output."""
    buffer = io.BytesIO()
    Figure(figsize=(1, 1)).savefig(buffer, format="svg" if kind == "image/svg+xml" else "png")
    raw = buffer.getvalue()
    return {kind: raw.decode() if kind == "image/svg+xml" else base64.b64encode(raw).decode()}


def project(
    folder: Path, *, markdown: str = "# 1. Small", outputs: Sequence[dict] = (), page: str = ""
) -> Path:
    """A book of two pages with the real configuration and extension: a front page and one notebook."""
    for name in ("assets", "tools", "references.bib"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "_config.yml", folder)
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n  - file: notebooks/01_small\n"
    )
    (folder / "index.md").write_text(f"# Front\n\n{page}\n")
    (folder / "notebooks").mkdir()
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    notebook.metadata["language_info"] = {"name": "python"}
    code = nbformat.v4.new_code_cell("show()", execution_count=1, outputs=list(outputs))
    notebook.cells = [nbformat.v4.new_markdown_cell(markdown), code]
    nbformat.write(notebook, folder / "notebooks/01_small.ipynb")
    return folder


def shown(kind: str, **metadata: str) -> dict:
    """An output that shows a tiny picture."""
    return nbformat.v4.new_output("display_data", data=picture(kind), metadata={kind: metadata})


BADGE = f"[![Open in Colab]({COLAB_BADGE})](https://colab.research.google.com/github/a/b/blob/c/d.ipynb)"
FAULTY_PAGE = """
![](assets/mark.svg)

<img src="assets/favicon.svg">

![a mark](https://example.org/mark.svg)

[gone](nowhere.md) [gone](#no-such-place) {cite}`nobody1900`
"""


def warnings_of(printed: str) -> int:
    """How many warnings a build reported."""
    return printed.count("WARNING:")


def test_good_pictures_and_badges(tmp_path: Path) -> None:
    """Alt text comes from the metadata of the output, the badge from `assets/`."""
    outputs = [
        shown("image/png", alt='A "quoted" line rises & falls.'),
        shown("image/svg+xml", alt="A diagram."),
    ]
    done = build(project(tmp_path, markdown=f"# 1. Small\n\n{BADGE}", outputs=outputs), capture=True)
    assert done.returncode == 0, done.stdout
    html = (tmp_path / "_build/html/notebooks/01_small.html").read_text()
    assert 'alt="A &quot;quoted&quot; line rises &amp; falls."' in html
    assert 'alt="A diagram."' in html
    assert COLAB_BADGE not in html
    assert 'alt="Open in Colab"' in html
    assert (tmp_path / "_build/html/_images/colab.svg").exists()
    assert wrong_badges(tmp_path / "_build/html"), "a badge that names another repository must be found"


def test_one_picture_without_alt_text_fails_the_build(tmp_path: Path) -> None:
    done = build(project(tmp_path, outputs=[shown("image/png")]), capture=True)
    assert done.returncode != 0
    assert warnings_of(done.stdout) == 1
    assert "image without alt text" in done.stdout


def test_every_planted_fault_is_a_warning(tmp_path: Path) -> None:
    outputs = [shown("image/svg+xml"), shown("image/png", alt="  ")]
    done = build(project(tmp_path, outputs=outputs, page=FAULTY_PAGE), capture=True)
    assert done.returncode != 0
    assert done.stdout.count("image without alt text") == 4
    for says in ("image from another machine", "nowhere.md", "no-such-place", "nobody1900"):
        assert says in done.stdout
    assert warnings_of(done.stdout) == 8


def test_book_builds_every_page(book: Path) -> None:  # noqa: F811
    built = {path.relative_to(book).with_suffix("").as_posix() for path in html_files(book)}
    assert built == {*pages_of_toc(), "search", "genindex"}


def test_toc_lists_every_notebook() -> None:
    listed = {page for page in pages_of_toc() if page.startswith("notebooks/")}
    tree = {
        path.relative_to(ROOT).with_suffix("").as_posix()
        for path in (ROOT / "notebooks").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    assert listed == tree, "_toc.yml and notebooks/ differ"


def test_plan_and_map_agree_with_the_chapters() -> None:
    parts = read_parts(ROOT)
    planned = {number: title for part in parts for number, title in part["chapters"].items()}
    assert list(planned) == sorted(planned)
    stages = yaml.safe_load((ROOT / "book/parts.yml").read_text(encoding="utf-8"))["stages"]
    assert all(set(part["stages"]) <= set(stages) for part in parts)
    for number, notebook in find_chapters(ROOT).items():
        assert title_of(ROOT / notebook) == f"{number}. {planned[number]}", (
            "mend book/parts.yml, redraw figs/book_map.py"
        )
    drawn = re.search(r"<dc:description>(.*?)</dc:description>", (ROOT / "figs/book_map.svg").read_text())
    described = "; ".join(f"{number} {title}" for number, title in planned.items())
    assert drawn is not None
    assert drawn[1] == described, "run figs/book_map.py"


def test_front_page_links_each_chapter(book: Path) -> None:  # noqa: F811
    html = (book / "index.html").read_text()
    for notebook in find_chapters(ROOT).values():
        assert f'href="{notebook.with_suffix(".html").as_posix()}"' in html


def test_decks_page_links_each_deck(book: Path) -> None:  # noqa: F811
    html = (book / "book/decks.html").read_text()
    for deck in (book / "slides").glob("*.*"):
        assert f'href="../slides/{deck.name}"' in html


def test_bibliography_lists_every_reference(book: Path) -> None:  # noqa: F811
    html = (book / "book/bibliography.html").read_text()
    keys = re.findall(r"^@\w+\{(\w+),", (ROOT / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert html.count('<div class="citation"') == len(keys)
    assert all(link in html for link in reference_links(ROOT))


def test_nothing_is_loaded_from_elsewhere(book: Path) -> None:  # noqa: F811
    assert external_loads(book) == []


def test_maths_is_local(book: Path) -> None:  # noqa: F811
    assert "_static/mathjax/tex-chtml-full.js" in (book / "book/notation.html").read_text()
    assert (book / "_static/mathjax/tex-chtml-full.js").exists()
    assert list((book / "_static/mathjax/output/chtml/fonts/woff-v2").glob("*.woff"))


def test_search_knows_the_pages(book: Path) -> None:  # noqa: F811
    index = (book / "searchindex.js").read_text()
    assert all(f'"{page}"' in index for page in pages_of_toc())
    assert "factor" in index


def test_links_and_anchors_resolve(book: Path) -> None:  # noqa: F811
    assert dead_links(book) == []


def test_badges_name_notebooks_that_exist(book: Path) -> None:  # noqa: F811
    assert wrong_badges(book) == []
    for notebook in find_chapters(ROOT).values():
        assert "colab.research.google.com/github/" in (book / notebook.with_suffix(".html")).read_text()


def test_planted_faults_are_found(tmp_path: Path) -> None:
    start = "https://colab.research.google.com/github/recsys-notebook-book/recsys-notebook-book/blob"
    (tmp_path / "other.html").write_text('<p id="here">x</p>')
    (tmp_path / "style.css").write_text(
        '@import "https://example.org/a.css"; a {background: url(//example.org/b.png)}'
    )
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
