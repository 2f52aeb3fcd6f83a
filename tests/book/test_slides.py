"""The decks: what the builder makes of a notebook, and how every slide looks in Chromium, on two screens and as PDF.

Each check of a slide has a deck that was made to fail it: see ``PLANTED`` and ``PATCHED``.
"""

from __future__ import annotations

import re
from pathlib import Path

import browser as headless
import deck_samples as samples
import nbformat
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from deck_samples import code, markdown, picture, save, shown, stdout

from tools.slides import build as slides
from tools.slides.check import faults
from tools.slides.deck import DeckError

ROOT = Path(__file__).resolve().parents[2]


def built(folder: Path, *cells, **keys) -> BeautifulSoup:
    """The page of a deck made of these cells."""
    deck = slides.build(save(folder / "03_sample.ipynb", *cells, **keys), folder / "out")
    return BeautifulSoup(deck.read_text(encoding="utf-8"), "html.parser")


def kinds(page: BeautifulSoup) -> list[str]:
    return [section["class"][0] for section in page.select("section[class]")]


# ---- metadata to slides


def test_types_decide_where_a_cell_stands(tmp_path):
    page = built(
        tmp_path,
        markdown("not in the deck"),
        markdown("## One\n\n- a\n- b", "slide"),
        markdown("more", "-"),
        markdown("later", "fragment"),
        markdown("left out", "skip"),
        markdown("## Two\n\n- c", "subslide"),
        markdown("## Three\n\n- d", "slide"),
    )
    assert kinds(page) == ["title", "content", "content", "content", "closing"]
    one, two, three = page.select("section.content")
    assert one.h2.text == "One"
    assert [block.text.split() for block in one.select(".block")] == [["a", "b"], ["more"], ["later"]]
    assert ["fragment" in block["class"] for block in one.select(".block")] == [False, False, True]
    assert one.parent is two.parent, "a subslide stands in the stack of the slide before it"
    assert one.parent.name == "section"
    assert three.parent.name == "div"
    assert "not in the deck" not in page.body.select_one(".slides").text
    assert "left out" not in page.body.select_one(".slides").text


def test_title_slide_comes_from_the_first_cell(tmp_path):
    title = built(tmp_path, markdown("## A\n\n- b", "slide")).select_one("section.title")
    assert title.h1.text == "Evaluation"
    assert title.select_one(".number").text == "3"
    assert title.select_one(".sentence").text.startswith("You will be able to say")
    book = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    assert title.select_one(".book").text == book
    assert "colab" not in str(title).lower(), "no badge on the title slide"


def test_title_without_number_and_a_first_cell_without_title(tmp_path):
    page = built(tmp_path, markdown("## A\n\n- b", "slide"), title="# Preface\n\nWhy.")
    assert page.h1.text == "Preface"
    assert page.select_one(".number") is None
    with pytest.raises(DeckError, match="cell 1: the first cell"):
        built(tmp_path, markdown("## A", "slide"), title="Preface")


def test_section_statement_and_closing_slides(tmp_path):
    page = built(
        tmp_path,
        markdown("## Part two", "slide", "section-slide"),
        markdown("## Who is right?", "slide"),
        markdown("## Who is right?\n\n$$x$$", "slide"),
        markdown("## You can now\n\n- count", "slide", "closing-slide"),
    )
    assert kinds(page) == ["title", "section", "statement", "content", "closing"]
    page = built(tmp_path, markdown("## Who is right?", "slide"))
    assert kinds(page)[-1] == "closing"
    assert "03_sample.ipynb" in page.select("section")[-1].text, (
        "a deck without one ends with the notebook's name"
    )


def test_notes_come_from_the_key_and_from_notes_cells(tmp_path):
    page = built(
        tmp_path,
        markdown("## A\n\n- b", "slide", notes="Ask *first*."),
        markdown("Then wait.", "notes"),
        markdown("c", "fragment", notes="Third."),
        markdown("## D\n\n- e", "slide"),
    )
    first, second = page.select("section.content")
    assert first.aside["class"] == ["notes"]
    assert [p.decode_contents() for p in first.aside.find_all("p")] == [
        "Ask <em>first</em>.",
        "Then wait.",
        "Third.",
    ]
    assert second.aside is None
    assert "Then wait." not in first.select_one(".slide").text


