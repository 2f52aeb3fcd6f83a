"""The assignments: right answers pass, others do not, students' copies tell nothing; then all of it by otter."""

import csv
import functools
import inspect
import re
from datetime import datetime
from types import ModuleType

import nbformat
import numpy as np
import pytest

from course_utils.data import load_movielens
from tools.teaching import assignments, grade

ONE, OTHER = 20_26, 90_210
SMALL = """# %% [markdown]
# # Small

# %%
STUDENT = None  # your student number

# %% tags=["numbers"]
def numbers(student):
    return SimpleNamespace(x=int(student) % 97, y=3)

# %%
from types import SimpleNamespace
mine = numbers(STUDENT)

# %% [markdown]
# ## 1. Twice (2 points)

# %% tags=["solution"]
twice = 2 * mine.x  # SOLUTION

# %% tags=["hidden"]
def test_twice(STUDENT, twice):
    same(twice, numbers(STUDENT).x + numbers(STUDENT).x)

# %% [markdown]
# ## 2. A function (1 point)

# %% tags=["solution"]
def third(x):
    # BEGIN SOLUTION
    return x / 3
    # END SOLUTION

# %% tags=["hidden"]
def test_third(third):
    same(third(9), 3)
"""


def module(own):
    """The module of numbers and hidden tests, as the autograder imports it, but each helper computes once."""
    made = ModuleType("own")
    exec(compile(own, "own.py", "exec"), made.__dict__)
    for name, each in vars(made).copy().items():
        if inspect.isfunction(each) and list(inspect.signature(each).parameters) == ["student"]:
            setattr(made, name, functools.cache(each))
    return made


def answered(notebook, student):
    """What a run of the solution leaves behind."""
    room = {"__name__": "__main__"}
    for cell in assignments.with_number(notebook, student).cells:
        if cell.cell_type == "code" and "get_ipython" not in cell.source and not cell.source.startswith("# HIDDEN"):
            exec(compile(cell.source, "solution.py", "exec"), room)
    return room


def failed(own, room, reading=None):
    """The names of the hidden tests (or those of one answer, the last argument) that fail on what a notebook left."""
    found = []
    for name, test in vars(own).items():
        if not name.startswith("test_"):
            continue
        arguments = inspect.signature(test).parameters
        if reading in (None, list(arguments)[-1]):
            try:
                test(**{argument: room.get(argument) for argument in arguments})
            except Exception:
                found.append(name)
    return found


def questions(notebook):
    """Each question with its points and the tests of it."""
    found, name = {}, None
    for cell in notebook.cells:
        if begun := re.match(r"# BEGIN QUESTION\nname: (\w+)\npoints: (\d+)", cell.source):
            name, found[begun[1]] = begun[1], (int(begun[2]), [])
        elif test := re.search(r"own\.(test_\w+)\(", cell.source):
            found[name][1].append(test[1])
    return found


def for_students(notebook):
    """The code that a student gets, with otter's own rule for what is a solution."""
    from otter.assign.solutions import replace_solutions

    code, kind = [], None
    for cell in notebook.cells:
        if cell.cell_type == "raw":
            begun = re.match(r"# BEGIN (SOLUTION|TESTS)$", cell.source)
            kind = begun[1] if begun else None
        elif kind != "TESTS" and cell.cell_type == "code":
            lines = cell.source.split("\n")
            code.append("\n".join(replace_solutions(lines, "python") if kind else lines))
    return "\n".join(code)


