"""The decks: what is made of a notebook, each slide in Chromium, and decks that fail each check (``PLANTED``)."""

import re
from pathlib import Path

import deck_samples as samples
import nbformat
import pandas as pd
import pytest
import yaml
from browser import open_page
from bs4 import BeautifulSoup
from deck_samples import HIDE, SVG, picture, save
from sample_notebook import code, displayed, markdown, stdout, write

from tools.slides import build as slides
from tools.slides import handout
from tools.slides.check import faults, spoken, unclaimed
from tools.slides.deck import DeckError, read_deck

ROOT = Path(__file__).resolve().parents[2]
FAILED = nbformat.v4.new_output("error", ename="InputError", evalue="k: got 0", traceback=["secret"])


def parsed(deck):
    return BeautifulSoup(deck.read_text(encoding="utf-8"), "html.parser")


def deck_of(folder, *cells, **keys):
    return slides.build(save(folder / "03_sample.ipynb", *cells, **keys), folder / "out")


def built(folder, *cells, **keys):
    return parsed(deck_of(folder, *cells, **keys))


def contents(folder, *cells):
    return built(folder, *cells).select("section:is(.content, .question, .statement, .claim)")


def kinds(page):
    return [section["class"][0] for section in page.select("section[class]")]


def test_types_decide_where_a_cell_stands(tmp_path):
    first = markdown("## One\n\n- a\n- b", "slide"), markdown("more", "-"), markdown("later", "fragment")
    others = markdown("## Two\n\n- c", "subslide"), markdown("## Three\n\n- d", "slide")
    page = built(tmp_path, markdown("not in the deck"), *first, markdown("left out", "skip"), *others)
    assert kinds(page) == ["title", "content", "content", "content", "closing"]
    one, two, three = page.select("section.content")
    assert one.h2.text == "One"
    assert [block.text.split() for block in one.select(".block")] == [["a", "b"], ["more"], ["later"]]
    assert ["fragment" in block["class"] for block in one.select(".block")] == [False, False, True]
    assert one.parent is two.parent, "a subslide stands in the stack of the slide before it"
    assert (one.parent.name, three.parent.name) == ("section", "div")
    assert not re.search("not in the deck|left out", page.body.select_one(".slides").text)


def test_title_slide_comes_from_the_first_cell(tmp_path):
    title = built(tmp_path, markdown("## A\n\n- b", "slide")).select_one("section.title")
    assert (title.h1.text, title.select_one(".number").text) == ("Evaluation", "3")
    assert title.select_one(".sentence").text.startswith("You will be able to say")
    book = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    assert title.select_one(".book").text == book
    assert "colab" not in str(title).lower(), "no badge on the title slide"
    page = built(tmp_path, markdown("## A\n\n- b", "slide"), title="# Preface\n\nWhy.")
    assert page.h1.text == "Preface"
    assert page.select_one(".number") is None
    with pytest.raises(DeckError, match="cell 1: the first cell"):
        built(tmp_path, markdown("## A", "slide"), title="Preface")


def test_section_statement_and_closing_slides(tmp_path):
    part, question = markdown("## Part two", "slide", "section-slide"), markdown("## Who is right?", "slide")
    content, closing = markdown("## Who?\n\n$$x$$", "slide"), markdown("## Now\n\n- a", "slide", "closing-slide")
    page = built(tmp_path, part, question, content, closing)
    assert kinds(page) == ["title", "section", "statement", "content", "closing"]
    page = built(tmp_path, question)
    assert kinds(page)[-1] == "closing"
    assert "03_sample.ipynb" in page.select("section")[-1].text, "without one it ends with the notebook's name"