def test_text_stands_in_place_of_prose_and_in_front_of_code(tmp_path):
    page = built(
        tmp_path,
        markdown("Long prose.", "slide", text="## Short\n\n- words"),
        code("x = 1\nprint(x)", "slide", text="## Count\n\nfirst", outputs=[stdout("1\n")]),
    )
    assert "Long prose" not in page.select_one(".slides").text
    prose, counted = page.select("section.content")
    assert prose.h2.text == "Short"
    assert counted.h2.text == "Count"
    assert [child.name for child in counted.select_one(".block").find_all(recursive=False)] == [
        "p",
        "pre",
        "pre",
    ]
    assert counted.select_one("pre.output").text == "1"


def test_tags_hide_code_and_output(tmp_path):
    outputs = [stdout("printed\n")]
    page = built(
        tmp_path,
        code("secret", "slide", "slide-hide-input", text="## A", outputs=outputs),
        code("seen", "slide", "slide-hide-output", text="## B", outputs=outputs),
    )
    first, second = page.select("section.content")
    assert first.select("pre.code") == []
    assert first.select_one("pre.output").text == "printed"
    assert second.select_one("pre.code").text == "seen"
    assert second.select("pre.output") == []


def test_columns(tmp_path):
    page = built(
        tmp_path,
        markdown("## Head\n\nabove", "slide"),
        markdown("left one", "-", "cols-left"),
        markdown("left two", "fragment"),
        markdown("right", "-", "cols-right"),
        markdown("below", "-", "cols-end"),
    )
    body = page.select_one("section.content .body")
    left, right = body.select(".columns > .column")
    assert left.text.split() == ["left", "one", "left", "two"]
    assert right.text.strip() == "right"
    assert [part.text.strip() for part in body.find_all("div", recursive=False)][::2] == ["above", "below"]


def test_heading_of_a_slide_that_begins_with_a_column_stands_above_both(tmp_path):
    page = built(
        tmp_path, markdown("## Head\n\nleft", "slide", "cols-left"), markdown("right", "-", "cols-right")
    )
    assert page.select_one(".slide > h2").text == "Head"
    assert [column.text.strip() for column in page.select(".column")] == ["left", "right"]


def test_outputs(tmp_path):
    error = nbformat.v4.new_output("error", ename="InputError", evalue="k: got 0", traceback=["secret"])
    page = built(
        tmp_path,
        code(
            "a",
            "slide",
            outputs=[samples.table(), picture(), shown("image/svg+xml", samples.SVG, "Three boxes")],
        ),
        code(
            "b",
            "slide",
            outputs=[shown("text/markdown", "**0.5** of $x$"), shown("text/html", "<b>bold</b>")],
        ),
        code("c", "slide", "raises-exception", outputs=[error]),
        code("d", "slide", outputs=[nbformat.v4.new_output("stream", name="stderr", text="a warning")]),
        code("e", "slide", outputs=[shown("application/papermill.record/text/plain", "0.5")]),
    )
    first, second, third, fourth, fifth = page.select("section.content")
    assert first.table.find_all("th")[1].text == "model"
    assert "style" not in str(first.table)
    assert (
        "rows ×"
        not in built(tmp_path, code("a", "slide", outputs=[samples.table(80)])).select_one(".slides").text
    )
    assert [image["alt"][:5] for image in first.find_all("img")] == ["Bars ", "Three"]
    assert all(image["src"].startswith("data:image/") for image in first.find_all("img"))
    assert second.strong.text == "0.5"
    assert second.b.text == "bold"
    assert third.select_one("pre.error").text == "InputError: k: got 0"
    assert "a warning" not in fourth.text
    assert "0.5" not in fifth.text


def test_tables_take_the_type_that_fits_and_know_words_from_numbers(tmp_path):
    def table(*rows):
        body = "".join(
            "<tr><th>a</th>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
        )
        html = "<table><thead><tr><th></th>" + "<th>b</th>" * len(rows[0]) + f"</tr></thead>{body}</table>"
        html = html.replace(body, f"<tbody>{body}</tbody>")
        return built(tmp_path, code("x", "slide", outputs=[shown("text/html", html)])).table

    films = table(["2001: A Space Odyssey", "0.5"], ["Fargo", "nan"])
    assert [cell.get("class") for cell in films.tbody.tr.find_all("td")] == [["words"], None]
    assert "class" not in table(["0.04 ± 0.02"] * 2).attrs
    assert table(["0.04 ± 0.02"] * 4)["class"] == ["broad"], "one line in large type, on a wide screen alone"
    assert table(["many words that may break"] * 4)["class"] == ["wide"]
    assert table(["+0.04 ± 0.02"] * 5)["class"] == ["tight"], "its numbers may not break"
    assert table(["+0.04 ± 0.02"] * 6)["class"] == ["dense"]


