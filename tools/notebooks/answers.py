r"""Store the answer of an exercise step, hashed, in course_utils/notebook/answers.json.

    python -m tools.notebooks.answers 03a ndcg 0.704 --hint "Where: the best order." --hint "Divide by its DCG." \
        --wrong 0.631 "This divides by the DCG of four places; two are asked for."

The number of decimals given is the number of decimals that the exercise asks for. Text answers are stored as text.
Hints go from where to look to the first line of the way; a wrong answer is one that people give, with what to say then.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from course_utils.notebook.exercises import fingerprint

PATH = Path(__file__).resolve().parents[2] / "src" / "course_utils" / "notebook" / "answers.json"


def stored(exercise: str, step: str, answer: str, digits: int | None) -> str:
    """The hash of an answer as typed, in units of the last of so many digits, or of text when that is None."""
    if digits is None:
        return fingerprint(exercise, step, " ".join(answer.lower().split()))
    return fingerprint(exercise, step, round(float(answer) * 10**digits))


def store(
    exercise: str,
    step: str,
    answer: str,
    hints: Iterable[str],
    wrong: Iterable[tuple[str, str]] = (),
    path: Path = PATH,
) -> None:
    """Write one answer; an exercise keeps its steps in the order in which they were first stored."""
    try:
        float(answer)
        digits = len(answer.partition(".")[2])
    except ValueError:
        digits = None
    entry = {"digits": digits, "hash": stored(exercise, step, answer, digits), "hints": list(hints)}
    entry["distractors"] = [{"hash": stored(exercise, step, each, digits), "says": says} for each, says in wrong]
    hashes = [entry["hash"], *(each["hash"] for each in entry["distractors"])]
    if len(set(hashes)) < len(hashes):
        raise SystemExit(f"{exercise} {step}: two of its answers are the same in {digits} digits")
    table = json.loads(path.read_text(encoding="utf-8"))
    table.setdefault(exercise, {})[step] = entry
    path.write_text(json.dumps(dict(sorted(table.items())), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("exercise", "step", "answer"):
        parser.add_argument(name)
    parser.add_argument("--hint", dest="hints", action="append", required=True)
    parser.add_argument("--wrong", nargs=2, action="append", default=[], metavar=("ANSWER", "SAYS"))
    store(**vars(parser.parse_args()))
