"""How long each slide of a deck takes, with its questions, and when it ends.

Notes that end in "Four minutes." say it themselves, as those of chapters 5 and 13 do. For the others it is 2 minutes,
one more for 60 words on the slide and one more for 25 words of notes; 2 for the first and the last slide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tools.slides.deck import Deck, Slide

NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
NAMED = re.compile(rf"(?i)\b(a|one|{'|'.join(NUMBERS)}|\d+) minutes?\.$")
LEAST, OF_SLIDE, OF_NOTES = 2, 60, 25  # minutes; words a minute


@dataclass(frozen=True)
class Time:
    """Minutes of a slide, whether its notes name them, and the minute of the lecture in which it ends."""

    minutes: int
    named: bool
    ends: int

    def __str__(self) -> str:
        about = "" if self.named else "about "
        return f"{about}{self.minutes} minute{'' if self.minutes == 1 else 's'}".capitalize()


def times(deck: Deck) -> list[Time]:
    """A time for each slide; an answer has that of its question, for both have one."""
    found: list[Time] = []
    for slide in deck.slides:
        if slide.asked is not None:
            found.append(found[-1])
            continue
        minutes = named(" ".join(slide.notes))
        both = [slide, *(other for other in deck.slides if other.asked is slide)]
        length = minutes or estimated(both)
        found.append(Time(length, minutes is not None, length + (found[-1].ends if found else 0)))
    return found


def named(notes: str) -> int | None:
    """The minutes that notes end with."""
    if said := NAMED.search(notes.strip()):
        word = said[1].lower()
        return int(word) if word.isdigit() else NUMBERS.get(word, 1)
    return None


def estimated(slides: list[Slide]) -> int:
    """Minutes by the words of a slide, its answer and its notes."""
    if slides[0].kind in ("title", "closing"):
        return LEAST
    texts = [f"{block.words} {block.said or ''}" for slide in slides for block in slide.blocks]
    shown, said = (len(" ".join(each).split()) for each in (texts, slides[0].notes))
    return round(LEAST + shown / OF_SLIDE + said / OF_NOTES)
