"""Errors that say which argument was wrong, what came, and what was expected."""

from __future__ import annotations


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