def test_names_of_an_index_join_the_row_of_heads(tmp_path):
    def heads(frame):
        table = built(tmp_path, code("x", "slide", outputs=[shown("text/html", frame.to_html())])).table
        return [[head.get_text(strip=True) for head in row.find_all("th")] for row in table.thead("tr")]

    named = pd.DataFrame({"mean": [0.5], "sd": [0.1]}, index=pd.Index(["EASE"], name="model"))
    assert heads(named) == [["model", "mean", "sd"]]
    assert heads(named.rename_axis(columns="measure")) == [["model \\ measure", "mean", "sd"]]
    spanned = pd.concat({"first": named, "second": named}, axis=1)
    assert heads(spanned) == [["", "first", "second"], ["model", "mean", "sd", "mean", "sd"]]


def test_a_figure_can_be_a_fragment(tmp_path):
    page = built(tmp_path, markdown("## A", "slide"), code("a", "fragment", outputs=[picture()]))
    classes = page.select_one(".fragment")["class"]
    assert "grow" not in classes, "reveal.js has a fragment of that name, which draws larger than the slide"


def test_markdown_pictures_are_inlined_and_links_into_the_book_are_text(tmp_path):
    (tmp_path / "way.svg").write_text(samples.SVG, encoding="utf-8")
    source = (
        "## A\n\n![The way](way.svg)\n\n[next](04_next.ipynb) and [paper](https://arxiv.org/abs/1906.00091)"
    )
    page = built(tmp_path, markdown(source, "slide"))
    assert page.select_one("section img")["src"].startswith("data:image/svg+xml;base64,")
    assert [link["href"] for link in page.select("section a")] == ["https://arxiv.org/abs/1906.00091"]


def test_maths_reaches_mathjax_as_it_was_written(tmp_path):
    page = built(tmp_path, markdown("## A\n\n$a_i*b_j*c$ and\n\n$$\nx < y \\\\\n$$", "slide"))
    text = page.select_one("section.content .body").text
    assert "$a_i*b_j*c$" in text
    assert "x < y \\\\" in text


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([markdown("a", "slides")], "cell 2: unknown slide_type 'slides'"),
        ([markdown("a", "slide", note="b")], "unknown slideshow key"),
        ([markdown("a", "slide", "slide-hide-inputs")], "unknown slide tag"),
        ([markdown("a", "fragment"), markdown("b", "slide")], "before the first slide"),
        ([markdown("a", "-"), markdown("b", "slide")], "before the first slide"),
        ([markdown("a", "slide"), markdown("b", "skip", notes="c")], "not in the deck"),
        ([markdown("a", "slide"), code("b", "notes")], "must be Markdown"),
        ([markdown("a", "slide"), markdown("b", "-", "section-slide")], "begins the slide"),
        ([markdown("a", "slide", "cols-right")], "cols-left, cols-right, cols-end"),
        (
            [markdown("a", "slide", "cols-left"), markdown("b", "-", "cols-end")],
            "cols-left, cols-right, cols-end",
        ),
        ([markdown("a", "slide", "cols-left"), markdown("b", "-")], "without a cols-right"),
        ([markdown("", "slide")], "empty slide"),
        ([code("a", "slide", "slide-hide-input")], "empty slide"),
        (
            [markdown("a", "slide"), code("b", "-", outputs=[picture(None)])],
            "cell 3: picture without alt text",
        ),
        (
            [code("a", "slide", outputs=[shown("image/svg+xml", samples.SVG, "  ")])],
            "picture without alt text",
        ),
        ([markdown("![](way.svg)", "slide")], "picture without alt text"),
        ([markdown("![way](gone.svg)", "slide")], "no such picture"),
        ([markdown("![way](https://example.org/a.png)", "slide")], "no such picture"),
        ([markdown("<script>1</script>", "slide")], "does not belong"),
        (
            [code("a", "slide", outputs=[nbformat.v4.new_output("error", ename="E", evalue="")])],
            "the cell failed",
        ),
        ([markdown("a")], "no cell begins a slide"),
    ],
)
def test_faults_that_stop_the_build(tmp_path, cells, message):
    with pytest.raises(DeckError, match=message):
        built(tmp_path, *cells)