def test_notes_come_from_the_key_and_from_notes_cells(tmp_path):
    noted = markdown("## A\n\n- b", "slide", notes="Ask *first*."), markdown("Then wait.", "notes")
    more = markdown("c", "fragment", notes="Third."), markdown("## D\n\n- e", "slide")
    first, second = contents(tmp_path, *noted, *more)
    assert first.aside["class"] == ["notes"]
    said = [paragraph.decode_contents() for paragraph in first.aside.find_all("p")]
    assert said == ["Ask <em>first</em>.", "Then wait.", "Third.", "About 2 minutes. Ends at 4 of 6."]
    assert second.aside is None
    assert "Then wait." not in first.select_one(".slide").text


def test_text_stands_in_place_of_prose_and_in_front_of_code(tmp_path):
    count = code("x = 1\nprint(x)", "slide", stdout("1\n"), text="## Count\n\nfirst", said="It is **1**.")
    prose, counted = contents(tmp_path, markdown("Long prose.", "slide", text="## Short\n\n- words"), count)
    assert "Long prose" not in prose.find_parent(class_="slides").text
    assert (prose.h2.text, counted.h2.text) == ("Short", "Count")
    assert [part.name for part in counted.select(".block > *")] == ["p", "pre", "p"]
    assert counted.select_one("pre + p").text == "It is 1."


def test_tags_hide_code_and_output(tmp_path):
    hidden = code("secret", "slide", HIDE, stdout("printed\n"), text="## A", said="printed")
    first, second = contents(tmp_path, hidden, code("seen", "slide", "slide-hide-output", stdout("a\n"), text="## B"))
    assert (first.select("pre"), first.select_one(".body").text.strip()) == ([], "printed")
    assert (second.select_one("pre.code").text, second.select(".block > :not(pre)")) == ("seen", [])


def test_an_outcome_is_one_large_number_and_gives_way_to_a_table(tmp_path):
    outcome, table = stdout("Share of x: 6.3 per cent (no guess yet)\n"), displayed("text/html", "<p>t</p>")
    alone, beside = contents(tmp_path, code("a", "slide", HIDE, outcome), code("a", "slide", HIDE, outcome, table))
    assert [part.text for part in alone.select(".answer > p")] == ["6.3 per cent", "Share of x"]
    assert beside.select_one(".body").text.strip() == "t"
    (ours,) = contents(tmp_path, code("a", "slide", HIDE, stdout("[1, 2]\n"), said="# 12 rows\n\nof ten"))
    assert [part.text for part in ours.select(".answer > p")] == ["12 rows", "of ten"]
    (word,) = contents(tmp_path, code("a", "slide", HIDE, stdout("Who wins: item kNN (no guess yet)\n")))
    assert word.select_one(".answer.words > .value").text == "item kNN"


def test_a_question_has_its_slide_and_its_answer_the_next(tmp_path):
    asked = markdown("## Bread\n\nTen baskets.\n\nHow many have it?", "slide", notes="Wait.")
    answer = code("a", "fragment", HIDE, stdout("Baskets: 6 (no guess yet)\n"), notes="Six.")
    answer.metadata.tags.append("came-out")
    page = built(tmp_path, asked, answer, markdown("## Who is it?", "slide"))
    assert kinds(page) == ["title", "question", "content", "statement", "closing"]
    question, outcome = page.select("section.question, section.content")
    assert [slide.h2.text for slide in (question, outcome)] == ["Bread", "Bread"]
    assert outcome.select_one(".value").text == "6"
    asked = markdown("## Bread\n\n| a |\n|---|\n| -2 of 5 % |\n\nHow many have it in $-1$?", "slide")
    page = built(tmp_path, asked)
    assert kinds(page)[1] == "question", "below a table, too"
    assert [part.text for part in page.select("td, .block > p")] == ["−2 of 5\xa0%", "How many have it in $-1$?"]
    assert "fragment" not in outcome.select_one(".block")["class"]
    assert question.aside.text == outcome.aside.text == "Wait.\nSix.\nAbout 2 minutes. Ends at 4 of 6."


