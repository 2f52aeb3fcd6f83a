"""The book builds without a warning, and what must be a warning is one."""

import json
import re
import shutil

import nbformat
import pandas as pd
import pytest
import sample_notebook as sample
from bs4 import BeautifulSoup
from pages import COLAB, ROOT, dead_links, external_loads, html_files, pages_of_toc, read, wrong_badges

from tools.book.build import build
from tools.book.cells import CALLOUTS, as_prose, boxed, fold
from tools.book.extension import COLAB_BADGE, PICTURE, title_of
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
    for name in ("assets", "book", "tools", "references.bib"):
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
    assert 'alt="Figure 1.1"' in html
    assert "<strong>Figure 1.1.</strong> A &quot;quoted&quot; line rises &amp; falls." in html
    assert "<strong>Figure 1.2.</strong> A diagram." in html
    assert html.count("A diagram.") == 1, "a screen reader hears it once"
    assert COLAB_BADGE not in html
    assert 'alt="Open in Colab"' in html
    assert (tmp_path / "_build/html/_images/colab.svg").exists()
    assert wrong_badges(tmp_path / "_build/html"), "a badge that names another repository must be found"


CELLS = [  # source, tags, what the page makes of them, the line that stands for the cell and for its code
    ("import numpy", [], ["hide-input"], "Setup", "How this is computed"),
    ("x = 1", [], [], None, None),
    ("figure(fig, alt='')", [], ["hide-input"], "How this figure is drawn", "How this figure is drawn"),
    ("say(f'{x}')", [], ["hide-input"], "How this is computed", "How this is computed"),
    ("asked = predict('x', None)", ["predict"], ["predict", "remove-input"], None, None),
    ("asked.outcome(3)", ["came-out"], ["came-out", "hide-cell"], "Show what came out", "How this is computed"),
    ("x\nasked.outcome(x)", ["came-out"], ["came-out", "hide-output"], "Show what came out", "How this is computed"),
    ("assert x == 3", ["came-out"], ["came-out", "hide-cell"], "Show what came out", "How this is computed"),
    ("figure(1)", ["came-out"], ["came-out", "hide-cell"], "Show the figure", "How this figure is drawn"),
    ("x = 2", ["repair"], ["repair", "hide-cell"], "Show a repair", "How this is computed"),
    ("check('03a', x=None)", [], ["hide-input"], "Check your answer", "Check your answer"),
]


def test_what_a_reader_shall_find_is_folded_on_the_page():
    cells = [sample.markdown("# 3. Small"), sample.code("bootstrap", "remove-cell"), sample.code(CELLS[0][0])]
    cells += [sample.code("import torch"), sample.code("check('03q', x=None)"), sample.markdown("## 3.1 Begin")]
    cells += [sample.code(source, *tags) for source, tags, *_ in CELLS[1:]]
    cells[6].outputs = [sample.displayed("text/markdown", "**What to see.** A line."), sample.stdout("1\n")]
    cells[9].outputs = [sample.stdout("Films_new: no guess yet; one of A, B\n")]
    cells[10].outputs = [sample.stdout("0.5\nHits: 3 films (no guess yet)\n")]
    cells[-1].outputs = [sample.stdout("03a: 'x' is not answered yet\n")]
    folded = json.loads(fold(nbformat.writes(nbformat.v4.new_notebook(cells=cells))))["cells"]
    assert folded[2]["source"] == "import numpy\n\nimport torch"
    assert [cell["metadata"]["tags"] for cell in folded[3:5]] == [["remove-cell"], ["remove-cell"]]
    for cell, (source, _, tags, line, code) in zip([folded[2], *folded[6:]], CELLS, strict=True):
        found = cell["metadata"]
        prompt = found.get("mystnb", {}).get("code_prompt_show")
        assert (found["tags"], prompt, found.get("code_line")) == (tags, line, code), source
    said = [["".join(o.get("text") or o["data"]["text/markdown"]) for o in cell["outputs"]] for cell in folded[6:]]
    assert said[0][0].startswith(":::{admonition} What to see")
    assert said[3] == ["{.guess}\n**Your guess.** Films\\_new: one of A, B."]
    assert said[4] == ["0.5\n", "{.outcome}\nHits: **3 films**."]
    assert said[-1] == []


@pytest.mark.parametrize(("draws", "fine"), [("subplots(1, 2)", True), ("subplots()", False), ("x(fontsize=9)", True)])
def test_a_plot_of_several_panels_or_small_type_is_known(draws, fine):
    cells = [sample.markdown("## 3.1 Begin"), sample.code(f"fig = {draws}\nfigure(fig, alt=alt)")]
    folded = json.loads(fold(nbformat.writes(nbformat.v4.new_notebook(cells=cells))))["cells"]
    assert folded[1]["metadata"]["fine"] is fine


