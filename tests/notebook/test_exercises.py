import json

import pytest

from course_utils.errors import InputError
from course_utils.notebook import exercises
from tools.notebooks.answers import store

STORED = {"dcg": "1.500", "ndcg": "0.704", "hits": "2", "winner": "Item kNN"}
RIGHT = {"dcg": 1.5, "ndcg": 0.704, "hits": 2, "winner": "item knn"}
SHIPPED = exercises.answers()


@pytest.fixture
def exercise(tmp_path, monkeypatch):
    path = tmp_path / "answers.json"
    path.write_text("{}")
    for step, answer in STORED.items():
        store("99a", step, answer, f"Look at {step}.", path)
    assert not [answer for answer in ("0.704", "kNN") if answer in path.read_text()]
    monkeypatch.setattr(exercises, "answers", lambda: json.loads(path.read_text()))


WRONG = "99a: 1 of 4 steps right; 'ndcg' is not right yet. Look at ndcg."
CASES = [  # within one unit of the last digit; text without regard to case; never the answer; counts have no slack
    ({"ndcg": 0.7039, "winner": "item knn "}, "99a: right, all 4 steps"),
    ({"ndcg": 0.7049, "winner": "item kNN"}, "99a: right, all 4 steps"),
    *(({"ndcg": wrong}, WRONG) for wrong in (0.706, 0.702, float("nan"), float("inf"), "0.704", [1])),
    ({"hits": 3, "winner": "x"}, "99a: 2 of 4 steps right; 'hits' is not right yet. Look at hits."),
    ({"dcg": None, "ndcg": None}, "99a: 'dcg' is not answered yet"),
    ({"dcg": 3, "ndcg": None}, "99a: 'dcg' is not right yet. Look at dcg."),
    ({"ndcg": None}, "99a: 1 of 4 steps right, 'ndcg' is not answered yet"),
]


@pytest.mark.parametrize(("change", "said"), CASES)
def test_check_names_the_first_step_that_is_not_right(exercise, capsys, change, said):
    exercises.check("99a", **{**RIGHT, **change})
    assert capsys.readouterr().out.strip() == said


def test_unknown_names_are_refused_and_shipped_answers_are_well_formed(exercise):
    for name, argument in (("99z", "exercise"), ("99a", "steps")):
        with pytest.raises(InputError, match=argument):
            exercises.check(name, typo=1)
    for name, steps in SHIPPED.items():
        for step, entry in steps.items():
            assert set(entry) == {"digits", "hash", "hint"}, (name, step)
            assert len(entry["hint"]) > 10, (name, step)
