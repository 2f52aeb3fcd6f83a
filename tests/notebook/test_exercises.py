import json

import pytest

from course_utils.errors import InputError
from course_utils.notebook import exercises


@pytest.fixture
def exercise(tmp_path, monkeypatch):
    from tools.notebooks import answers

    path = tmp_path / "answers.json"
    path.write_text("{}")
    answers.store("99a", "dcg", "1.500", "Look at the discount.", path)
    answers.store("99a", "ndcg", "0.704", "Divide by the ideal.", path)
    answers.store("99a", "hits", "2", "Count them.", path)
    answers.store("99a", "winner", "Item kNN", "Read the last column.", path)
    monkeypatch.setattr(exercises, "answers", lambda: json.loads(path.read_text()))
    return path


def run(capsys, **steps):
    exercises.check("99a", **steps)
    return capsys.readouterr().out.strip()


def test_right_answers_pass_within_one_unit_of_the_last_digit(exercise, capsys):
    assert run(capsys, dcg=1.5, ndcg=0.7039, hits=2, winner="item knn ") == "99a: right, all 4 steps"
    assert run(capsys, dcg=1.5, ndcg=0.7049, hits=2, winner="item kNN") == "99a: right, all 4 steps"


@pytest.mark.parametrize("value", [0.706, 0.702, float("nan"), float("inf"), "0.704", [1]])
def test_wrong_number_names_the_step_and_never_the_answer(exercise, capsys, value):
    said = run(capsys, dcg=1.5, ndcg=value, hits=2, winner="item knn")
    assert said == "99a: 1 of 4 steps right; 'ndcg' is not right yet. Divide by the ideal."
    assert "0.704" not in said


def test_counts_have_no_slack(exercise, capsys):
    assert "'hits' is not right yet" in run(capsys, dcg=1.5, ndcg=0.704, hits=3, winner="x")


def test_unanswered_and_first_wrong_step(exercise, capsys):
    assert run(capsys, dcg=None, ndcg=None) == "99a: 'dcg' is not answered yet"
    assert "'dcg' is not right yet" in run(capsys, dcg=3, ndcg=None)
    assert run(capsys, dcg=1.5) == "99a: 1 of 4 steps right, 'ndcg' is not answered yet"


def test_unknown_names_are_refused(exercise):
    with pytest.raises(InputError, match="exercise"):
        exercises.check("99z", x=1)
    with pytest.raises(InputError, match="steps"):
        exercises.check("99a", typo=1)


def test_no_answer_stands_in_plain_text(exercise):
    assert "0.704" not in exercise.read_text()
    assert "kNN" not in exercise.read_text()


def test_shipped_answers_are_well_formed():
    for name, steps in exercises.answers().items():
        for step, entry in steps.items():
            assert set(entry) == {"digits", "hash", "hint"}, (name, step)
            assert len(entry["hint"]) > 10, (name, step)
