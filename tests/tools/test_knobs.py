"""Knobs are found and turned, what breaks below is named, and the student edition gives nothing away."""

import pytest
import sample_notebook as sample

from tools.notebooks import execute, knobs, student

CELLS = ["k = 2  # Change this: 3, 5", "print(sum(range(k)))", "assert k != 5, 'all is lost'"]


def test_a_turn_that_breaks_something_below_is_named(tmp_path, capsys):
    path = sample.written(tmp_path / "03_small.ipynb", *CELLS)
    before = path.read_bytes()
    assert knobs.run(path) == []
    (fault,) = knobs.run(path, each=True)
    assert fault.startswith("FAILED 03_small.ipynb with k = 5\n")
    assert "all is lost" in fault
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("03_small.ipynb: k = ")]
    assert [line.rpartition(": ")[2] for line in printed] == ["runs", "runs", "FAILED"]
    assert path.read_bytes() == before


REACHED = {  # the cells after `k = 2`, and those that run again when k is turned
    "what reads it, and what reads that": (["a = k + 1", "b = 3", "print(a, b)"], [0, 1, 3]),
    "a name set anew is another name": (["a = k", "a = 3", "print(a)"], [0, 1]),
    "a model that is fitted in place": (["m.fit(k)", "h = loop.fit(n, k)", "print(m)", "print(n)"], [0, 1, 2, 3, 4]),
    "an item that is set, and a sum": (["d['x'] = k", "s += k", "print(d)", "print(s)"], [0, 1, 2, 3, 4]),
    "names of a function are its own": (["f = lambda k: k", "[k for k in range(3)]", "g = lambda: k"], [0, 3]),
    "a loop sets before it reads": (["for k in range(3):\n    print(k)", "print(k)"], [0]),
    "a module is no value": (["import plots", "plots.show(k)", "plots.show(1)"], [0, 2]),
    "what a later cell has overwritten is set again": (["q = 1", "print(q + k)", "q = 2"], [0, 1, 2]),
    "also by a cell that the turn reaches": (["q = 1", "r = q + k", "q = k", "print(q)"], [0, 1, 2, 3, 4]),
}


@pytest.mark.parametrize(("sources", "again"), REACHED.values(), ids=REACHED)
def test_what_a_knob_reaches(tmp_path, sources, again):
    notebook = execute.read(sample.written(tmp_path / "n.ipynb", CELLS[0], *sources))
    first = next(number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    found = knobs.reached(notebook, knobs.find(notebook))
    assert sorted(number - first for number in found) == again


def test_a_turn_finds_names_as_they_were_where_it_begins(tmp_path):
    cells = ["q = 1", "k = 2  # Change this: 3, 5", "assert q == 1\nprint(q * k)", "q = 2"]
    assert knobs.run(sample.written(tmp_path / "03_small.ipynb", *cells), each=True) == []


def test_what_is_expected_of_the_printed_run_only_warns_here(tmp_path):
    expected = "from course_utils.notebook import expect", "k = 2  # Change this: 3, 4", "expect(k == 2, 'for two')"
    assert knobs.run(sample.written(tmp_path / "03_small.ipynb", *expected)) == []


@pytest.mark.parametrize(
    "line", ["k = 2  # Change this: 3", "k = 2  # Change this: 3, 2", "k = 2  # Change this: more, 9"]
)
def test_a_knob_has_two_other_values(tmp_path, line):
    with pytest.raises(ValueError, match="expected"):
        knobs.find(execute.read(sample.written(tmp_path / "03_small.ipynb", line)))


def test_the_student_edition_gives_nothing_away(tmp_path):
    notebook = sample.good(sample.project(tmp_path))
    for number in (12, 13, 18, 19):
        notebook.cells[number - 1].outputs = [sample.stdout("3 films")]
    notebook.cells[12].source = "expect(films == 3, 'here')\nasked.outcome(films)"
    given = student.student(notebook)
    cleared = [n for n, cell in enumerate(given.cells, 1) if cell.cell_type == "code" and not cell.outputs]
    kept = [n for n, cell in enumerate(notebook.cells, 1) if cell.get("outputs")]
    assert [n for n in cleared if n in kept] == [13, 18, 19]
    assert given.cells[18].source.startswith("# @title A repair")
    closed = [n for n, cell in enumerate(given.cells, 1) if cell.metadata.get("cellView") == "form"]
    assert closed == [13, 19], "a repair, and code that says what comes out"
    assert notebook.cells[18].source == "hits = 4"
    workflow = (execute.ROOT / ".github/workflows/test.yml").read_text()
    assert "book student\n" in workflow, "what the badges open is made"
    assert "branch=student-" in workflow, "and published"
    assert sorted(path.name for path in student.write(tmp_path / "edition")) == [
        path.name for path in execute.notebooks() if path.parent.name == "notebooks"
    ]
