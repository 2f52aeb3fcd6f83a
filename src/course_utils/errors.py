"""Errors that say which argument was wrong, what came, and what was expected."""

from __future__ import annotations

from numbers import Integral


class CourseError(Exception):
    """Base class of every error that this package raises on purpose."""


class InputError(CourseError, ValueError):
    """An argument has the wrong value, shape or type.

    Args:
        argument: name of the argument.
        got: what came, in words or as a value.
        expected: what would have been right.
    """

    def __init__(self, argument: str, *, got: object, expected: str) -> None:
        super().__init__(f"{argument}: got {got}, expected {expected}")
        self.argument = argument
        self._parts = (argument, str(got), expected)  # words travel, a large value need not

    def __reduce__(self) -> tuple:
        """Rebuild with the keywords, so that a worker process can hand the error to its parent."""
        return _input_error, self._parts


def check_counts(least: int = 1, most: int | None = None, **counts: object) -> None:
    """Refuse what is no whole number, such as True or 2.0, or out of range; NumPy's whole numbers will do.

    Args:
        least: the smallest that will do.
        most: the largest that will do, when there is one.
        counts: by the name of the argument.
    """
    for name, value in counts.items():
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not whole or value < least or (most is not None and value > most):
            span = f", {least} or more" if most is None else f" in {least}..{most}"
            raise InputError(name, got=repr(value), expected=f"a whole number{span}")


class DataError(CourseError):
    """A data source is missing, damaged, or not what its checksum promises."""


class MissingToolError(CourseError):
    """A program or a package outside this one is missing, or its version will not do.

    Args:
        tool: its name, with the version where that matters.
        advice: what was found, and how to get the tool.
    """

    def __init__(self, tool: str, advice: str) -> None:
        super().__init__(f"{tool} is missing: {advice}")
        self._parts = (tool, advice)

    def __reduce__(self) -> tuple:
        """Rebuild from its parts, so that a worker process can hand the error to its parent."""
        return type(self), self._parts


class WorkerError(CourseError):
    """A process of a group failed; the message names it and says how it ended."""


class NotFittedError(CourseError, RuntimeError):
    """A model was asked to score before it was fitted."""

    def __init__(self, model: object) -> None:
        super().__init__(f"{type(model).__name__}: call fit(interactions) before score or predict")

    def __reduce__(self) -> tuple:
        """Rebuild from the words alone: the model need not travel."""
        return _not_fitted_error, (str(self),)


def _input_error(argument: str, got: object, expected: str) -> InputError:
    return InputError(argument, got=got, expected=expected)


def _not_fitted_error(words: str) -> NotFittedError:
    error = NotFittedError.__new__(NotFittedError)
    error.args = (words,)
    return error


class DivergedError(CourseError, ArithmeticError):
    """A loss or a validation value became nan or infinite while training."""
