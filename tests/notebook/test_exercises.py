import decimal
import fractions
import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.errors import InputError
from course_utils.notebook import exercises
from tools.notebooks.answers import store

WRONG = [("0.631", "Two places are asked for."), ("0.5", "This is the precision.")]
STORED = {"dcg": ("1.500", ()), "ndcg": ("0.704", WRONG), "hits": ("2", ()), "winner": ("Item kNN", ())}
STORED["gap"] = ("-12.5", ())
RIGHT = {"dcg": 1.5, "ndcg": 0.704, "hits": 2, "winner": " item  KNN", "gap": -12.5}
SHIPPED = exercises.answers()


@pytest.fixture(scope="module", autouse=True)
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("answers") / "answers.json"
    path.write_text("{}")
    for step, (answer, wrong) in STORED.items():
        store("99a", step, answer, [f"{word} {step}." for word in ("Where:", "Equation:", "Way:")], wrong, path)
    assert not [answer for answer in ("0.704", "0.631", "kNN") if answer in path.read_text()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercises, "answers", lambda: json.loads(path.read_text()))
        with pytest.raises(SystemExit, match="99a x: two of its answers are the same in 2 digits"):
            store("99a", "x", "0.50", ["?"], [("0.501", "It is not.")], path)
        yield


@pytest.fixture(autouse=True)
def untried(monkeypatch):
    monkeypatch.setattr(exercises, "_tried", {})


FORMS = [float, str, np.float64, np.float32, torch.tensor, decimal.Decimal, fractions.Fraction, "{:.3f} ".format]
FORMS += [lambda x: np.array([x]), lambda x: torch.tensor([[x]]), lambda x: pd.Series([x], [7]), lambda x: [x]]
FORMS += [lambda x: str(x).replace(".", ","), lambda x: torch.tensor(float(x), requires_grad=True)]
WRITTEN = [("6,272", True, 6272), ("2,5", True, 2.5), ("2,000", False, 2.0), ("1,234.5", False, 1234.5)]


@pytest.mark.parametrize("form", FORMS)
def test_a_right_number_is_right_in_every_form(form, capsys):
    result = exercises.check("99a", **{name: form(x) if name != "winner" else x for name, x in RIGHT.items()})
    assert (result.right, set(result.steps.values()), result.hint) == (True, {"right"}, "")
    assert capsys.readouterr().out.strip() == str(result) == "99a: right, all 5 steps"


@pytest.mark.parametrize(("text", "whole", "number"), WRITTEN)
def test_a_comma_parts_thousands_where_a_whole_number_is_asked_for(text, whole, number):
    assert exercises._number(text, whole=whole) == number


def test_a_small_number_is_no_per_cent_of_an_answer_of_nothing(monkeypatch):
    entry = {"digits": 2, "hash": exercises.fingerprint("99b", "x", 0), "hints": ["Where: x."], "distractors": []}
    monkeypatch.setattr(exercises, "answers", lambda: {"99b": {"x": entry}})
    assert exercises.check("99b", x=0.24).hint == "Where: x."


CASES = [  # the first step that is not right, with what helps; never the answer
    ({"ndcg": 0.631}, "99a: 4 of 5 steps right; 'ndcg' is not right yet. Two places are asked for."),
    ({"ndcg": "0.5"}, "This is the precision."),
    *(({"ndcg": wrong}, "Where: ndcg.") for wrong in (0.7046, 0.7034, 0.706, 4, -1e300)),
    ({"ndcg": 70.4}, "A share is asked for, and this is per cent: divide by 100."),
    ({"ndcg": 0.7}, "Right as far as it goes: give 3 decimals."),
    *(({"ndcg": wrong}, "Where: ndcg.") for wrong in (0.6, 0.71)),
    ({"ndcg": -0.704}, "The size is right, the sign is not."),
    ({"ndcg": 1.5}, "This is the answer to 'dcg'."),
    ({"gap": -0.125}, "Per cent are asked for, and this is a share: multiply by 100."),
    *(({"hits": wrong}, "This is off by one: is the first counted, or the last?") for wrong in (1, 3)),
    *(({"hits": wrong}, "A whole number is asked for.") for wrong in (2.2, 1.8)),
    ({"hits": 9}, "99a: 4 of 5 steps right; 'hits' is not right yet. Where: hits."),
    *(({"ndcg": wrong}, "A number is asked for, not nan.") for wrong in (float("nan"), np.nan, [np.nan])),
    ({"ndcg": True}, "A number is asked for, not True."),
    ({"ndcg": "high"}, "A number is asked for, not the text 'high'."),
    ({"ndcg": np.ones(3)}, "A number is asked for, not ndarray of 3 entries."),
    ({"ndcg": [[1, 2], [3]]}, "A number is asked for, not list of 2 entries."),
    ({"winner": 3}, "A word is asked for, not int."),
    ({"winner": "user kNN", "hits": None}, "99a: 3 of 5 steps right, 'hits' is not answered yet"),
    ({"dcg": None, "ndcg": 3}, "99a: 3 of 5 steps right, 'dcg' is not answered yet"),
]


@pytest.mark.parametrize(("change", "said"), CASES)
def test_check_says_what_helps(capsys, change, said):
    result = exercises.check("99a", **{**RIGHT, **change})
    assert capsys.readouterr().out.strip() == str(result)
    assert (result.right, str(result).endswith(said)) == (False, True), str(result)
    assert {name for name, state in result.steps.items() if state != "right"} == set(change)


def test_three_wrong_answers_get_three_hints_and_the_same_one_no_more():
    said = [exercises.check("99a", dcg=1.5, ndcg=x).hint for x in (0.1, 0.1, 0.2, 0.1, 0.3, 0.4)]
    assert said == [f"{word} ndcg." for word in ("Where:", "Where:", "Equation:", "Where:", "Way:", "Way:")]


@given(st.floats(-2, 2).filter(lambda x: abs(abs(x) - 0.5) > 1e-5), st.sampled_from([-1, 1]))
def test_half_a_unit_decides(shift, sign):
    assert exercises.check("99a", ndcg=0.704 + shift / 1000).steps["ndcg"] == ("right" if abs(shift) < 0.5 else "wrong")
    assert exercises.check("99a", ndcg=0.704 + sign * 0.0005).steps["ndcg"] == "right"  # between two it may be either


def test_unknown_names_are_refused_and_shipped_answers_are_well_formed():
    for name, argument in (("99z", "exercise"), ("99a", "steps")):
        with pytest.raises(InputError, match=argument):
            exercises.check(name, typo=1)
    for name, steps in SHIPPED.items():
        for step, entry in steps.items():
            assert set(entry) == {"digits", "hash", "hints", "distractors"}, (name, step)
            assert (len(set(entry["hints"])), min(map(len, entry["hints"])) > 10) == (3, True), (name, step)
            hashes = [entry["hash"], *(each["hash"] for each in entry["distractors"])]
            assert len(set(hashes)) == len(hashes), (name, step)
        said = [each["says"] for entry in steps.values() for each in entry["distractors"]]
        assert len(said) >= 2, f"{name}: {len(said)} wrong answers are known, expected two or more"
        assert min(map(len, said)) > 10, name
