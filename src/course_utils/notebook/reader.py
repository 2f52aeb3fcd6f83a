"""What lets a reader act: a guess before the answer, and claims that survive a turned knob."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from course_utils.data import settings
from course_utils.errors import InputError, refuse


@dataclass(frozen=True)
class Prediction:
    """A question that ``predict`` asked, with the reader's guess or ``None``; ``outcome`` answers it."""

    question: str
    guess: float | str | None
    unit: str = ""
    choices: tuple[str, ...] = ()

    def outcome(self, value: float | str, form: str = ".3g") -> None:
        """Print what came out, a number in the prediction's unit (as ``form``) or a choice, beside the guess."""
        refuse(self.choices and value not in self.choices, "value", repr(value), f"one of {list(self.choices)}")
        value = value.item() if hasattr(value, "item") else value
        shown = str(value) if self.choices else f"{value:{form}}"
        if self.guess is None:
            print(f"{_capital(self.question)}: {f'{shown} {self.unit}'.rstrip()} (no guess yet)")
            return
        exact = self.choices or form.endswith("d")  # else a guess is as good as its printed digits
        same = self.guess == value or (not exact and f"{self.guess:{form}}" == shown)
        came = "and so it is" if same else f"it is {shown} {self.unit}".rstrip()
        print(f"You said {_written(self.guess)}, {came}.")


def predict(
    question: str, guess: float | str | None = None, *, unit: str = "", choices: Sequence[str] = ()
) -> Prediction:
    """Ask for a guess before the answer is shown: write it in place of ``None``, and run the cell again.

    The ``question`` says what is asked for in a few words, ``"films with fewer than ten ratings"``. Of a number the
    ``unit`` is ``"per cent"``, say; of a plain one, what is counted, ``"films"``. ``choices``, two or more, have none.
    """
    choices = tuple(choices)
    if bool(unit) == bool(choices) or len(choices) == 1 or len(set(choices)) < len(choices):
        raise InputError("predict", got=f"unit={unit!r}, choices={choices}", expected="a unit, or two choices or more")
    if guess is not None and choices:
        near = {choice.lower(): choice for choice in choices}
        refuse(str(guess).strip().lower() not in near, "guess", repr(guess), f"one of {list(choices)}")
        guess = near[str(guess).strip().lower()]
    elif guess is not None:
        try:
            guess = float(guess)
        except (TypeError, ValueError):
            guess = math.nan
        refuse(not np.isfinite(guess), "guess", "no number", f"a number, in {unit}")
    between = "; " if "," in "".join(choices) else ", "  # a choice may hold a comma
    asked = f"one of {between.join(choices)}" if choices else f"in {unit}"
    said = f"no guess yet; {asked}" if guess is None else f"you say {_written(guess)}"
    print(f"{_capital(question)}: {said}")
    return Prediction(question, guess, unit, choices)


def expect(condition: object, holds: str) -> None:
    """A claim of the printed run: AssertionError where the book is tested (``COURSE_STRICT``), a warning elsewhere.

    ``condition`` may be a tensor of one entry; ``holds`` says why, or for which settings, it holds: ``"for seed 0"``.
    """
    if condition:
        return
    if settings.strict():
        raise AssertionError(f"expected to hold {holds}")
    print(f"This held {holds}. It does not hold now: if you changed something, that is what you found.")


def _written(guess: float | str) -> str:
    return guess if isinstance(guess, str) else f"{guess:,g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