def test_a_page_has_one_row_of_heads_marks_the_best_of_models_and_writes_numbers_as_prose_does():
    columns = {"ndcg@10": [0.4, 0.5], "sd": [3, 2], "gap": [-0.2, 0.1], "rows": [30000, 4], "year": [1995, 1996]}
    frame = pd.DataFrame(columns, pd.Index(["ease, worth", "B"], name="model"))
    (shown,) = as_prose(sample.displayed("text/html", frame.to_html()))
    table = BeautifulSoup(shown["data"]["text/html"], "html.parser")
    assert [head.text for head in table.thead("th")] == ["model", "NDCG@10", "sd", "gap", "rows", "year"]
    assert table.tbody.th.text == "EASE, worth"
    assert [cell.text for cell in table.tbody("td")[:5]] == ["0.4", "3", "−0.2", "30,000", "1995"]
    assert [cell.text for cell in table.select("td.best")] == ["0.5"]


BOXED = [
    ("**What to see.** A line.\n\nMore.", ":::{admonition} What to see\n:class: see\n\nA line.\n:::\n\nMore."),
    (
        "So. **Predict before you run.** Why?",
        "So.\n\n:::{admonition} Predict before you run\n:class: predict\n\nWhy?\n:::",
    ),
    (
        "**By hand.** a **Predict before you run.** b",
        ":::{admonition} By hand\n:class: by-hand\n\na\n:::\n\n"
        ":::{admonition} Predict before you run\n:class: predict\n\nb\n:::",
    ),
    ("## 3.4 Clinic: x", "## 3.4 [Clinic]{.clinic}: x"),
    ("**By hand.**\n\n- a\n\n- b", ":::{admonition} By hand\n:class: by-hand\n\n- a\n\n- b\n:::"),
    ("<details><summary>x</summary>\n\n**By hand.** y\n\n</details>", None),
    ("Look. **Find** why.", ":::{admonition} Clinic\n:class: clinic\n\nLook. **Find** why.\n:::"),
    (
        "<details><summary>What is wrong, and a repair</summary>\n\n**Find:** a. **Fix:** b.\n\n</details>",
        '<details class="clinic"><summary>What is wrong, and a repair</summary>\n\n'
        "{.step}\n**Find:** a.\n\n{.step}\n**Fix:** b.\n\n</details>",
    ),
    ("- **Fix:** x", None),
]


@pytest.mark.parametrize(("text", "page"), BOXED)
def test_known_leads_become_boxes(text, page):
    assert boxed(text) == (page or text)


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


def test_a_chapter_opens_with_its_links_and_one_folded_line(book):
    for number, notebook in find_chapters(ROOT).items():
        page = BeautifulSoup((book / notebook.with_suffix(".html")).read_text(), "html.parser").article
        before = page.h2.find_all_previous(class_="cell_input")
        assert [box.parent.summary.p.text for box in before] == ["Setup"], notebook
        glance = [item.get_text(" ", strip=True) for item in page.select("ul.glance > li")]
        assert {"", "Solutions"} < set(glance), notebook
        assert any("minutes to read" in item for item in glance), notebook
        assert number == 0 or "Builds on" in glance[-1], notebook


def test_callouts_are_known_by_name_and_figures_by_number(book):
    known, names = set(), set()
    for notebook in find_chapters(ROOT).values():
        page = BeautifulSoup((book / notebook.with_suffix(".html")).read_text(), "html.parser").article
        boxes = page.select("div.admonition")
        names |= {box.p.text for box in boxes}
        known |= {name for box in boxes for name in box["class"]}
        figures = [figure.img["alt"] for figure in page.select(".cell figure")]
        assert figures == [f"Figure {int(notebook.name[:2])}.{n}" for n in range(1, len(figures) + 1)]
        assert len(figures) == len(page.select(".cell_output img")), notebook
    assert names == set(CALLOUTS)
    assert set(CALLOUTS.values()) < known


def test_who_shares_an_address_shares_a_title_words_and_a_picture(book):
    for page in pages_of_toc():
        head = BeautifulSoup((book / f"{page}.html").read_text(), "html.parser").head
        for name in ("og:title", "og:description", "og:image"):
            assert len(head.select(f'meta[property="{name}"]')) == 1, (page, name)
    assert (ROOT / PICTURE).exists()


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
    for page in pages_of_toc():  # the index of the whole book does not hold up a page's first paint
        assert (
            '<script defer src="' in re.search(r"<script[^>]*searchindex\.js", (book / f"{page}.html").read_text())[0]
        )


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
