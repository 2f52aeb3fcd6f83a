import numpy as np
import pytest
import torch

from course_utils.errors import InputError
from course_utils.notebook import expect, predict

CASES = [  # guess, the rest of the question, what came out, what is said of the two
    (None, {"unit": "per cent"}, 12.345, "no guess yet; in per cent", "Share of films: 12.3 per cent (no guess yet)"),
    (20, {"unit": "per cent"}, np.float64(12.345), "you say 20", "You said 20, it is 12.3 per cent."),
    ("0.5", {"unit": "stars"}, torch.tensor(0.5), "you say 0.5", "You said 0.5, and so it is."),
    (12.3, {"unit": "per cent"}, 12.345, "you say 12.3", "You said 12.3, and so it is."),
    (12.345678, {"unit": "per cent"}, 12.345, "you say 12.3457", "You said 12.3457, and so it is."),
    (2000, {"unit": "films"}, 1999.6, "you say 2,000", "You said 2,000, and so it is."),
    (None, {"choices": ("A", "B")}, "A", "no guess yet; one of A, B", "Share of films: A (no guess yet)"),
    (None, {"choices": ("A", "B, C")}, "A", "no guess yet; one of A; B, C", "Share of films: A (no guess yet)"),
    (" b ", {"choices": ("A", "B")}, "A", "you say B", "You said B, it is A."),
    ("A", {"choices": ["A", "B"]}, "A", "you say A", "You said A, and so it is."),
]


@pytest.mark.parametrize(("guess", "how", "value", "asked", "answered"), CASES)
def test_a_guess_is_asked_for_and_shown_beside_what_came_out(capsys, guess, how, value, asked, answered):
    prediction = predict("share of films", guess, **how)
    assert capsys.readouterr().out == f"Share of films: {asked}\n"
    prediction.outcome(value)
    assert capsys.readouterr().out == f"{answered}\n"


@pytest.mark.parametrize(
    "how", [{}, {"unit": "stars", "choices": ("A", "B")}, {"choices": "A"}, {"choices": ("A", "A")}]
)
def test_a_question_has_a_unit_or_choices(how):
    with pytest.raises(InputError, match="a unit, or two choices or more"):
        predict("share", **how)


def test_a_guess_that_is_no_answer_is_refused_and_so_is_an_outcome():
    for guess, how in (("many", {"unit": "films"}), (np.nan, {"unit": "films"}), ("C", {"choices": ("A", "B")})):
        with pytest.raises(InputError, match="guess: got"):
            predict("which", guess, **how)
    with pytest.raises(InputError, match=r"value: got 'C', expected one of \['A', 'B'\]"):
        predict("which", choices=("A", "B")).outcome("C")


def test_what_is_expected_must_hold_in_tests_and_only_warns_a_reader(capsys, monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    expect(torch.tensor(True), "for seed 0")
    assert capsys.readouterr().out == ""
    expect(np.bool_(False), "for seed 0")
    assert capsys.readouterr().out.startswith("This held for seed 0. It does not hold now")
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(AssertionError, match="expected to hold for seed 0"):
        expect(1 > 2, "for seed 0")
