"""Errors say which argument was wrong, what came and what was expected, and can be caught as usual."""

import copy
import pickle

import pytest

from course_utils.errors import CourseError, DataError, InputError, MissingToolError, NotFittedError

ERRORS = [(InputError("k", got=0, expected="one"), ValueError, "k: got 0, expected one")]
ERRORS += [(NotFittedError({}), RuntimeError, "dict: call fit(interactions) before score or predict")]
ERRORS += [(MissingToolError("java", "install it"), CourseError, "java is missing: install it")]


@pytest.mark.parametrize(("error", "family", "message"), [*ERRORS, (DataError("gone"), CourseError, "gone")])
def test_families_words_and_pickling(error, family, message):
    for same in (error, copy.copy(error), *(pickle.loads(pickle.dumps(error, protocol)) for protocol in range(6))):
        assert type(same) is type(error)
        assert isinstance(same, CourseError)
        assert isinstance(same, family)
        assert str(same) == message
        assert vars(same) == vars(error)
    assert InputError("k", got=0, expected="one").argument == "k"