def test_columns(tmp_path):
    left = markdown("left one", "-", "cols-left"), markdown("left two", "fragment")
    right = markdown("right", "-", "cols-right"), markdown("below", "-", "cols-end")
    (slide,) = contents(tmp_path, markdown("## Head\n\nabove", "slide"), *left, *right)
    columns = [column.text.split() for column in slide.select(".body .columns > .column")]
    assert columns == [["left", "one", "left", "two"], ["right"]]
    parts = slide.select_one(".body").find_all("div", recursive=False)
    assert [part.text.strip() for part in parts][::2] == ["above", "below"]
    page = built(tmp_path, markdown("## Head\n\nleft", "slide", "cols-left"), markdown("right", "-", "cols-right"))
    assert page.select_one(".slide > h2").text == "Head", "above both"
    assert [column.text.strip() for column in page.select(".column")] == ["left", "right"]


def test_outputs(tmp_path):
    first, second, third, fourth, fifth, sixth = contents(
        tmp_path,
        code("a", "slide", samples.table(), picture(), displayed("image/svg+xml", SVG, "Three boxes")),
        code("b", "slide", displayed("text/markdown", "**0.5** of $x$"), displayed("text/html", "<b>bold</b>")),
        code("c", "slide", "raises-exception", FAILED),
        code("d", "slide", stdout("a warning", "stderr")),
        code("e", "slide", displayed("application/papermill.record/text/plain", "0.5")),
        code("f", "slide", samples.table(80)),
    )
    assert first.table.find_all("th")[1].text == "model"
    assert "style" not in str(first.table)
    assert [image["alt"][:4] for image in first.find_all("img")] == ["Bars", "Thre"]
    assert all(image["src"].startswith("data:image/") for image in first.find_all("img"))
    assert (second.strong.text, second.b.text) == ("0.5", "bold")
    assert third.select_one("pre.error").text == "InputError: k: got 0"
    assert "a warning" not in fourth.text
    assert "0.5" not in fifth.text
    assert "rows ×" not in sixth.text
    figure = built(tmp_path, markdown("## A", "slide"), code("a", "fragment", picture())).select_one(".fragment")
    assert "grow" not in figure["class"], "reveal.js has a fragment of that name, which draws larger than the slide"


