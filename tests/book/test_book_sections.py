"""The pages without code: what they say about chapters is read from the chapters, and what they promise is there."""

import re

import pytest
import yaml
from myst_parser.mdit_to_docutils.base import default_slugify
from nbformat.v4 import new_notebook
from pages import ROOT
from sample_notebook import markdown, write

from tools.book.sections import SECTION_SIGN, by_letter, fill_page, find_chapters, read_plan, read_sections, slug
from tools.notebooks import execute
from tools.notebooks.prose import read_works, typed_numbers, without_code, wrong_citations

PAGES = sorted((ROOT / "book").glob("*.md"))
OURS = [page for page in PAGES if page.stem not in {"evidence", "benchmarks", "bibliography"}]
RECAPS = [page for page in PAGES if page.stem.startswith("recap_")]
PLAN = read_plan(ROOT)
WORKS = read_works((ROOT / "references.bib").read_text(encoding="utf-8"))


def no_section(number):
    pytest.fail(f"no such section: {number}")


def small_book(folder):
    """A book of two chapters, of which one is written."""
    (folder / "book").mkdir()
    plan = {"parts": [{"chapters": {3: "Small", 4: "Later"}}], "needs": {4: [3]}}
    (folder / "book/parts.yml").write_text(yaml.safe_dump(plan))
    (folder / "notebooks/solutions").mkdir(parents=True)
    title = markdown("# 3. Small\n\nAfter this chapter you can.", "slide")
    slide = markdown("## 3.1 A rule, by hand: $x$\n\n**(a) Count.** How many?", "slide", notes="Ask.")
    cells = [title, markdown("**Before you start.** Chapters 0 and 2: all."), slide]
    write(folder, new_notebook(cells=cells), "notebooks/03_small.ipynb")
    (folder / "notebooks/solutions/03_small.ipynb").touch()
    return folder


def test_section_signs_become_links(tmp_path):
    source, heard = small_book(tmp_path), []
    found = fill_page("See §3.1, §3 and §4.2, not §3.9.", source, "book/page", heard.append)
    assert "[section\N{NO-BREAK SPACE}3.1](../notebooks/03_small.ipynb#31-a-rule-by-hand-)" in found
    assert "[chapter\N{NO-BREAK SPACE}3](../notebooks/03_small.ipynb)" in found
    assert "chapter\N{NO-BREAK SPACE}4, not §3.9." in found, "a planned chapter is named, and no link"
    assert heard == ["3.9"]
    assert "](notebooks/03_small.ipynb)" in fill_page("§3", source, "index", no_section)


def test_markers_are_filled(tmp_path):
    source = small_book(tmp_path)
    page = "<!-- deck 3 -->\n\n<!-- exercises -->\n\n<!-- needs -->\n"
    found = fill_page(page, source, "book/page", no_section)
    assert "2 slides, 1 with speaker notes, 0 steps held back" in found
    assert "| (a) Count | [solutions 3](../notebooks/solutions/03_small.ipynb) |" in found
    assert "| 4. Later | [3](../notebooks/03_small.ipynb) |" in found
    assert "<!--" not in found
    assert before_you_start(source / "notebooks/03_small.ipynb") == [0, 2]


def before_you_start(notebook):
    """The chapters that a chapter names as its prerequisites, in order."""
    lead = re.search(r"\*\*Before you start\.\*\*(.+)", "\n".join(cell.source for cell in execute.read(notebook).cells))
    named = re.findall(r"[Cc]hapters? (\d+(?:(?:, | and | or | to )\d+)*)", lead[1] if lead else "")
    return sorted({int(number) for numbers in named for number in re.findall(r"\d+", numbers)})


def test_anchors_are_those_of_the_parser():
    sections = read_sections(ROOT)
    for section in sections.values():
        if section.anchor:
            heading = f"{section.number} {section.title}"
            assert "$" in heading or section.anchor == default_slugify(re.sub("[`*]", "", heading))
    assert slug("3.1 A `rule`, *by hand*") == "31-a-rule-by-hand"


@pytest.mark.parametrize("page", OURS, ids=lambda page: page.stem)
def test_no_result_is_typed(page):
    text = SECTION_SIGN.sub(" ", without_code(page.read_text(encoding="utf-8")))
    found = [number for number, _ in typed_numbers(text, WORKS, given=True) if re.search(r"\.|^0,", number)]
    assert not found, "glue it from a notebook, set exact arithmetic as maths, or leave it out"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_named_section_and_each_cited_work_is_there(page):
    text = page.read_text(encoding="utf-8")
    fill_page(text, ROOT, f"book/{page.stem}", no_section)
    assert not list(wrong_citations(text, WORKS))


def glossary():
    """Each entry: its terms, and its definition."""
    text = (ROOT / "book/glossary.md").read_text(encoding="utf-8")
    body = re.search(r":::\{glossary\}\n(.*?)\n:::", text, re.DOTALL)[1]
    entries = [block.partition("\n  ") for block in body.split("\n\n")]
    return [(terms.split("\n"), definition) for terms, _, definition in entries]


def words(text):
    """Letters and digits alone, in lower case."""
    return re.sub(r"[\W_]+", "", text.lower())


