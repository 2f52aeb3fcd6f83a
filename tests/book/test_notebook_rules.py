"""The rules of notebooks: each is seen to fail on one deliberately broken notebook, then all run on every notebook."""

import re
from decimal import Decimal

import nbformat
import pytest
from sample_notebook import ASKED, NAME, code, good, markdown, png, project, shown, stdout, write

from tools.notebooks import execute, rules
from tools.notebooks.prose import is_said, named_sections, read_works, sentences, typed_numbers, wrong_citations
from tools.notebooks.rules import RULES, Page, check

LONG = "\n".join(f"x{i} = {i}" for i in range(16))
STDERR = stdout("UserWarning: beware\n", "stderr")


def edit(number, old, new):
    """Change the source of a cell (counted from 1)."""

    def change(notebook):
        cell = notebook.cells[number - 1]
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def add(*cells):
    """Put cells before the exercises; a text is a Markdown cell."""
    made = [markdown(cell) if isinstance(cell, str) else cell for cell in cells]
    return lambda notebook: notebook.cells.__setitem__(slice(8, 8), made)


def page_with(html):
    return code("show()", shown({"text/html": html}))


def field(number, **values):
    return lambda notebook: notebook.cells[number - 1].update(values)


def meta(number, **values):
    return lambda notebook: notebook.cells[number - 1].metadata.update(values)


def no_alt(notebook):
    notebook.cells[6].outputs[0].metadata = {"image/png": {"alt": " "}}


def no_deck(notebook):
    for cell in notebook.cells:
        cell.metadata.pop("slideshow", None)


def typed_alt(notebook):
    notebook.cells[6].outputs[0].metadata["image/png"]["alt"] = "A curve that rises from nothing to 0.91."


