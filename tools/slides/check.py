"""Look at every slide of a deck in Chromium: what would a lecturer find out only in front of the class?

    python -m tools.slides.check notebooks/03_evaluation.ipynb ...

builds the decks and prints their faults, none when all is well: what does not fit, a question whose answer stands
beside it, a cell that was never run. ``make test`` does the same, and listens for requests and console errors too.
``--claims`` also names the slides that show something and say nothing about it.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from tools.notebooks.live import is_live
from tools.slides.build import SCREENS, browser, build, open_deck, show, slide_indices
from tools.slides.deck import Block, Deck, Slide, asks, read_deck

# pixels of a slide that is 720 high (840 on a 4:3 screen)
LEAST = {"text": 26, "code": 20, "foot": 16, "picture": 220, "sizes": [30, 21]}  # the two of deck.css
PROBE = (Path(__file__).parent / "template" / "probe.js").read_text(encoding="utf-8")


def faults(page: Any, deck: Path, screen: str) -> list[str]:
    """The faults of all slides of a deck on one screen.

    Args:
        page: a playwright page.
        deck: the HTML file.
        screen: a key of ``slides.SCREENS``.

    Returns:
        One line a fault, "slide 3 at 16x9: cut line: …"; empty is good.
    """
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    open_deck(page, deck)
    found = []
    for number, position in enumerate(slide_indices(page), start=1):
        show(page, position)
        found += [f"slide {number} at {screen}: {fault}" for fault in page.evaluate(f"({PROBE})", LEAST)]
    return found


def spoken(deck: Deck) -> list[str]:
    """What of a deck was never run, and each question that stands with its answer on one step."""
    found = []
    for number, slide in enumerate(deck.slides, start=1):
        for block in slide.blocks:
            if block.cell.cell_type == "code" and block.cell.execution_count is None:
                found.append(f"slide {number}: {block.where} has never been run")
        if slide.asked is None and _answered(slide):
            found.append(f"slide {number}: a question and its answer on one step; make what answers a fragment")
    return found


def _answered(slide: Slide) -> bool:
    """Whether a step has a question, and after it what a cell shows; what stands before a question belongs to it."""
    asked = answered = False
    for block in slide.blocks:
        if block.fragment:
            continue
        if asks(block.words):
            asked, answered = True, False
        answered |= asked and _shows(block) and not block.tagged("predict") and not block.tagged("slide-given")
    return answered


def _outputs(block: Block) -> list[dict[str, Any]]:
    """What a slide shows of a cell's outputs, without live figures, which show what the audience asks of them."""
    shown = [] if block.tagged("slide-hide-output") else block.cell.get("outputs", [])
    return [data for each in shown if (data := each.get("data")) and not is_live(data.get("text/html", ""))]


def _shows(block: Block) -> bool:
    return block.said is not None or bool(_outputs(block))


def unclaimed(deck: Deck) -> list[str]:
    """Each slide that shows something without a sentence: in its heading (five words), its text, or an output."""
    found = []
    for number, slide in enumerate(deck.slides, start=1):
        words = "\n".join(f"{block.words}\n{block.said or ''}" for block in slide.blocks)
        heading = re.search(r"(?m)^#+ (.+)", words)
        said = re.search(r"(?m)^(?![#|$]).*[A-Za-z].*[.:?!][*_]*$", words) or (heading and len(heading[1].split()) > 4)
        outputs = [data for block in slide.blocks for data in _outputs(block)]
        if outputs and not said and not any("text/markdown" in data for data in outputs):
            found.append(f"slide {number}: no claim: {heading[1] if heading else 'an answer'}")
    return found


def main(arguments: list[str]) -> int:
    """Check the decks of the named notebooks; return the number of faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--claims", action="store_true", help="also name slides without a claim")
    options = parser.parse_args(arguments)
    found = []
    with browser() as chromium:
        page = chromium.new_page(reduced_motion="reduce")
        for name in options.notebooks:
            deck, page_file = read_deck(name), build(name)
            here = spoken(deck) + (unclaimed(deck) if options.claims else [])
            here += [fault for screen in SCREENS for fault in faults(page, page_file, screen)]
            found += [f"{name}: {fault}" for fault in here]
    print("\n".join(found) or "no faults")
    return len(found)


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
