"""The pages without code: what they say about chapters is read from the chapters, and what they promise is there."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
import yaml
from myst_parser.mdit_to_docutils.base import default_slugify
from nbformat.v4 import new_markdown_cell, new_notebook
from pages import ROOT, pages_of_toc

from tools.book.sections import (
    SECTION_SIGN,
    before_you_start,
    fill_page,
    find_chapters,
    read_plan,
    read_sections,
    slug,
)
from tools.notebooks.prose import typed_decimals, without_code

PAGES = sorted((ROOT / "book").glob("*.md"))
OURS = [page for page in PAGES if page.stem not in {"evidence", "benchmarks", "bibliography"}]
RECAPS = [page for page in PAGES if page.stem.startswith("recap_")]
PLAN = read_plan(ROOT)


def no_section(number: str) -> None:
    pytest.fail(f"no such section: {number}")


def small_book(folder: Path) -> Path:
    """A book of two chapters, of which one is written."""
    (folder / "book").mkdir()
    plan = {"parts": [{"chapters": {3: "Small", 4: "Later"}}], "needs": {4: [3]}}
    (folder / "book/parts.yml").write_text(yaml.safe_dump(plan))
    (folder / "notebooks/solutions").mkdir(parents=True)
    title = new_markdown_cell("# 3. Small\n\nAfter this chapter you can.")
    title.metadata["slideshow"] = {"slide_type": "slide"}
    slide = new_markdown_cell("## 3.1 A rule, by hand: $x$\n\n**(a) Count.** How many?")
    slide.metadata["slideshow"] = {"slide_type": "slide", "notes": "Ask."}
    cells = [title, new_markdown_cell("**Before you start.** Chapters 0 and 2: all."), slide]
    nbformat.write(new_notebook(cells=cells), folder / "notebooks/03_small.ipynb")
    (folder / "notebooks/solutions/03_small.ipynb").touch()
    return folder


def test_section_signs_become_links(tmp_path: Path) -> None:
    source, heard = small_book(tmp_path), []
    found = fill_page("See §3.1, §3 and §4.2, not §3.9.", source, "book/page", heard.append)
    assert "[section\N{NO-BREAK SPACE}3.1](../notebooks/03_small.ipynb#31-a-rule-by-hand-)" in found
    assert "[chapter\N{NO-BREAK SPACE}3](../notebooks/03_small.ipynb)" in found
    assert "chapter\N{NO-BREAK SPACE}4, not §3.9." in found, "a planned chapter is named, and no link"
    assert heard == ["3.9"]
    assert "](notebooks/03_small.ipynb)" in fill_page("§3", source, "index", no_section)


def test_markers_are_filled(tmp_path: Path) -> None:
    source = small_book(tmp_path)
    page = "<!-- deck 3 -->\n\n<!-- exercises -->\n\n<!-- needs -->\n"
    found = fill_page(page, source, "book/page", no_section)
    assert "2 slides, 1 with speaker notes, 0 steps held back" in found
    assert "| (a) Count | [solutions 3](../notebooks/solutions/03_small.ipynb) |" in found
    assert "| 4. Later | [3](../notebooks/03_small.ipynb) |" in found
    assert "<!--" not in found
    assert before_you_start(source / "notebooks/03_small.ipynb") == [0, 2]


def test_anchors_are_those_of_the_parser() -> None:
    sections = read_sections(ROOT)
    for section in sections.values():
        if section.anchor:
            heading = f"{section.number} {section.title}"
            assert "$" in heading or section.anchor == default_slugify(re.sub("[`*]", "", heading))
    assert slug("3.1 A `rule`, *by hand*") == "31-a-rule-by-hand"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_name_sections_that_exist(page: Path) -> None:
    heard: list[str] = []
    fill_page(page.read_text(encoding="utf-8"), ROOT, f"book/{page.stem}", heard.append)
    assert not heard, f"no such section: {heard}"


@pytest.mark.parametrize("page", OURS, ids=lambda page: page.stem)
def test_no_result_is_typed(page: Path) -> None:
    text = SECTION_SIGN.sub(" ", without_code(page.read_text(encoding="utf-8")))
    found = [decimal for decimal, _ in typed_decimals(text)]
    assert not found, (
        f"types {found}: glue it from a notebook, set exact arithmetic as maths, or leave it out"
    )


def glossary() -> list[tuple[list[str], str]]:
    """Each entry: its terms, and its definition."""
    text = (ROOT / "book/glossary.md").read_text(encoding="utf-8")
    body = re.search(r":::\{glossary\}\n(.*?)\n:::", text, re.DOTALL)
    assert body is not None
    entries = []
    for block in body[1].split("\n\n"):
        lines = block.split("\n")
        terms = [line for line in lines if not line.startswith("  ")]
        entries.append((terms, " ".join(line.strip() for line in lines if line.startswith("  "))))
    return entries


def words(text: str) -> str:
    """Letters and digits alone, in lower case."""
    return re.sub(r"[\W_]+", "", text.lower())


def test_each_term_is_taught_where_the_glossary_says() -> None:
    sections, wrong = read_sections(ROOT), []
    for terms, definition in glossary():
        named = SECTION_SIGN.findall(definition)
        if not named:
            wrong.append(f"{terms[0]}: no section")
        for number in named:
            if number.split(".")[0] not in sections:
                continue  # of a chapter that is planned
            text = words(sections[number].text)
            parts = [re.findall(r"\w+", term) for term in terms]
            if not any(all(words(part) in text for part in term) for term in parts):
                wrong.append(f"{terms[0]}: not in section {number}")
    assert not wrong, "\n".join(wrong)


def test_glossary_is_sorted_and_says_each_term_once() -> None:
    first = [re.sub(r"[^a-z0-9 ]", "", re.sub("[-–]", " ", terms[0].lower())) for terms, _ in glossary()]
    every = [term.lower() for terms, _ in glossary() for term in terms]
    assert first == sorted(first)
    assert len(every) == len(set(every))


def test_each_part_ends_with_its_recap() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = {part["caption"]: [entry["file"] for entry in part["chapters"]] for part in toc["parts"]}
    for number, part in enumerate(PLAN["parts"], start=1):
        if part["title"] in chapters:
            assert chapters[part["title"]][-1] == f"book/recap_{number}"
            heading = (ROOT / f"book/recap_{number}.md").read_text(encoding="utf-8").split("\n", 1)[0]
            assert heading == f"# Recap: {part['title']}"


@pytest.mark.parametrize("page", RECAPS, ids=lambda page: page.stem)
def test_each_question_has_choices_and_an_answer_that_explains(page: Path) -> None:
    quiz = page.read_text(encoding="utf-8").split("## Quiz", 1)[1]
    questions = re.split(r"(?m)^\*\*(\d+)\.\*\* ", quiz)[1:]
    numbers, texts = questions[::2], questions[1::2]
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 6
    for number, text in zip(numbers, texts, strict=True):
        choices = re.findall(r"(?m)^- \(([a-d])\) ", text)
        answer = re.search(
            rf":::\{{dropdown\}} Answer to question {number}\n\*\*\(([a-d])\)(.*?)\n:::", text, re.DOTALL
        )
        assert answer is not None, f"question {number} has no answer"
        assert answer[1] in choices, f"question {number} answers with a letter that is no choice"
        assert len(answer[2].split()) >= 20, f"question {number}: say why"
        assert SECTION_SIGN.search(answer[2]), f"question {number}: say where it is taught"


def test_right_answers_are_spread_over_the_letters() -> None:
    letters = "".join(
        letter
        for page in RECAPS
        for letter in re.findall(r"Answer to question \d+\n\*\*\(([a-d])\)", page.read_text(encoding="utf-8"))
    )
    assert max(letters.count(letter) for letter in "abc") < 0.7 * len(letters)


def test_instructors_find_each_chapter() -> None:
    text = (ROOT / "book/teaching.md").read_text(encoding="utf-8")
    plan = re.search(r"## Fourteen weeks(.*?)\n## ", text, re.DOTALL)
    assert plan is not None
    assert len(re.findall(r"(?m)^\| \d+ \|", plan[1])) == 14
    for number, notebook in find_chapters(ROOT).items():
        assert f"§{number}" in plan[1] or number == 17, f"the plan has no week for chapter {number}"
        part = re.search(rf"(?m)^### Chapter {number}, ([^\n]*)$(.*?)(?=^###? )", text, re.DOTALL)
        assert part is not None, f"teaching.md says nothing about chapter {number}"
        assert part[1] == read_sections(ROOT)[str(number)].title, notebook
        assert f"<!-- deck {number} -->" in part[2]
        assert part[2].count('**"') == 2, "two questions for each deck"
        assert " ".join(part[2].split()).count("You will hear") == 2, "each with the wrong answer to expect"


def test_map_and_chapters_agree_on_what_is_needed() -> None:
    for number, notebook in find_chapters(ROOT).items():
        assert before_you_start(ROOT / notebook) == PLAN["needs"].get(number, []), (
            f"chapter {number}: mend `needs` in book/parts.yml, run figs/book_map.py"
        )


def test_a_symbol_stands_once_on_the_page_of_symbols() -> None:
    text = (ROOT / "book/notation.md").read_text(encoding="utf-8").split("## Letters that look alike")[0]
    cells = re.findall(r"(?m)^\| (\$.*?) \| ", text)
    symbols = [symbol.strip() for cell in cells for symbol in re.findall(r"\$(.+?)\$", cell)]
    single = [part.strip() for symbol in symbols for part in re.split(r",(?![^{]*\})", symbol)]
    twice = sorted({symbol for symbol in single if single.count(symbol) > 1 and symbol != "k"})
    assert not twice, f"two meanings: {twice}"


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set(pages_of_toc())
    assert {f"book/{page.stem}" for page in PAGES} <= listed