# rule and what is wrong -> a deliberately broken notebook, one change away from the good one
BROKEN = {
    "first_cell: no number": edit(1, "# 3. Evaluation", "# Evaluation"),
    "first_cell: another chapter's number": edit(1, "# 3.", "# 4."),
    "first_cell: badge of another file": edit(1, "03_evaluation", "04_neighbours"),
    "first_cell: badge of another release": edit(1, "v1.2.0", "v1.1.0"),
    "first_cell: no sentence": edit(1, "After this chapter you can tell a good list from a bad one.\n\n", ""),
    "first_cell: two sentences": edit(1, "list from", "list. You can tell it from"),
    "bootstrap: another release": edit(2, "v1.2.0", "v1.1.0"),
    "bootstrap: missing": lambda notebook: notebook.cells.pop(1),
    "bootstrap: shown in the book": meta(2, tags=[]),
    "bootstrap: a second install": add(code("!pip install something")),
    "imports: work among the imports": edit(3, "course_utils.setup()", "course_utils.setup()\nx = 1"),
    "imports: no imports": field(3, source="# later"),
    "execution_counts: a cell that never ran": field(5, execution_count=None),
    "plain_markdown: directive": add("```{note}\nBeware.\n```"),
    "plain_markdown: fence": add("::: {.note}\nBeware.\n:::"),
    "plain_markdown: role": add("See {cite}`a2020`."),
    "plain_markdown: label": add("(target)=\nText."),
    "no_typed_results: in prose": add("The error is 0.91."),
    "no_typed_results: in a table": add("| model | error |\n|---|---|\n| ours | 0.91 |"),
    "no_typed_results: per cent": add("That is 12.5 % of all."),
    "no_typed_results: wrong rounding": edit(6, "Half is 0.5,", "Half is 0.51,"),
    "no_typed_results: on a slide": meta(5, slideshow={"slide_type": "-", "text": "The error is 0.91."}),
    "no_typed_results: in speaker notes": meta(5, slideshow={"slide_type": "-", "notes": "The error is 0.91."}),
    "no_typed_results: in an alt text": typed_alt,
    "no_typed_results: beside a citation, in a sentence of its own": edit(6, "Others", "Ours is 0.91. Others"),
    "no_typed_results: without its zero": add("The error is .7391."),
    "no_typed_results: with a comma": add("The error is 0,7391."),
    "no_typed_results: dressed as maths": add("The error is $0.7391$."),
    "no_typed_results: dressed as maths, with a sign": add("That is $74\\,\\%$ of all."),
    "no_typed_results: beside a link to no work": add("See 0.7391 ([there](https://example.org/x))."),
    "no_typed_results: a whole share": add("That is 74 % of all."),
    "no_typed_results: said by a comment alone": add(code("x = 1  # 0.7391"), markdown("It is 0.7391.")),
    "no_typed_results: a large number": add("There are 1,683 films."),
    "no_typed_results: printed far away": add("## 3.2 Far\n\nx", "## 3.3 Farther\n\nIt was 6.3.", "## 3.4 On\n\nx"),
    "pictures: no alt text": no_alt,
    "pictures: not from figure": edit(7, "figure(fig, alt='...')", "fig"),
    "pictures: another format": add(code("figure(1)", shown({"image/jpeg": png()}))),
    "pictures: a width of its own": add(code("plt.subplots(1, 2, figsize=(9.6, 4))")),
    "pictures: small words": add(code("ax.legend(fontsize=8.5)")),
    "pictures: typed into Markdown": add("![A chart](chart.png)"),
    "citations: unknown DOI": edit(6, "10.1000/abc.1", "10.1000/abc.2"),
    "citations: unknown arXiv number": edit(9, "1906.00091", "1906.00092"),
    "citations: another year": edit(6, "A (2020)", "A (2021)"),
    "references: no such section": add("See §99.9."),
    "references: no such chapter": add("Chapter 25 has it."),
    "short_cells: too long": add(code(LONG)),
    "short_cells: empty": add(code("")),
    "clean_code: semicolon": add(code("x = 1;")),
    "clean_code: plt.show": add(code("plt.show()")),
    "clean_code: perf_counter": add(code("start = time.perf_counter()")),
    "clean_code: excused by comment": add(code("# NBVAL_IGNORE_OUTPUT\nprint(1)")),
    "no_scripts: script in Markdown": add("<script>alert(1)</script>"),
    "no_scripts: a picture from elsewhere": add(
        code("show()", shown({"text/html": "<img src='https://x.org/p.png'>"}))
    ),
    "no_scripts: a form": add(page_with("<form action='/x'></form>")),
    "no_scripts: a style from elsewhere": add(
        code("show()", shown({"text/html": "<p style='a:url(//x.org/p)'>1</p>"}))
    ),
    "no_scripts: a page that moves on": add(page_with("<meta http-equiv='refresh'>")),
    "no_scripts: a script beside a live figure": add(page_with("<live-x></live-x>\n<script>\n1\n</script>\n")),
    "no_scripts: script in an output": add(page_with("<script>1</script>")),
    "no_scripts: widget": add(code("show()", shown({"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}))),
    "headings: skipped level": edit(9, "### Details", "#### Details"),
    "headings: two titles": edit(10, "## 3.3", "# 3.3"),
    "sections: no prerequisites": edit(4, "**Prerequisites.** ", ""),
    "sections: no exercises": edit(9, "Exercises", "Questions"),
    "sections: no recap": edit(10, "Recap", "End"),
    "clean_outputs: absolute path": add(code("print(p)", stdout("/home/me/data\n"))),
    "clean_outputs: memory address": add(code("print(p)", stdout("<object at 0x7f3a2b1c9d00>\n"))),
    "clean_outputs: stderr": add(code("warn()", STDERR)),
    "clean_outputs: unannounced error": meta(8, tags=[]),
    "clean_outputs: announced error that did not come": field(8, outputs=[]),
    "size: more than a megabyte": add(code("print(x)", stdout("x" * 1_000_001))),
    "tags: unknown tag": meta(5, tags=["slide-hide-inputs"]),
    "tags: excused by tag": meta(5, tags=["nbval-skip"]),
    "tags: unknown slide type": meta(5, slideshow={"slide_type": "slides"}),
    "tags: unknown key": meta(5, slideshow={"slide_type": "-", "note": "x"}),
    "deck: no deck": no_deck,
    "deck: a slide without notes": meta(11, slideshow={"slide_type": "slide"}),
    "predictions: nowhere to write a guess": edit(12, "guess = None", "guess = 3"),
    "predictions: no cell for the guess": meta(12, tags=[]),
    "predictions: never answered": meta(13, tags=[]),
    "predictions: answered by another question": add("**Predict before you run.** Why?", code(ASKED, "predict")),
    "predictions: nobody asked": meta(5, tags=["came-out"]),
    "predictions: the answer stands beside its question": meta(13, slideshow={"slide_type": "-"}),
    "turned: too few": edit(15, "  # Change this: 2, 3", ""),
    "turned: not the first line": edit(15, "a = 1", "x = 1\na = 1"),
    "turned: no value": edit(15, "2, 3", "two, three"),
    "turned: its own value": edit(15, "2, 3", "1, 3"),
    "turned: nothing said of it": edit(14, "**Change this.** ", ""),
    "clinics: no check": edit(18, "clinic1", "a"),
    "clinics: the repair stands there": meta(19, tags=[]),
}


def rules_of(faults):
    return {re.search(r"\[(\w+)\]", fault)[1] for fault in faults}


def page_of(folder, change=lambda notebook: None, *, raw=False, name=f"notebooks/{NAME}"):
    """The page of a notebook that is one change away from the good one, in a project of its own."""
    root = project(folder)
    notebook = good(root, name)
    change(notebook)
    return Page(write(root, notebook, name, raw=raw), root)


def test_good_notebook_keeps_every_rule(tmp_path):
    assert check(page_of(tmp_path)) == []


@pytest.mark.parametrize("name", BROKEN)
def test_broken_notebook_fails_its_rule_alone(tmp_path, name):
    rule, faults = name.partition(":")[0], check(page_of(tmp_path, BROKEN[name]))
    beside = {"bootstrap", "imports"} | ({"no_typed_results"} if rule == "citations" else set())  # no work, no source
    assert rules_of(faults) - beside <= {rule}, "one kind of fault is reported as that kind"
    assert rule in rules_of(faults)
    assert all(fault.startswith(f"notebooks/{NAME}") for fault in faults)


def test_wrong_order_of_execution_and_what_is_not_in_normal_form(tmp_path):
    page = page_of(tmp_path, field(5, execution_count=9), raw=True)
    assert rules_of(check(page)) == {"execution_counts", "normal_form"}
    for noise in ({"jupytext": {"formats": "py"}}, {"language_info": {"version": "3.11.7"}}):
        notebook = good(page.root)
        notebook.metadata.update(noise)
        page.path.write_text(nbformat.writes(notebook).rstrip("\n") + "\n")
        assert rules_of(check(Page(page.path, page.root))) == {"normal_form"}


def test_solution_is_missing(tmp_path):
    page = page_of(tmp_path)
    (page.root / "notebooks" / "solutions" / NAME).unlink()
    assert rules_of(check(page)) == {"solution"}


@pytest.mark.parametrize("folder", ["solutions", "data_gated"])
def test_other_notebooks_need_no_deck_and_no_exercises(tmp_path, folder):
    name = f"notebooks/{folder}/{NAME}"
    page = page_of(tmp_path, lambda notebook: notebook.cells.__delitem__(slice(8, None)), name=name)
    chapter = write(page.root, good(page.root))
    assert rules_of(check(page)) == {"deck"}, "a deck of its own is refused"
    no_deck(page.notebook)
    write(page.root, page.notebook, name)
    assert check(Page(page.path, page.root)) == []
    chapter.unlink()
    assert rules_of(check(Page(page.path, page.root))) == ({"solution"} if folder == "solutions" else set())


def test_every_rule_was_seen_to_fail():
    assert {name.partition(":")[0] for name in BROKEN} | {"normal_form", "solution"} == set(RULES)


def test_long_cells_warn(tmp_path):
    page = page_of(tmp_path, add(code("\n".join(LONG.split("\n")[:13]))))
    assert check(page) == []
    assert rules.warnings(page) == [f"notebooks/{NAME}, cell 9: 13 lines, about 12 are enough"]


@pytest.mark.parametrize(
    ("prose", "found"),
    [
        ("An error of 0.96.", ["0.96"]),
        ("A share of 6.3 % and 1,234.5 more", ["6.3", "1,234.5"]),
        ("As $x = 0.5$ and $$y = 0.25$$ and \\begin{align}z = 0.1\\end{align} say.", []),
        ("It costs \\$5.99 here and \\$3.50 there.", ["5.99", "3.50"]),
        ("With Python 3.11 and pandas 2.2, release v0.1.0, CC BY 4.0.", []),
        ("## 3.10 Notation\n\nSee section 3.2, sections 0.3 and 0.4 and equation (2.1).", []),
        ("They found 0.88 ([Koren et al. (2009)](https://doi.org/10.1/x)). We found 0.87.", ["0.87"]),
        ("They found 0.88 ([see above](03_evaluation.ipynb)).", ["0.88"]),
        ("They found 0.88 ([the site](https://example.org/x)).", ["0.88"]),
        ("$74\\,\\%$, $1{,}683$ of them, in N(0,1), 1,683 films, 74 per cent.", ["74", "1,683", "1,683", "74"]),
    ],
)
def test_which_decimals_are_typed(prose, found):
    assert [number for number, _ in typed_numbers(prose, {"10.1/x": "2009"})] == found


def test_sentences_survive_citations():
    assert len(sentences("As [Koren et al. (2009)](https://doi.org/10.1/x) say, e.g. here. It holds.")) == 2


@pytest.mark.parametrize("path", execute.notebooks(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_notebook_keeps_the_rules(path):
    faults = check(Page(path))
    assert not faults, "\n" + "\n".join(faults)


def test_which_numbers_a_cell_has_said():
    said = [Decimal("0.7391"), Decimal("6.25"), Decimal("1682")]
    assert is_said("74", True, said), "per cent"
    right, wrong = [".739", "1,682", "6.3"], [".749", "74", "1,683", "0,7391"]
    assert [number for number in right + wrong if is_said(number, False, said)] == right


def test_which_sections_a_text_names():
    text = "Chapter 6, 32 factors; chapters 3, 4 and 5, section 2.1 or §9.9"
    assert list(named_sections(text)) == ["6", "2.1", "9.9", "3", "4", "5"]


def test_a_citation_has_the_year_of_the_bibliography():
    works = read_works("@misc{a, doi = {10.1000/ABC.1}, year = {2020}}\n@misc{b, eprint = {1906.00091}, year = 2019}")
    good = "[A (2020)](https://doi.org/10.1000/abc.1) and [B (2019)](https://arxiv.org/abs/1906.00091v2)"
    assert not list(wrong_citations(good, works))
    assert len(list(wrong_citations(good.replace("2019", "2018").replace("abc.1", "abc.2"), works))) == 2
