"""Draw ``book_map.svg``: the way of the data, which stages of it each part of the book works on, and what needs what.

The parts, their chapters and what each builds on come from ``book/parts.yml``, so that map and front page cannot
disagree.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import yaml
from _draw import lettering
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

HERE = Path(__file__).resolve().parent
INK, QUIET, LINE, CARD, ACCENT = "#16202A", "#4A5763", "#C3CDD6", "#F4F7FA", "#0B4F8A"
# one colour a stage, from the palette of the book's plots
COLOURS = {"data": "#0072B2", "splits": "#7A6400", "model": "#C44E00", "evaluate": "#00785A", "figure": "#A3397F"}
LABELS = {
    "data": ("Data", "ratings, baskets"),
    "splits": ("Splits", "train, test, time"),
    "model": ("Model", "fit, then score"),
    "evaluate": ("Evaluate", "error, ranking, spread"),
    "figure": ("Figure", "what it says"),
}
WIDTH, TOP, HEIGHT = 9.94, 5.62, 7.8  # inches; the upper edge, and how far down the map goes


def box(ax: Axes, x: float, y: float, width: float, height: float, *, face: str, edge: str) -> None:
    """A rounded box with its lower left corner at (x, y)."""
    style = "round,pad=0,rounding_size=0.09"
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=face, edgecolor=edge, linewidth=1))


def draw_way(ax: Axes) -> None:
    """The five stages in a row, joined by arrows."""
    width, gap = 1.668, 0.3
    for index, (stage, (name, about)) in enumerate(LABELS.items()):
        x = 0.2 + index * (width + gap)
        box(ax, x, 4.67, width, 0.8, face=COLOURS[stage], edge=COLOURS[stage])
        ax.text(x + width / 2, 5.17, name, color="white", size=13, weight="bold", ha="center", va="center")
        ax.text(x + width / 2, 4.87, about, color="white", size=8, ha="center", va="center")
        if index:
            ends = ((x - gap + 0.02, 5.07), (x - 0.02, 5.07))
            ax.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=13, color=INK, shrinkA=0, shrinkB=0))


def draw_part(ax: Axes, part: dict, needs: dict, x: float, y: float, width: float, height: float) -> None:
    """One card: title, the stages it works on as filled dots, its chapters and, on the right, what each needs."""
    box(ax, x, y, width, height, face=CARD, edge=LINE)
    top = y + height
    ax.text(x + 0.18, top - 0.3, part["title"], color=INK, size=11.5, weight="bold", va="center")
    for index, stage in enumerate(COLOURS):
        lit = stage in part["stages"]
        centre = (x + 0.26 + index * 0.2, top - 0.62)
        face = COLOURS[stage] if lit else "white"
        ax.add_patch(Circle(centre, 0.065, facecolor=face, edgecolor=COLOURS[stage] if lit else LINE, linewidth=1))
    names = ", ".join(LABELS[stage][0].lower() for stage in part["stages"])
    ax.text(x + 1.3, top - 0.625, names, color=QUIET, size=8.5, va="center")
    for index, (number, title) in enumerate(part["chapters"].items()):
        line = top - 0.97 - index * 0.285
        ax.text(x + 0.38, line, str(number), color=ACCENT, size=9.5, weight="bold", ha="right", va="center")
        ax.text(x + 0.46, line, title, color=INK, size=9.2, va="center")
        before = " ".join(map(str, needs.get(number, [])))
        ax.text(x + width - 0.12, line, before, color=QUIET, size=9, ha="right", va="center")
    ax.text(x + width - 0.12, top - 0.3, "needs", color=QUIET, size=9, ha="right", va="center", style="italic")


def draw(parts: list[dict], needs: dict[int, list[int]]) -> Figure:
    """The whole map."""
    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(TOP - HEIGHT, TOP), aspect="equal")
    ax.axis("off")
    draw_way(ax)
    gap, top = 0.145, 4.42
    for row in (parts[:3], parts[3:6], parts[6:]):
        width = (WIDTH - 0.4 - gap * (len(row) - 1)) / len(row)
        height = 1.02 + 0.285 * max(len(part["chapters"]) for part in row)
        for column, part in enumerate(row):
            draw_part(ax, part, needs, 0.2 + column * (width + gap), top - height, width, height)
        top -= height + gap
    return figure


def main() -> None:
    """Write ``book_map.svg`` beside this script; the same bytes each time."""
    plan = yaml.safe_load((HERE.parent / "book/parts.yml").read_text(encoding="utf-8"))
    parts = plan["parts"]
    # a test reads the description to see whether the drawing is still that of the plan
    described = "; ".join(f"{number} {title}" for part in parts for number, title in part["chapters"].items())
    facts = {"Date": None, "Creator": None, "Title": "Map of the book", "Description": described}
    with mpl.rc_context(lettering()):
        draw(parts, plan["needs"]).savefig(HERE / "book_map.svg", format="svg", metadata=facts)


if __name__ == "__main__":
    main()
