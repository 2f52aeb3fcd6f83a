"""The rules of notebooks: each is seen to fail on one deliberately broken notebook, then all run on every notebook."""

from __future__ import annotations

import re

import pytest
from nbformat.v4 import new_output
from sample_notebook import NAME, code, good, png, project, shown, stdout, text, write

from tools.notebooks import rules
from tools.notebooks.prose import sentences, typed_decimals
from tools.notebooks.rules import RULES, Page, check
from tools.project import address

LONG = "\n".join(f"x{i} = {i}" for i in range(16))
STDERR = new_output("stream", name="stderr", text="UserWarning: beware\n")


def edit(number, old, new):
    """Change the source of a cell (counted from 1)."""

    def change(notebook):
        cell = notebook.cells[number - 1]
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def add(*cells):
    """Put cells before the exercises."""
    return lambda notebook: notebook.cells.__setitem__(slice(8, 8), list(cells))


def drop(number):
    return lambda notebook: notebook.cells.pop(number - 1)


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
    notebook.cells[6].outputs[0].metadata["image/png"]["alt"] = (
        "A curve that rises from nothing to 0.91 at the end."
    )


# rule -> deliberately broken notebooks, each one change away from the good one
BROKEN = {
    "first_cell": {
        "no number": edit(1, "# 3. Evaluation", "# Evaluation"),
        "another chapter's number": edit(1, "# 3.", "# 4."),
        "badge of another file": edit(1, "03_evaluation", "04_neighbours"),
        "badge of another release": edit(1, "v1.2.0", "v1.1.0"),
        "no sentence": edit(1, "After this chapter you can tell a good list from a bad one.\n\n", ""),
        "two sentences": edit(1, "list from", "list. You can tell it from"),
    },
    "bootstrap": {
        "another release": edit(2, "v1.2.0", "v1.1.0"),
        "missing": drop(2),
        "shown in the book": meta(2, tags=[]),
        "a second install": add(code("!pip install something")),
    },
    "imports": {
        "work among the imports": edit(3, "course_utils.setup()", "course_utils.setup()\nx = 1"),
        "no imports": edit(3, "import torch\n\nimport course_utils\n\ncourse_utils.setup()", "# later"),
    },
    "execution_counts": {"a cell that never ran": field(5, execution_count=None)},
    "plain_markdown": {
        "directive": add(text("```{note}\nBeware.\n```")),
        "fence": add(text("::: {.note}\nBeware.\n:::")),
        "role": add(text("See {cite}`a2020`.")),
        "label": add(text("(target)=\nText.")),
    },
    "no_typed_results": {
        "in prose": add(text("The error is 0.91.")),
        "in a table": add(text("| model | error |\n|---|---|\n| ours | 0.91 |")),
        "per cent": add(text("That is 12.5 % of all.")),
        "wrong rounding": edit(6, "Half is 0.5,", "Half is 0.51,"),
        "on a slide": meta(5, slideshow={"slide_type": "-", "text": "The error is 0.91."}),
        "in speaker notes": meta(5, slideshow={"slide_type": "-", "notes": "The error is 0.91."}),
        "in an alt text": typed_alt,
        "beside a citation, in a sentence of its own": edit(6, "Others", "Ours is 0.91. Others"),
    },
    "pictures": {
        "no alt text": no_alt,
        "not from figure": edit(7, "figure(fig, alt='...')", "fig"),
        "another format": add(code("figure(1)", shown({"image/jpeg": png()}))),
        "typed into Markdown": add(text("![A chart](chart.png)")),
    },
    "citations": {
        "unknown DOI": edit(6, "10.1000/abc.1", "10.1000/abc.2"),
        "unknown arXiv number": edit(9, "1906.00091", "1906.00092"),
    },
    "short_cells": {"too long": add(code(LONG)), "empty": add(code(""))},
    "clean_code": {
        "semicolon": add(code("x = 1;")),
        "plt.show": add(code("plt.show()")),
        "perf_counter": add(code("start = time.perf_counter()")),
        "excused by comment": add(code("# NBVAL_IGNORE_OUTPUT\nprint(1)")),
    },
    "no_scripts": {
        "script in Markdown": add(text("<script>alert(1)</script>")),
        "script in an output": add(code("show()", shown({"text/html": "<script>1</script>"}))),
        "widget": add(code("show()", shown({"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}))),
    },
    "headings": {
        "skipped level": edit(9, "### Details", "#### Details"),
        "two titles": edit(10, "## 3.3", "# 3.3"),
    },
    "sections": {
        "no prerequisites": edit(4, "**Prerequisites.** ", ""),
        "no exercises": edit(9, "Exercises", "Questions"),
        "no recap": edit(10, "Recap", "End"),
    },
    "clean_outputs": {
        "absolute path": add(code("print(p)", stdout("/home/me/data\n"))),
        "memory address": add(code("print(p)", stdout("<object at 0x7f3a2b1c9d00>\n"))),
        "stderr": add(code("warn()", STDERR)),
        "unannounced error": meta(8, tags=[]),
        "announced error that did not come": field(8, outputs=[]),
    },
    "size": {"more than a megabyte": add(code("print(x)", stdout("x" * 1_000_001)))},
    "tags": {
        "unknown tag": meta(5, tags=["slide-hide-inputs"]),
        "excused by tag": meta(5, tags=["nbval-skip"]),
        "unknown slide type": meta(5, slideshow={"slide_type": "slides"}),
        "unknown key": meta(5, slideshow={"slide_type": "-", "note": "x"}),
    },
    "deck": {"no deck": no_deck},
}
CASES = [
    pytest.param(rule, change, id=f"{rule}-{name}")
    for rule, broken in BROKEN.items()
    for name, change in broken.items()
]


def rules_of(faults):
    return {re.search(r"\[(\w+)\]", fault)[1] for fault in faults}


def test_good_notebook_keeps_every_rule(tmp_path):
    root = project(tmp_path)
    assert check(Page(write(root, good(root)), root)) == []


@pytest.mark.parametrize(("rule", "change"), CASES)
def test_broken_notebook_fails_its_rule_alone(tmp_path, rule, change):
    root = project(tmp_path)
    notebook = good(root)
    change(notebook)
    faults = check(Page(write(root, notebook), root))
    assert rules_of(faults) - {"bootstrap", "imports"} <= {rule}, (
        "a fault of one kind is reported as that kind"
    )
    assert rule in rules_of(faults)
    assert all(fault.startswith(f"notebooks/{NAME}") for fault in faults)


def test_wrong_order_of_execution(tmp_path):
    root = project(tmp_path)
    notebook = good(root)
    notebook.cells[4].execution_count = 9
    assert "execution_counts" in rules_of(check(Page(write(root, notebook, raw=True), root)))


@pytest.mark.parametrize(
    "noise", [{"jupytext": {"formats": "ipynb,py"}}, {"language_info": {"version": "3.11.7"}}]
)
def test_normal_form(tmp_path, noise):
    root = project(tmp_path)
    notebook = good(root)
    notebook.metadata.update(noise)
    path = write(root, notebook, raw=True)
    path.write_text(path.read_text().rstrip("\n") + "\n")
    assert rules_of(check(Page(path, root))) == {"normal_form"}


def test_solution_is_missing(tmp_path):
    root = project(tmp_path)
    path = write(root, good(root))
    (root / "notebooks" / "solutions" / NAME).unlink()
    assert rules_of(check(Page(path, root))) == {"solution"}


@pytest.mark.parametrize("folder", ["solutions", "data_gated"])
def test_other_notebooks_need_no_deck_and_no_exercises(tmp_path, folder):
    root = project(tmp_path)
    write(root, good(root))
    name = f"notebooks/{folder}/{NAME}"
    notebook = good(root, name)
    del notebook.cells[8:]
    page = Page(write(root, notebook, name), root)
    assert rules_of(check(page)) == {"deck"}, "a deck of its own is refused"
    no_deck(notebook)
    assert check(Page(write(root, notebook, name), root)) == []
    (root / "notebooks" / NAME).unlink()
    assert rules_of(check(Page(page.path, root))) == ({"solution"} if folder == "solutions" else set())


def test_every_rule_was_seen_to_fail():
    assert set(BROKEN) | {"normal_form", "solution"} == set(RULES)


def test_long_cells_warn(tmp_path):
    root = project(tmp_path)
    notebook = good(root)
    add(code("\n".join(LONG.split("\n")[:13])))(notebook)
    page = Page(write(root, notebook), root)
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
    ],
)
def test_which_decimals_are_typed(prose, found):
    assert [decimal for decimal, _ in typed_decimals(prose)] == found


def test_sentences_survive_citations():
    assert len(sentences("As [Koren et al. (2009)](https://doi.org/10.1/x) say, e.g. here. It holds.")) == 2


@pytest.mark.parametrize(
    "path", address.notebooks(), ids=lambda path: path.relative_to(address.ROOT).as_posix()
)
def test_notebook_keeps_the_rules(path):
    faults = check(Page(path))
    assert not faults, "\n" + "\n".join(faults)
