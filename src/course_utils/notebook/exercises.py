"""Self-checks for exercises: right, or what went wrong and where to look next, never the answer."""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from course_utils.errors import InputError, check_choice

_tried: dict[tuple[str, str], list[str]] = {}  # of each step the wrong answers so far, which decide on the next hint


@dataclass(frozen=True)
class Result:
    """What ``check`` found: printed, it is the sentence that the reader saw."""

    exercise: str  # chapter and letter, "03a"
    steps: dict[str, str]  # step -> "right", "wrong" or "open", not answered
    hint: str  # what is said of the first step that is wrong, or nothing

    @property
    def right(self) -> bool:
        """Whether every step is right."""
        return set(self.steps.values()) == {"right"}

    def __str__(self) -> str:
        n, done = len(self.steps), sum(state == "right" for state in self.steps.values())
        if self.right:
            return f"{self.exercise}: right" + (f", all {n} steps" if n > 1 else "")
        first = next((name for name, state in self.steps.items() if state != "right"), "nothing")
        wrong, some = self.steps.get(first) == "wrong", f"{done} of {n} steps right"
        said = f"{first!r} is not right yet. {self.hint}" if wrong else f"{first!r} is not answered yet"
        return f"{self.exercise}: " + (f"{some}{'; ' if wrong else ', '}" if done else "") + said

    def _ipython_display_(self) -> None:
        """A cell that ends with ``check`` has said its sentence already."""


def check(exercise: str, **steps: object) -> Result:
    """Compare your answers with the book's, say which step is not right yet, and why if that can be seen.

    ``exercise`` is chapter and letter, ``"03a"``; ``steps`` are the answers by name, ``None`` while open. A whole
    number must be exact, any other number right in the last digit that the exercise asks for; Python's, NumPy's and
    torch's numbers, tables of one entry and texts such as ``"0.25"`` are taken alike. Text is compared without regard
    to case. A second and a third wrong answer get a further hint. The answers themselves are stored as hashes only.
    """
    check_choice(sorted(answers()), exercise=exercise)
    known = answers()[exercise]
    if unknown := sorted(set(steps) - set(known)):
        raise InputError("steps", got=unknown, expected=f"names among {list(known)}")
    wrong = {name: _wrong(exercise, name, value) for name, value in steps.items() if value is not None}
    states = {name: "open" if name not in wrong else "wrong" if wrong[name] else "right" for name in known}
    first = next((name for name, state in states.items() if state != "right"), None)
    result = Result(exercise, states, wrong.get(first, ""))
    print(result)
    return result


def _wrong(exercise: str, step: str, value: object) -> str:
    """Nothing where the answer is right, else the sentence that helps most."""
    entry, value = answers()[exercise][step], _one(value)
    if entry["digits"] is None:
        if not isinstance(value, str | bool):
            return f"A word is asked for, not {_kind(value)}."
        forms = {" ".join(str(value).lower().split())}
    else:
        if (number := _number(value, whole=entry["digits"] == 0)) is None:
            return f"A number is asked for, not {_kind(value)}."
        forms = _units(number, entry["digits"])
    if _is(exercise, step, forms, entry["hash"]):
        return ""
    for each in entry["distractors"]:
        if _is(exercise, step, forms, each["hash"]):
            return each["says"]
    if entry["digits"] is not None and (seen := _slip(exercise, step, number)):
        return seen
    before = _tried.setdefault((exercise, step), [])
    if repr(value) not in before:
        before.append(repr(value))
    return entry["hints"][min(before.index(repr(value)), len(entry["hints"]) - 1)]


def _slip(exercise: str, step: str, number: float) -> str:
    """What people do to a number that was right: one sentence, or nothing."""
    known = answers()[exercise]
    digits, expected = known[step]["digits"], known[step]["hash"]

    def fits(other: float) -> bool:
        return _is(exercise, step, _units(other, digits), expected)

    for other, entry in known.items():
        numeric = other != step and entry["digits"] is not None
        if numeric and _is(exercise, other, _units(number, entry["digits"]), entry["hash"]):
            return f"This is the answer to {other!r}."
    if number and not fits(0) and fits(number / 100):
        return "A share is asked for, and this is per cent: divide by 100."
    if number and fits(number * 100):
        return "Per cent are asked for, and this is a share: multiply by 100."
    if number and fits(-number):
        return "The size is right, the sign is not."
    if digits == 0:
        if number != round(number):
            return "A whole number is asked for."
        return "This is off by one: is the first counted, or the last?" if fits(number - 1) or fits(number + 1) else ""
    fewer = next((n for n in range(digits) if round(number, n) == number), digits)
    half, units = 10 ** (digits - fewer) // 2, round(number * 10**digits)
    if _is(exercise, step, range(units - half, units + half + 1), expected):
        return f"Right as far as it goes: give {digits} decimals."
    return ""


def _one(value: object) -> object:
    """The entry of an array, tensor, table or list that has one; everything else as it is."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "to_numpy") or hasattr(value, "numpy"):
        value = np.asarray(value)
    while isinstance(value, list | tuple | np.ndarray) and getattr(value, "ndim", 1) and len(value) == 1:
        value = value[0]
    return value.item() if isinstance(value, np.generic | np.ndarray) and value.size == 1 else value


def _number(value: object, *, whole: bool) -> float | None:
    """The finite number that a value says, or nothing; in a text for a whole one ``6,272`` has thousands."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.replace("\u2212", "-")
        value = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", value) if whole or "." in value else value
        value = value.replace(",", ".")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _units(number: float, digits: int) -> set[int]:
    """The number in units of its last digit: either where it lies between two, none where a count is not whole."""
    if digits == 0 and abs(number - round(number)) > 1e-9 * max(1, abs(number)):
        return set()
    scaled = number * 10**digits
    return {round(scaled + shift * 1e-9 * max(1, abs(scaled))) for shift in (-1, 0, 1)}


def _is(exercise: str, step: str, forms: object, stored: str) -> bool:
    return any(fingerprint(exercise, step, form) == stored for form in forms)


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    if isinstance(value, bool | float):
        return str(value)
    return f"{type(value).__name__} of {len(value)} entries" if hasattr(value, "__len__") else type(value).__name__


def fingerprint(exercise: str, step: str, value: int | str) -> str:
    """The hash under which an answer is stored: of the whole number of last-digit units, or of the text."""
    return hashlib.sha256(f"{exercise}:{step}:{value}".encode()).hexdigest()[:16]


@cache
def answers() -> dict[str, dict[str, dict]]:
    """All stored answers: exercise -> step -> digits, hash, hints, and wrong answers with what is said of them."""
    return json.loads((resources.files("course_utils") / "notebook" / "answers.json").read_text(encoding="utf-8"))
