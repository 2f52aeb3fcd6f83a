"""Errors say which argument was wrong, what came and what was expected, and can be caught as usual."""

import pickle

import pytest

from course_utils.errors import CourseError, DataError, InputError, NotFittedError


def test_input_error_says_what_came_and_what_was_expected():
    error = InputError("k", got=0, expected="a positive integer")
    assert str(error) == "k: got 0, expected a positive integer"
    assert error.argument == "k"


def test_not_fitted_error_names_the_model():
    class Popularity:
        pass

    assert str(NotFittedError(Popularity())) == "Popularity: call fit(interactions) before score or predict"


@pytest.mark.parametrize(
    ("error", "families"),
    [
        (InputError("k", got=0, expected="1"), (CourseError, ValueError)),
        (DataError("gone"), (CourseError,)),
        (NotFittedError(object()), (CourseError, RuntimeError)),
    ],
)
def test_families(error, families):
    assert all(isinstance(error, family) for family in families)


@pytest.mark.parametrize(
    "error", [InputError("k", got=0, expected="one"), DataError("gone"), NotFittedError(object())]
)
def test_errors_survive_pickling(error):
    """A worker process hands its error to the parent by pickle; the words must arrive unchanged."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert getattr(copy, "argument", None) == getattr(error, "argument", None)