def test_tables_take_the_type_that_fits_and_know_words_from_numbers(tmp_path):
    def table(*rows):
        body = "".join(f"<tr><th>a</th><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
        head = f"<thead><tr><th></th>{'<th>b</th>' * len(rows[0])}</tr></thead>"
        html = f"<table>{head}<tbody>{body}</tbody></table>"
        return built(tmp_path, code("x", "slide", displayed("text/html", html))).table

    films = table(["2001: A Space Odyssey", "0.5"], ["Fargo", "nan"])
    assert [cell.get("class") for cell in films.tbody.tr.find_all("td")] == [["words"], None]
    assert "class" not in table(["0.04 ± 0.02"] * 2).attrs
    assert table(["+0.04 ± 0.02"] * 4)["class"] == ["broad"], "in large type on a wide screen alone"
    assert table(["+0.04 ± 0.02"] * 5)["class"] == ["small"], "its numbers may not break"
    assert "class" not in table(["many words that may break"] * 3).attrs
    assert table(*[["0.5"]] * 9)["class"] == ["small"]


def test_the_best_of_a_column_is_marked_where_models_are_compared(tmp_path):
    frame = pd.DataFrame({"NDCG@10": [0.4, 0.5, 0.3], "RMSE": [0.9, 0.9, 1.0], "AUC": [0.7, 0.6, 0.5], "sd": [1, 2, 3]})

    def best(name):
        shown = code("x", "slide", displayed("text/html", frame.rename_axis(name).to_html()))
        return [cell.text for cell in built(tmp_path, shown).select("td.best")]

    assert best("model") == ["0.7", "0.5"], "not of two alike, not of a spread"
    assert best("age") == []


def test_names_of_an_index_join_the_row_of_heads(tmp_path):
    def heads(frame):
        table = built(tmp_path, code("x", "slide", displayed("text/html", frame.to_html()))).table
        return [[head.get_text(strip=True) for head in row.find_all("th")] for row in table.thead("tr")]

    named = pd.DataFrame({"mean": [0.5], "sd": [0.1]}, index=pd.Index(["EASE"], name="model"))
    assert heads(named) == [["model", "mean", "sd"]]
    assert heads(named.rename_axis(columns="measure")) == [["model \\ measure", "mean", "sd"]]
    measured = pd.DataFrame({"ndcg@10": [0.5], "p_value": [0.1], "user_id": [1]}, index=pd.Index([0.3], name="auc"))
    assert heads(measured) == [["AUC", "NDCG@10", "p value", "user_id"]], "names of columns that code reads stay"
    spanned = pd.concat({"first": named, "second": named}, axis=1)
    assert heads(spanned) == [["", "first", "second"], ["model", "mean", "sd", "mean", "sd"]]


def test_markdown_pictures_are_inlined_links_into_the_book_are_text_and_maths_stays(tmp_path):
    (tmp_path / "way.svg").write_text(SVG, encoding="utf-8")
    links = "[next](04_next.ipynb) and [paper](https://arxiv.org/abs/1906.00091)"
    page = built(tmp_path, markdown(f"## A\n\n![The way](way.svg)\n\n{links}", "slide"))
    assert page.select_one("section img")["src"].startswith("data:image/svg+xml;base64,")
    assert [link["href"] for link in page.select("section a")] == ["https://arxiv.org/abs/1906.00091"]
    page = built(tmp_path, markdown("## A\n\n$a_i*b_j*c$ and\n\n$$\nx < y \\\\\n$$", "slide"))
    text = page.select_one("section.content .body").text
    assert "$a_i*b_j*c$" in text, "MathJax gets it as it was written"
    assert "x < y \\\\" in text


A, LEFT = markdown("a", "slide"), markdown("a", "slide", "cols-left")
STOPS = [
    ([markdown("a", slide_type="slides")], "cell 2: unknown slide_type 'slides'"),
    ([markdown("a", "slide", note="b")], "unknown slideshow key"),
    ([markdown("a", "slide", "slide-hide-inputs")], "unknown slide tag"),
    ([markdown("a", "fragment"), A], "before the first slide"),
    ([markdown("a", "-"), A], "before the first slide"),
    ([A, markdown("b", "skip", notes="c")], "not in the deck"),
    ([A, code("b", "notes")], "must be Markdown"),
    ([A, markdown("b", "-", "section-slide")], "begins the slide"),
    ([markdown("a", "slide", "cols-right")], "cols-left, cols-right, cols-end"),
    ([LEFT, markdown("b", "-", "cols-end")], "cols-left, cols-right, cols-end"),
    ([LEFT, markdown("b", "-")], "without a cols-right"),
    ([markdown("", "slide")], "empty slide"),
    ([code("a", "slide", HIDE)], "empty slide"),
    ([code("a", "slide", stdout("[1, 2]\n"))], "cell 2: prints on a slide"),
    ([A, code("b", "-", picture(None))], "cell 3: picture without alt text"),
    ([code("a", "slide", displayed("image/svg+xml", SVG, "  "))], "picture without alt text"),
    ([markdown("![](way.svg)", "slide")], "picture without alt text"),
    ([markdown("![way](gone.svg)", "slide")], "no such picture"),
    ([markdown("![way](https://example.org/a.png)", "slide")], "no such picture"),
    ([markdown("<script>1</script>", "slide")], "does not belong"),
    ([code("a", "slide", FAILED)], "the cell failed"),
    ([markdown("a")], "no cell begins a slide"),
]


@pytest.mark.parametrize(("cells", "message"), STOPS)
def test_faults_that_stop_the_build(tmp_path, cells, message):
    with pytest.raises(DeckError, match=message):
        built(tmp_path, *cells)


def test_a_notebook_without_slides_is_no_deck(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "notebooks"
    write(tmp_path, nbformat.v4.new_notebook(cells=[markdown("# 3. A"), markdown("b")]), "notebooks/03_a.ipynb")
    save(folder / "04_b.ipynb", markdown("c", "slide"))
    monkeypatch.setattr(slides, "ROOT", tmp_path)
    assert [chapter.stem for chapter in slides.chapters()] == ["04_b"]
    assert slides.main([str(folder / "03_a.ipynb"), "--output", str(tmp_path)]) == 1
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


def test_without_chromium_the_export_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(slides.shutil, "which", lambda name: None)
    notebook = save(tmp_path / "03_sample.ipynb", A)
    with pytest.raises(SystemExit, match="need Chromium"):
        slides.main([str(notebook), "--output", str(tmp_path), "--pdf"])


def looked_at(chromium, deck, *screens):
    """Every fault of a deck: of its slides on these screens (all when none is named), and what it asked and said."""
    with open_page(chromium) as (page, heard):
        found = [fault for screen in screens or slides.SCREENS for fault in faults(page, deck, screen)]
        return found + heard


def lengths(chromium, deck):
    """Numbers of slides, and of pages of the PDF that Chromium writes (its page objects are not compressed)."""
    pdf = slides.export_pdf(chromium, deck).read_bytes()
    return len(kinds(parsed(deck))), len(re.findall(rb"/Type\s*/Page\b", pdf))


ASKS, SHOWN = markdown("## Why?", "slide"), code("x", "-", HIDE, picture())


def test_what_a_cell_shows_below_a_question_comes_on_the_next_step(tmp_path):
    cells = [code("x", "slide", HIDE, picture(), text="## Why?"), ASKS, SHOWN]
    given = code("x", "slide", HIDE, "slide-given", picture(), text="## Why?")
    deck = read_deck(save(tmp_path / "03_sample.ipynb", *cells, given, given))
    assert [[block.fragment for block in slide.blocks] for slide in deck.slides[1:4]] == [
        [False, True],
        [False] * 2,
        [False],
    ]
    assert [fault[:8] for fault in spoken(deck) if "one step" in fault] == ["slide 3:"]


def test_a_cell_that_never_ran_and_a_slide_that_says_nothing_are_named(tmp_path):
    cell = code("x", "slide", HIDE, picture(), text="## Two curves")
    cell.execution_count = None
    deck = read_deck(save(tmp_path / "03_sample.ipynb", cell))
    assert spoken(deck) == ["slide 2: 03_sample.ipynb, cell 2 has never been run"]
    assert unclaimed(deck) == ["slide 2: no claim: Two curves"]


UNCLAIMED = 0  # slides of all decks that show something and say nothing about it: may fall, not rise


def test_few_slides_are_without_a_claim():
    found = [f"{path.stem}, {fault}" for path in slides.chapters() for fault in unclaimed(read_deck(path))]
    assert len(found) <= UNCLAIMED, found


def test_a_handout_has_each_slide_with_its_notes(chromium, tmp_path):
    deck = slides.build(save(tmp_path / "03_sample.ipynb", *[markdown("## A", "slide", notes="Say it.")] * 3), tmp_path)
    page = chromium.new_page()
    assert handout.lay_out(page, deck) == ["slide 1: no notes"]
    assert page.locator(".handout").count() == 5
    assert page.locator(".said:not(:empty)").count() == 1, "the same notes are said once"
    assert page.locator(".said .clock").inner_text() == "About 2 minutes. Ends at 4 of 8."


GROWN = """[...document.querySelectorAll("table")].map(
    (table) => (table.matches(".grown") ? parseInt(getComputedStyle(table).fontSize) : 0))"""


def test_a_table_alone_grows_on_each_screen_and_keeps_its_lines(chromium, tmp_path):
    small, large = (displayed("text/html", pd.DataFrame({"b": ["0.5"] * rows}).to_html()) for rows in (3, 8))
    broad = displayed("text/html", pd.DataFrame([["+0.04 ± 0.02"] * 5]).to_html())
    cells = [code("x", "slide", HIDE, each) for each in (small, large, broad)]
    cells += [markdown("## A\n\nWords\n\n| a |\n|---|\n| b |", "slide"), code("x", "slide", small)]
    page = chromium.new_page(viewport={"width": 1280, "height": 720})
    slides.open_deck(page, deck_of(tmp_path, *cells))
    alone, high, wide, beside, code_too = page.evaluate(GROWN)
    assert (alone, beside, code_too) == (38, 30, 0)
    assert 26 <= wide < high < 38
    page.set_viewport_size({"width": 1024, "height": 768})
    page.wait_for_function("document.documentElement.style.getPropertyValue('--slide-w') === '1120px'")
    assert page.evaluate(GROWN)[1] > high
    assert 21 < page.evaluate(GROWN)[2] < wide


@pytest.mark.parametrize("notebook", slides.chapters(), ids=lambda path: path.stem)
def test_deck_of_the_book(chromium, tmp_path, notebook):
    deck = slides.build(notebook, tmp_path)
    before = zip(read_deck(notebook).slides[1:], parsed(deck).select("section[class]"), strict=False)
    asks = [view for slide, view in before if slide.asked and not view.select("img, pre, table, .fragment")]
    assert {view["class"][0] for view in asks} <= {"question", "statement"}, "a question is set as one"
    assert looked_at(chromium, deck) == []
    assert spoken(read_deck(notebook)) == []
    n_slides, pages = lengths(chromium, deck)
    assert n_slides == pages


LINES = "\n".join(f"- line {i}" for i in range(16))
HEAD, LIST, FULL = (markdown(f"## A\n\n{text}", "slide") for text in ("first", "- b", LINES[:90]))
LONG_WORD = markdown("a" * 60, "slide", "cols-left")
WIDE = "$$" + "+".join(f"\\frac{{a_{{{i}}}}}{{b}}" for i in range(30)) + "$$"
CELLS = "<table><tr>" + "<td>wide cell</td>" * 14 + "</tr></table>"
SCALED = '<div style="transform: scale(1.6)">A long line that fits before it is scaled</div>'
PLANTED = {
    "text too long": ([markdown("## A\n\n" + LINES, "slide")], "below or above the slide"),
    "text too long in a fragment": ([LIST, markdown(LINES, "fragment")], "below or above"),
    "code too long": ([code("\n".join(["x = 1"] * 24), "slide")], "below or above the slide"),
    "code too wide": ([code("x = '" + "a" * 100 + "'", "slide")], "cut line"),
    "output too wide": ([code("x", "slide", displayed("text/plain", "a" * 120))], "cut line"),
    "a third size": ([markdown('## A\n\n- b\n\n<p style="font-size: 36px">large</p>', "slide")], "a third size"),
    "table too wide": ([code("x", "slide", HIDE, displayed("text/html", CELLS))], "beside the slide"),
    "formula too wide": ([markdown("## A\n\n" + WIDE, "slide")], "beside the slide"),
    "word wider than its column": ([LONG_WORD, markdown("b", "-", "cols-right")], "beyond its column"),
    "scaled out of the slide": ([markdown(SCALED, "slide")], "beside the slide"),
    "one on the other": ([HEAD, markdown('<p style="margin-top: -70px">second</p>', "-")], "lies on <"),
    "picture squeezed": ([FULL, code("x", "-", HIDE, picture())], "small picture"),
    "picture damaged": ([code("x", "slide", displayed("image/png", "iVBORw0KGgo=", "A"))], "broken picture"),
    "maths that does not parse": ([markdown("## A\n\n$\\left( x$", "slide")], "maths error"),
    "maths that does not end": ([markdown("## A\n\n$\\frac{1$", "slide")], "maths not set"),
    "macro that does not exist": ([markdown("## A\n\n$\\softmaxx(x)$", "slide")], "maths error"),
    "maths left open": ([markdown("## A\n\n$$ x = 1 and nothing else", "slide")], "maths not set"),
    "type too small": ([markdown('<p style="font-size: 18px">fine print</p>', "slide")], "small type"),
}


@pytest.fixture(scope="module")
def planted(chromium, tmp_path_factory):
    """The faults of one deck that has a slide for each entry of `PLANTED`."""
    cells = [cell for cells, _ in PLANTED.values() for cell in cells]
    return looked_at(chromium, deck_of(tmp_path_factory.mktemp("planted"), *cells), "16x9")


@pytest.mark.parametrize("number", range(len(PLANTED)), ids=PLANTED)
def test_planted_fault_is_caught(planted, number):
    found = [fault for fault in planted if fault.startswith(f"slide {number + 2} at")]  # the first is the title
    assert any(list(PLANTED.values())[number][1] in fault for fault in found), found


def test_what_fits_16x9_alone_is_caught_on_4x3(chromium, tmp_path):
    deck = deck_of(tmp_path, code("x = '" + "a" * 82 + "'", "slide"))
    assert looked_at(chromium, deck, "16x9") == []
    assert any(fault.startswith("slide 2 at 4x3: cut line") for fault in looked_at(chromium, deck, "4x3"))


IMAGE = '<img src="https://example.org/a.png" alt="a">'
PATCHED = {
    "request": ("</section>", f"{IMAGE}</section>", "request leaves the machine"),
    "script": ("</body>", "<script>console.error('it broke')</script></body>", "console: it broke"),
    "exception": ("</body>", "<script>throw new Error('odd')</script></body>", "console: uncaught"),
    "alt": ('alt="Bars', 'alt="" title="Bars', "picture without alt text"),
}


@pytest.mark.parametrize(("before", "after", "expected"), PATCHED.values(), ids=PATCHED)
def test_fault_of_the_page_is_caught(chromium, tmp_path, before, after, expected):
    deck = deck_of(tmp_path, code("x", "slide", HIDE, picture()))
    head, mark, tail = deck.read_text(encoding="utf-8").rpartition(before)
    assert mark
    assert looked_at(chromium, deck, "16x9") == []
    deck.write_text(head + after + tail, encoding="utf-8")
    assert any(expected in fault for fault in looked_at(chromium, deck, "16x9"))


def test_pdf_with_a_page_too_many_is_caught(chromium, tmp_path):
    deck = deck_of(tmp_path, LIST, markdown("c", "fragment"), markdown("d", "fragment"))
    assert lengths(chromium, deck) == (3, 3)
    html = deck.read_text(encoding="utf-8")
    deck.write_text(html.replace("pdfSeparateFragments: false", "pdfSeparateFragments: true"), encoding="utf-8")
    assert lengths(chromium, deck)[1] > 3


def test_rich_sample_is_without_fault_and_its_speaker_view_opens_without_a_network(chromium, tmp_path):
    deck = slides.build(samples.rich(tmp_path / "03_evaluation.ipynb"), tmp_path)
    assert looked_at(chromium, deck) == []
    assert lengths(chromium, deck) == (13, 13)
    with open_page(chromium) as (page, heard):
        slides.open_deck(page, deck)
        slides.show(page, (1, 0))
        with page.expect_popup() as popup:
            page.keyboard.press("s")
        popup.value.wait_for_selector(".speaker-controls-notes .value em")
        assert "Let them answer" in popup.value.inner_text(".speaker-controls-notes .value")
        assert heard == []