def test_a_notebook_without_slides_is_no_deck(tmp_path, monkeypatch, capsys):
    notebook = nbformat.v4.new_notebook(cells=[markdown("# 3. A"), markdown("b")])
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "03_a.ipynb"
    nbformat.write(notebook, path)
    save(tmp_path / "notebooks" / "04_b.ipynb", markdown("c", "slide"))
    monkeypatch.setattr(slides, "ROOT", tmp_path)
    assert [chapter.stem for chapter in slides.chapters()] == ["04_b"]
    assert slides.main([str(path), "--output", str(tmp_path)]) == 1
    assert "no cell has slideshow metadata" in capsys.readouterr().err


def test_a_deck_is_one_file_and_built_twice_the_same(tmp_path):
    notebook = samples.rich(tmp_path / "03_evaluation.ipynb")
    before = notebook.read_bytes()
    once = slides.build(notebook, tmp_path / "out").read_bytes()
    assert slides.build(notebook, tmp_path / "out").read_bytes() == once
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["03_evaluation.html"]
    assert notebook.read_bytes() == before
    page = BeautifulSoup(once, "html.parser")
    assert page.select("script[src], link[rel=stylesheet], iframe, [src^=http]") == []
    assert b"sourceMappingURL" not in once


def test_without_chromium_tests_skip_fail_in_ci_and_the_export_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(headless, "chromium_path", lambda: None)
    monkeypatch.setattr(slides.shutil, "which", lambda name: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        headless.require_chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"):
        headless.require_chromium()
    notebook = save(tmp_path / "03_sample.ipynb", markdown("a", "slide"))
    with pytest.raises(SystemExit, match="need Chromium"):
        slides.main([str(notebook), "--output", str(tmp_path), "--pdf"])


# ---- every slide in Chromium


@pytest.fixture(scope="module")
def chromium():
    with headless.chromium() as found:
        yield found


def looked_at(chromium, deck: Path, *screens: str) -> list[str]:
    """Every fault of a deck: of its slides on these screens (all when none is named), and what it asked and said."""
    with headless.open_page(chromium) as (page, heard):
        found = [fault for screen in screens or slides.SCREENS for fault in faults(page, deck, screen)]
        return found + heard.faults()


def pages(pdf: Path) -> int:
    """Number of pages of a PDF that Chromium wrote (its page objects are not compressed)."""
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def n_slides(deck: Path) -> int:
    return len(BeautifulSoup(deck.read_text(encoding="utf-8"), "html.parser").select("section[class]"))


@pytest.mark.parametrize("notebook", slides.chapters(), ids=lambda path: path.stem)
def test_deck_of_the_book(chromium, tmp_path, notebook):
    deck = slides.build(notebook, tmp_path)
    assert looked_at(chromium, deck) == []
    assert pages(slides.export_pdf(chromium, deck)) == n_slides(deck)


def test_rich_sample_is_without_fault(chromium, tmp_path):
    deck = slides.build(samples.rich(tmp_path / "03_evaluation.ipynb"), tmp_path)
    assert looked_at(chromium, deck) == []
    assert n_slides(deck) == 13
    assert pages(slides.export_pdf(chromium, deck)) == 13


LINES = "\n".join(f"- line {i}" for i in range(16))
WIDE = "$$" + "+".join(f"\\frac{{a_{{{i}}}}}{{b}}" for i in range(30)) + "$$"
PLANTED = {
    "text too long": ([markdown("## A\n\n" + LINES, "slide")], "below or above the slide"),
    "text too long in a fragment": (
        [markdown("## A\n\n- b", "slide"), markdown(LINES, "fragment")],
        "below or above",
    ),
    "code too long": ([code("\n".join(["x = 1"] * 24), "slide")], "below or above the slide"),
    "code too wide": ([code("x = '" + "a" * 100 + "'", "slide")], "cut line"),
    "output too wide": ([code("x", "slide", outputs=[stdout("a" * 120)])], "cut line"),
    "table too wide": (
        [
            code(
                "x",
                "slide",
                "slide-hide-input",
                outputs=[shown("text/html", "<table><tr>" + "<td>wide cell</td>" * 14 + "</tr></table>")],
            )
        ],
        "beside the slide",
    ),
    "formula too wide": ([markdown("## A\n\n" + WIDE, "slide")], "beside the slide"),
    "word wider than its column": (
        [markdown("a" * 60, "slide", "cols-left"), markdown("b", "-", "cols-right")],
        "beyond its column",
    ),
    "scaled out of the slide": (
        [
            markdown(
                '<div style="transform: scale(1.6)">A long line that fits before it is scaled</div>', "slide"
            )
        ],
        "beside the slide",
    ),
    "one on the other": (
        [markdown("## A\n\nfirst", "slide"), markdown('<p style="margin-top: -70px">second</p>', "-")],
        "lies on <p>",
    ),
    "picture squeezed": (
        [markdown("## A\n\n" + LINES[:90], "slide"), code("x", "-", "slide-hide-input", outputs=[picture()])],
        "small picture",
    ),
    "picture damaged": (
        [code("x", "slide", outputs=[shown("image/png", "iVBORw0KGgo=", "A picture")])],
        "broken picture",
    ),
    "maths that does not parse": ([markdown("## A\n\n$\\left( x$", "slide")], "maths error"),
    "maths that does not end": ([markdown("## A\n\n$\\frac{1$", "slide")], "maths not set"),
    "macro that does not exist": ([markdown("## A\n\n$\\softmaxx(x)$", "slide")], "maths error"),
    "maths left open": ([markdown("## A\n\n$$ x = 1 and nothing else", "slide")], "maths not set"),
    "type too small": (
        [markdown('## A\n\n<p style="font-size: 18px">fine print</p>', "slide")],
        "small type",
    ),
}


@pytest.fixture(scope="module")
def planted(chromium, tmp_path_factory) -> list[str]:
    """The faults of one deck that has a slide for each entry of `PLANTED`."""
    folder = tmp_path_factory.mktemp("planted")
    cells = [cell for cells, _ in PLANTED.values() for cell in cells]
    return looked_at(chromium, slides.build(save(folder / "03_sample.ipynb", *cells), folder), "16x9")


@pytest.mark.parametrize("name", PLANTED)
def test_planted_fault_is_caught(planted, name):
    number = 2 + list(PLANTED).index(name)  # the first slide is the title
    found = [fault for fault in planted if fault.startswith(f"slide {number} at")]
    assert any(PLANTED[name][1] in fault for fault in found), found


def test_what_fits_16x9_alone_is_caught_on_4x3(chromium, tmp_path):
    deck = slides.build(save(tmp_path / "03_sample.ipynb", code("x = '" + "a" * 82 + "'", "slide")), tmp_path)
    assert looked_at(chromium, deck, "16x9") == []
    assert any(fault.startswith("slide 2 at 4x3: cut line") for fault in looked_at(chromium, deck, "4x3"))


PATCHED = {
    "request": (
        "</section>",
        '<img src="https://example.org/a.png" alt="a"></section>',
        "request leaves the machine",
    ),
    "script": (
        "</body>",
        "<script>console.error('something broke')</script></body>",
        "console: something broke",
    ),
    "exception": ("</body>", "<script>throw new Error('odd')</script></body>", "console: uncaught"),
    "alt": ('alt="Bars', 'alt="" title="Bars', "picture without alt text"),
}


@pytest.mark.parametrize("name", PATCHED)
def test_fault_of_the_page_is_caught(chromium, tmp_path, name):
    before, after, expected = PATCHED[name]
    cells = [code("x", "slide", "slide-hide-input", outputs=[picture()])]
    deck = slides.build(save(tmp_path / "03_sample.ipynb", *cells), tmp_path)
    head, mark, tail = deck.read_text(encoding="utf-8").rpartition(before)
    assert mark
    assert looked_at(chromium, deck, "16x9") == []
    deck.write_text(head + after + tail, encoding="utf-8")
    found = looked_at(chromium, deck, "16x9")
    assert any(expected in fault for fault in found), found


def test_pdf_with_a_page_too_many_is_caught(chromium, tmp_path):
    cells = [markdown("## A\n\n- b", "slide"), markdown("c", "fragment"), markdown("d", "fragment")]
    deck = slides.build(save(tmp_path / "03_sample.ipynb", *cells), tmp_path)
    assert pages(slides.export_pdf(chromium, deck)) == n_slides(deck) == 3
    html = deck.read_text(encoding="utf-8")
    deck.write_text(
        html.replace("pdfSeparateFragments: false", "pdfSeparateFragments: true"), encoding="utf-8"
    )
    assert pages(slides.export_pdf(chromium, deck)) > 3


def test_speaker_view_opens_without_a_network(chromium, tmp_path):
    deck = slides.build(samples.rich(tmp_path / "03_evaluation.ipynb"), tmp_path)
    with headless.open_page(chromium) as (page, heard):
        slides.open_deck(page, deck)
        slides.show(page, (1, 0))
        with page.expect_popup() as popup:
            page.keyboard.press("s")
        popup.value.wait_for_selector(".speaker-controls-notes .value em")
        assert "Let them answer" in popup.value.inner_text(".speaker-controls-notes .value")
        assert heard.faults() == []
