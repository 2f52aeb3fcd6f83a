"""Look at every slide of a deck in Chromium: what would a lecturer find out only in front of the class?

    python -m tools.slides.check notebooks/03_evaluation.ipynb ...

builds the decks and prints their faults, none when all is well. ``make test`` does the same, and listens for requests
and console errors too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tools.slides.build import SCREENS, browser, build, open_deck, show, slide_indices

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


def main(arguments: list[str]) -> int:
    """Check the decks of the named notebooks; return the number of faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="+", type=Path)
    notebooks = parser.parse_args(arguments).notebooks
    with browser() as chromium:
        page = chromium.new_page(reduced_motion="reduce")
        found = [
            f"{name}: {fault}"
            for name in notebooks
            for screen in SCREENS
            for fault in faults(page, build(name), screen)
        ]
    print("\n".join(found) or "no faults")
    return len(found)


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
