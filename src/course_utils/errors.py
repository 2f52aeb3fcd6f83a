"""Errors that say which argument was wrong, what came, and what was expected; and the checks that many doors share."""

import copyreg
from collections.abc import Collection
from numbers import Integral

import numpy as np

_RANGES = {
    "0 or more": lambda x: (x >= 0) & (x < np.inf),
    "0 or more, below 1": lambda x: (x >= 0) & (x < 1),
    "above 0": lambda x: (x > 0) & (x < np.inf),
    "from 0 to 1": lambda x: (x >= 0) & (x <= 1),
    "above 0, 1 at most": lambda x: (x > 0) & (x <= 1),
    "between 0 and 1": lambda x: (x > 0) & (x < 1),
}


class CourseError(Exception):
    """Base class of every error that this package raises on purpose; each travels between processes."""

    def __reduce__(self) -> tuple:  # from the words: __init__ may ask for more than them
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__


class InputError(CourseError, ValueError):
    """``argument`` has the wrong value, shape or type: what was ``got``, what was ``expected``."""

    def __init__(self, argument: str, *, got: object, expected: str) -> None:
        super().__init__(f"{argument}: got {got}, expected {expected}")
        self.argument = argument


class DataError(CourseError):
    """A data source is missing, damaged, or not what its checksum promises."""


class MissingToolError(CourseError):
    """A program or a package outside this one is missing; ``advice`` says what was found, and how to get it."""

    def __init__(self, tool: str, advice: str) -> None:
        super().__init__(f"{tool} is missing: {advice}")


class WorkerError(CourseError):
    """A process of a group failed; the message names it and says how it ended."""


class NotFittedError(CourseError, RuntimeError):
    """A model was asked to score before it was fitted."""

    def __init__(self, model: object) -> None:
        super().__init__(f"{type(model).__name__}: call fit(interactions) before score or predict")


class DivergedError(CourseError, ArithmeticError):
    """A loss or a validation value became nan or infinite while training."""


def refuse(wrong: object, argument: str, got: object, expected: str) -> None:
    """Raise an :class:`InputError` if something is wrong with an argument: what was got, what was expected."""
    if wrong:
        raise InputError(argument, got=got, expected=expected)


def check_counts(least: int = 1, most: int | None = None, **counts: object) -> None:
    """Refuse what is no whole number of ``least..most``, such as True or 2.0; NumPy's whole numbers will do."""
    for name, value in counts.items():
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not whole or value < least or (most is not None and value > most):
            span = f", {least} or more" if most is None else f" in {least}..{most}"
            raise InputError(name, got=repr(value), expected=f"a whole number{span}")


def check_range(span: str, **numbers: object) -> None:
    """Refuse a number, or an array with one, out of ``span``: a key of ``_RANGES``. Nan always is, infinity too."""
    for name, value in numbers.items():
        try:
            found = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            raise InputError(name, got=repr(value), expected=f"a number {span}") from None
        if not _RANGES[span](found).all():
            got = found if found.ndim == 0 else f"values from {found.min()} to {found.max()}"
            raise InputError(name, got=got, expected=f"{'a number' if found.ndim == 0 else 'numbers'} {span}")


def check_shape(*shape: int | str, **arrays: object) -> None:
    """Refuse an array of another shape: a number stands for that length, a letter for any length."""
    for name, array in arrays.items():
        found = tuple(getattr(array, "shape", ()))
        if len(found) != len(shape) or any(w != f for w, f in zip(shape, found, strict=True) if not isinstance(w, str)):
            wanted = f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
            raise InputError(name, got=f"shape {found}", expected=f"shape {wanted}")


def check_choice(options: Collection, **choices: object) -> None:
    """Refuse what is not among the options."""
    for name, value in choices.items():
        if value not in options:
            raise InputError(name, got=repr(value), expected=f"one of {', '.join(map(repr, options))}")