@pytest.mark.parametrize("name", assignments.names())
def test_an_assignment_judges_each_answer_by_itself(name, monkeypatch):
    pytest.importorskip("otter")
    movielens = load_movielens()
    monkeypatch.setattr("course_utils.data.load_movielens", lambda: movielens)
    notebook, text = assignments.split(name)
    own, asked = module(text), questions(notebook)
    assert len(asked) >= 2
    assert all(points >= 1 and tests for points, tests in asked.values())
    right = answered(notebook, ONE)
    assert failed(own, right) == []
    tests = [test for _, each in asked.values() for test in each]
    assert failed(own, {"STUDENT": ONE}) == tests  # nothing answered
    for question, (_, its) in asked.items():  # one answer spoilt: its test fails, and none of another question
        answer = list(inspect.signature(getattr(own, its[0])).parameters)[-1]
        was = right[answer]
        worse = None if callable(was) else np.asarray(was, dtype=float) + 0.01 * np.maximum(1, np.abs(was))
        spoilt = right | {answer: worse}
        found = failed(own, spoilt, reading=answer)
        assert its[0] in found, question
        assert set(found) <= set(its), question
    mine, yours = own.numbers(ONE), own.numbers(OTHER)
    assert {key for key in vars(mine) if str(vars(mine)[key]) != str(vars(yours)[key])}
    assert str(vars(mine)) == str(vars(own.numbers(str(ONE))))
    given, answers = (
        for_students(notebook),
        {each for test in tests for each in inspect.signature(getattr(own, test)).parameters},
    )
    assert "SOLUTION" not in given
    assert "same(" not in given
    for answer in answers - {"STUDENT"}:
        assert re.search(rf"(?m)^(def |class )?{answer}\b", given), answer  # asked for, with nothing behind it
        if not callable(right[answer]):
            assert f"{answer} = ..." in given, answer


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A small assignment, built by otter."""
    pytest.importorskip("otter")
    source, output = tmp_path_factory.mktemp("assignments"), tmp_path_factory.mktemp("built")
    (source / "77").mkdir()
    (source / "77" / "master.py").write_text(SMALL)
    (source / "checking.py").write_text((assignments.SOURCE / "checking.py").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignments, "SOURCE", source)
        patch.setattr(assignments, "OUTPUT", output)
        assignments.build("77", output)
        yield output


def test_a_folder_of_submissions_becomes_a_table(built, tmp_path, monkeypatch, capsys):
    student, solution = (
        nbformat.read(built / "77" / f"{each}_77.ipynb", as_version=4) for each in ("assignment", "solution")
    )
    code = "\n".join(cell.source for cell in student.cells)
    assert "STUDENT = None" in code
    assert "twice = ..." in code
    assert not re.search(r"SOLUTION|same|2 \* mine|x / 3", nbformat.writes(student))

    def hand_in(name, notebook, number, old="", new=""):
        copy = assignments.with_number(notebook, number)
        for cell in copy.cells:
            cell.source = cell.source.replace(old, new) if old else cell.source
        nbformat.write(copy, tmp_path / f"{name}.ipynb")

    hand_in("ada_1001", solution, 1001)
    hand_in("ben_1002", solution, 1002, "x / 3", "x / 4")
    hand_in("cem_1003", student, 1003)
    hand_in("dia_1004", solution, 1005, "return x / 3", "while True: pass")
    (tmp_path / "eve_1006.ipynb").write_text("{ not a notebook")
    run, less = grade.run, {"dia_1004.ipynb": (10, 3600)}
    monkeypatch.setattr(grade, "run", lambda file, zipped, *most: run(file, zipped, *less.get(file.name, most)))
    rows = grade.table(tmp_path, due=datetime(2020, 1, 1))
    grade.write(rows, tmp_path / "grades.csv")
    with (tmp_path / "grades.csv").open() as file:
        table = {row["file"][:3]: row for row in csv.DictReader(file)}
    assert [(row["points"], row["q1"], row["q2"]) for row in table.values()][:3] == [
        ("3.0", "2.0", "1.0"),
        ("2.0", "2.0", "0"),
        ("0", "0", "0"),
    ]
    assert {row["assignment"] for row in table.values()} == {"77", ""}
    assert table["ada"]["note"].startswith("late: ")
    assert table["dia"]["note"].startswith(
        "computed for more than 10 seconds; the number in it is not in the file's name"
    )
    assert table["eve"]["note"].startswith("cannot be read")


LOOP = "import subprocess as s, sys; s.run([sys.executable, '-c', 'while 1: pass'], start_new_session=True)"
WAIT = "import time; time.sleep({})"


@pytest.mark.parametrize(
    ("code", "seconds", "wall", "note"),
    [
        (LOOP, 1, 600, "computed for more than 1 seconds"),
        (WAIT.format(99), 600, 1, "ran for more than 1 seconds"),
        (WAIT.format(3), 2, 600, "cannot be graded: no result"),  # as on a busy machine: it ends by itself
    ],
)
def test_what_counts_is_the_time_that_a_submission_computes(monkeypatch, tmp_path, code, seconds, wall, note):
    monkeypatch.setattr(grade, "ONE", code)
    assert grade.run(tmp_path / "a.ipynb", tmp_path / "b.zip", seconds, wall) == ({}, note)


def test_a_number_is_read_and_held_against_the_files_name(built, tmp_path, monkeypatch):
    monkeypatch.setattr(grade, "run", lambda *_: ({"q1": [1.0, 2.0]}, ""))
    student = nbformat.read(built / "77" / "assignment_77.ipynb", as_version=4)
    for name, number, note in (
        ("x_4242", 4242, ""),
        ("x_4243", 4242, "the number in it is not in the file's name"),
        ("x_4242_3", None, "no student number in it"),
    ):
        nbformat.write(assignments.with_number(student, number), tmp_path / f"{name}.ipynb")
        row = grade.grade(tmp_path / f"{name}.ipynb", built)
        assert (row["points"], row["of"], row["note"]) == (1.0, 2.0, note)
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "other.ipynb")
    assert grade.grade(tmp_path / "other.ipynb", built)["note"] == "does not say which assignment it is"