def test_each_term_is_taught_where_the_glossary_says():
    sections, wrong = read_sections(ROOT), []
    for terms, definition in glossary():
        named = SECTION_SIGN.findall(definition)
        wrong += [] if named else [f"{terms[0]}: no section"]
        parts = [re.findall(r"\w+", term) for term in terms]
        for number in [number for number in named if number.split(".")[0] in sections]:  # else it is planned
            text = words(sections[number].text)
            if not any(all(words(part) in text for part in term) for term in parts):
                wrong.append(f"{terms[0]}: not in section {number}")
    assert not wrong, "\n".join(wrong)


def test_a_glossary_gets_a_heading_for_each_letter():
    made = by_letter("# G\n\n:::{glossary}\na\n  x\n\nA b\n  y\n\nc\n  z\n:::\n")
    first, second = (f":::{{glossary}}\n{entries}\n:::" for entries in ("a\n  x\n\nA b\n  y", "c\n  z"))
    assert made == f"# G\n\n{{.letters}}\n[A](#a) [C](#c)\n\n## A\n\n{first}\n\n## C\n\n{second}\n"


def test_glossary_is_sorted_and_says_each_term_once():
    first = [re.sub(r"[^a-z0-9 ]", "", re.sub("[-–]", " ", terms[0].lower())) for terms, _ in glossary()]
    every = [term.lower() for terms, _ in glossary() for term in terms]
    assert first == sorted(first)
    assert len(every) == len(set(every))


def test_each_part_ends_with_its_recap():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    last = {part["caption"]: part["chapters"][-1]["file"] for part in toc["parts"]}
    for number, part in enumerate(PLAN["parts"], start=1):
        if part["title"] in last:
            assert last[part["title"]] == f"book/recap_{number}"
            assert (ROOT / f"book/recap_{number}.md").read_text().startswith(f"# Recap: {part['title']}\n")


@pytest.mark.parametrize("page", RECAPS, ids=lambda page: page.stem)
def test_each_question_has_choices_and_an_answer_that_explains(page):
    quiz = page.read_text(encoding="utf-8").split("## Quiz", 1)[1]
    questions = re.split(r"(?m)^\*\*(\d+)\.\*\* ", quiz)[1:]
    assert len(questions) >= 12
    for place, (number, text) in enumerate(zip(questions[::2], questions[1::2], strict=True), start=1):
        assert number == str(place)
        choices = re.findall(r"(?m)^- \(([a-d])\) ", text)
        pattern = rf":::\{{dropdown\}} Answer to question {number}\n\*\*\(([a-d])\)(.*?)\n:::"
        answer = re.search(pattern, text, re.DOTALL)
        assert answer, f"question {number} has no answer"
        assert answer[1] in choices, f"question {number} answers with a letter that is no choice"
        named = set(re.findall(r"\(([a-d])\)", answer[2]))
        assert named == set(choices) - {answer[1]}, f"question {number}: say of each other choice what is wrong"
        assert len(answer[2].split()) >= 20, f"question {number}: say why"
        assert SECTION_SIGN.search(answer[2]), f"question {number}: say where it is taught"


def test_right_answers_are_spread_over_the_letters():
    text = "".join(page.read_text(encoding="utf-8") for page in RECAPS)
    letters = re.findall(r"Answer to question \d+\n\*\*\(([a-d])\)", text)
    assert max(letters.count(letter) for letter in "abc") < 0.7 * len(letters)


def test_instructors_find_each_chapter():
    text = (ROOT / "book/teaching.md").read_text(encoding="utf-8")
    plan = re.search(r"### Fourteen weeks(.*?)\n##", text, re.DOTALL)
    assert len(re.findall(r"(?m)^\| \d+ \|", plan[1])) == 14
    for number, notebook in find_chapters(ROOT).items():
        assert re.search(rf"§{number}(?!\d)", plan[1]), f"the plan has no week for chapter {number}"
        part = re.search(rf"(?m)^### Chapter {number}, ([^\n]*)$(.*?)(?=^###? )", text, re.DOTALL)
        assert part[1] == read_sections(ROOT)[str(number)].title, notebook
        assert f"<!-- deck {number} -->" in part[2]
        assert part[2].count('**"') == 2, "two questions for each deck"
        assert " ".join(part[2].split()).count("You will hear") == 2, "each with the wrong answer to expect"


def test_map_and_chapters_agree_on_what_is_needed():
    for number, notebook in find_chapters(ROOT).items():
        needs = PLAN["needs"].get(number, [])
        assert before_you_start(ROOT / notebook) == needs, "mend book/parts.yml, run figs/book_map.py"


def test_a_symbol_stands_once_on_the_page_of_symbols():
    text = (ROOT / "book/notation.md").read_text(encoding="utf-8").split("## Letters that look alike")[0]
    cells = re.findall(r"(?m)^\| (\$.*?) \| ", text)
    symbols = [symbol.strip() for cell in cells for symbol in re.findall(r"\$(.+?)\$", cell)]
    single = [part.strip() for symbol in symbols for part in re.split(r",(?![^{]*\})", symbol)]
    twice = sorted({symbol for symbol in single if single.count(symbol) > 1 and symbol != "k"})
    assert not twice, f"two meanings: {twice}"
