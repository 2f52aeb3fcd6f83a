"""Store the answer of an exercise step, hashed, in course_utils/notebook/answers.json.

    python -m tools.notebooks.answers 03a ndcg 0.704 "Divide the DCG by the ideal DCG."

The number of decimals given is the number of decimals that the exercise asks for. Text answers are stored as text.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from course_utils.notebook.exercises import fingerprint

PATH = Path(__file__).resolve().parents[2] / "src" / "course_utils" / "notebook" / "answers.json"


def store(exercise: str, step: str, answer: str, hint: str, path: Path = PATH) -> None:
    """Write one answer; an exercise keeps its steps in the order in which they were first stored."""
    try:
        number = float(answer)
        digits = len(answer.partition(".")[2])
        entry = {"digits": digits, "hash": fingerprint(exercise, step, round(number * 10**digits))}
    except ValueError:
        entry = {"digits": None, "hash": fingerprint(exercise, step, answer.strip().lower())}
    table = json.loads(path.read_text(encoding="utf-8"))
    table.setdefault(exercise, {})[step] = {**entry, "hint": hint}
    path.write_text(json.dumps(dict(sorted(table.items())), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("exercise", "step", "answer", "hint"):
        parser.add_argument(name)
    store(**vars(parser.parse_args()))
