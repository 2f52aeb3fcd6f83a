"""Self-checks for exercises: right, or which step is wrong, never the answer."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources

from course_utils.errors import InputError, check_choice

Answer = float | int | bool | str | None


def check(exercise: str, **steps: Answer) -> None:
    """Compare your answers with the book's, step by step, and print what is right.

    ``exercise`` is chapter and letter, ``"03a"``; a step is ``None`` where you have not answered yet. Numbers may be
    off by one unit in the last digit asked for; text is compared without regard to case. Of the wrong steps the first
    is named, with a hint. The answers themselves are stored as hashes only.
    """
    check_choice(sorted(answers()), exercise=exercise)
    known = answers()[exercise]
    if unknown := sorted(set(steps) - set(known)):
        raise InputError("steps", got=unknown, expected=f"names among {list(known)}")
    for right, (name, entry) in enumerate(known.items()):
        done = f"{right} of {len(known)} steps right" if right else ""
        if steps.get(name) is None:
            print(f"{exercise}: {done}{', ' if done else ''}{name!r} is not answered yet")
            return
        if not _matches(exercise, name, entry, steps[name]):
            print(f"{exercise}: {done}{'; ' if done else ''}{name!r} is not right yet. {entry['hint']}")
            return
    print(f"{exercise}: right" + (f", all {len(known)} steps" if len(known) > 1 else ""))


def _matches(exercise: str, step: str, entry: dict, value: Answer) -> bool:
    """Whether a value hashes to the stored answer, within one unit of the last digit asked for."""
    if isinstance(value, str) or entry["digits"] is None:
        return fingerprint(exercise, step, str(value).strip().lower()) == entry["hash"]
    try:
        units = round(float(value) * 10 ** entry["digits"])
    except (TypeError, ValueError, OverflowError):
        return False
    slack = (0,) if entry["digits"] == 0 else (0, -1, 1)  # counts are exact
    return any(fingerprint(exercise, step, units + d) == entry["hash"] for d in slack)


def fingerprint(exercise: str, step: str, value: int | str) -> str:
    """The hash under which an answer is stored: of the whole number of last-digit units, or of the text."""
    return hashlib.sha256(f"{exercise}:{step}:{value}".encode()).hexdigest()[:16]


@cache
def answers() -> dict[str, dict[str, dict]]:
    """All stored answers: exercise -> step -> digits, hash and hint."""
    return json.loads((resources.files("course_utils") / "notebook" / "answers.json").read_text(encoding="utf-8"))
