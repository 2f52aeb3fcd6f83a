"""The question bank: ``assessment/NN.yml`` for chapter NN, and the quizzes of the book's recap pages.

A question has ``ask``, ``section``, ``why``, and either ``right`` and ``wrong`` (choice -> the mistake it comes from),
or ``number``, ``within`` (how far off is still right), ``wrong`` (number -> mistake) and ``compute``, code that leaves
the number in ``answer``, which a test runs. The bank stays outside the published book and the wheel.
"""

from __future__ import annotations

import ast
import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import yaml

from tools.book import sections

ROOT = Path(__file__).resolve().parents[2]
BANK = ROOT / "assessment"
GLUED = re.compile(r"\{glue:text\}`([^`:]+)::([\w-]+):?([^`]*)`")
ASKED = re.compile(
    r"^\*\*(\d+)\.\*\* (.*?)\n\n((?:- \(\w\) [^\n]*\n(?:  [^\n]*\n)*)+)"
    r"\n:::\{dropdown\}[^\n]*\n\*\*\((\w)\)\.?\*\*(.*?)\n:::",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Question:
    """A closed question.

    Attributes:
        name: chapter and place, "04-3", or "recap 2-3".
        ask: the question, in Markdown.
        why: why the right answer is right.
        choices: (text, what is said of it) as they stand in the source; empty where a number is asked for.
        right: the place of the right choice.
        fixed: whether the choices keep their order, since ``why`` names them by letter.
        number: the right number, and ``within`` how far off is still right.
        slips: (number, what is said of it) for wrong numbers that people give.
        compute: code that computes the number.
    """

    name: str
    ask: str
    why: str
    choices: tuple[tuple[str, str], ...] = ()
    right: int = 0
    fixed: bool = False
    number: float | None = None
    within: float = 0.0
    slips: tuple[tuple[float, str], ...] = ()
    compute: str = ""

    def shuffled(self, seed: int = 0) -> tuple[list[tuple[str, str]], int]:
        """The choices in an order that depends on the seed, and the place of the right one."""
        order = list(self.choices)
        if not self.fixed:
            random.Random(f"{seed} {self.name}").shuffle(order)
        return order, order.index(self.choices[self.right])


def chapters() -> list[int]:
    """The chapters that have a file in the bank."""
    return sorted(int(path.stem) for path in BANK.glob("[0-9][0-9].yml"))


def of_chapter(chapter: int) -> list[Question]:
    """The questions of one chapter, in the order of its file."""
    entries = yaml.safe_load((BANK / f"{chapter:02d}.yml").read_text(encoding="utf-8"))
    found = []
    for place, entry in enumerate(entries, 1):
        why = f"{entry['why'].strip()} (§{entry['section']})"
        question = Question(f"{chapter:02d}-{place}", entry["ask"].strip(), why)
        wrong = tuple((key, says) for key, says in entry["wrong"].items())
        if "number" in entry:
            rest = {"number": float(entry["number"]), "within": float(entry["within"]), "compute": entry["compute"]}
            rest["slips"] = tuple((float(key), says) for key, says in wrong)
        else:
            rest = {"choices": ((str(entry["right"]), ""), *((str(key), says) for key, says in wrong))}
        found.append(replace(question, **rest))
    return found


def recaps() -> dict[str, list[Question]]:
    """The quizzes of the book's recap pages, by the title of the page. Their answers are public."""
    found = {}
    for path in sorted((ROOT / "book").glob("recap_*.md")):
        text = GLUED.sub(_glued, path.read_text(encoding="utf-8"))
        number, title = path.stem.removeprefix("recap_"), text.partition("\n")[0].removeprefix("# ")
        found[title] = []
        for place, ask, listed, letter, why in ASKED.findall(text):
            choices = tuple((_line(each), "") for each in re.split(r"(?m)^- \(\w\) ", listed)[1:])
            right, name = "abcdefgh".index(letter), f"recap {number}-{place}"
            found[title].append(Question(name, _line(ask), _line(why).strip(" ,"), choices, right, fixed=True))
    return found


def _line(text: str) -> str:
    return " ".join(text.split())


def _glued(match: re.Match[str]) -> str:
    """A number that a notebook has glued, as the page prints it."""
    kept = _records(ROOT / "book" / match[1])[match[2]]
    return format(kept, match[3] or "")


@lru_cache
def _records(path: Path) -> dict[str, object]:
    """What a notebook has glued, by name."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", []) if output.get("metadata")]
    named = [(output["metadata"].get("scrapbook"), output["data"]) for output in outputs if "data" in output]
    return {mark["name"]: ast.literal_eval("".join(*data.values())) for mark, data in named if mark}


def parse(text: str) -> list[int]:
    """The chapters of a text such as ``"1-5,20"``; all that the bank has for ``"all"``."""
    if text == "all":
        return chapters()
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    if unknown := set(found) - set(chapters()):
        raise SystemExit(f"the bank has no chapter {sorted(unknown)}; it has {chapters()}")
    return found


def title(chapter: int) -> str:
    """The heading of a chapter, "4. Neighbourhood methods"."""
    return f"{chapter}. {sections.read_sections(ROOT)[str(chapter)].title}"


def drawn(wanted: Iterable[int], count: int, seed: int) -> list[Question]:
    """Some questions of some chapters, as evenly dealt as can be; the same for the same seed."""
    rng = random.Random(seed)
    piles = []
    for chapter in wanted:
        pile = of_chapter(chapter)
        rng.shuffle(pile)
        piles.append(pile)
    if count > sum(map(len, piles)):
        raise SystemExit(f"{count} questions are asked for, these chapters have {sum(map(len, piles))}")
    dealt = [pile[row] for row in range(max(map(len, piles))) for pile in piles if row < len(pile)][:count]
    return sorted(dealt, key=lambda question: [int(part) for part in question.name.split("-")])
