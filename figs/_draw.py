"""Boxes, arrows and words for the book's diagrams: each ``figs/NAME.py`` draws ``figs/NAME.svg`` with these."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

INK, QUIET, PAPER = "#1F2933", "#5A6672", "#FFFFFF"
# pale fills, each with dark ink on top, and the strong edge that goes with it
TINTS = {
    "blue": ("#E3F0F9", "#0072B2"),
    "orange": ("#FBEADF", "#C44E00"),
    "green": ("#DFF2EC", "#00785A"),
    "purple": ("#F5E4F0", "#A3397F"),
    "olive": ("#F3EFD9", "#7A6400"),
    "grey": ("#EDEFF1", "#4D4D4D"),
    "white": ("#FFFFFF", "#0072B2"),
}


def lettering() -> dict[str, object]:
    """Settings of matplotlib for words in the typeface of the plots, drawn as shapes."""
    fonts = Path(__file__).resolve().parents[1] / "src/course_utils/notebook/fonts"
    for file in sorted(fonts.glob("*.ttf")):
        font_manager.fontManager.addfont(file)
    return {"svg.hashsalt": "course", "svg.fonttype": "path", "font.family": ["Inter of the book", "DejaVu Sans"]}


def canvas(width: float, height: float) -> Axes:
    """An empty white drawing of so many inches; coordinates are inches from the lower left corner."""
    plt.rcdefaults()
    plt.rcParams.update(lettering())
    figure = plt.figure(figsize=(width, height), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.axis("off")
    return axes


def box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    title: str,
    text: str = "",
    *,
    tint: str = "blue",
    size: float = 13,
    faint: bool = False,
) -> None:
    """A rounded box with its lower left corner at (x, y), a bold title and a quiet line of text below it.

    ``faint`` draws it in outline only: a part of a whole that is not the topic now.
    """
    fill, edge = TINTS[tint]
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.09",
            facecolor=PAPER if faint else fill,
            edgecolor="#9AA5B1" if faint else edge,
            linewidth=1.0 if faint else 1.6,
        )
    )
    middle, ink = x + width / 2, QUIET if faint else INK
    if not text:
        axes.text(middle, y + height / 2, title, ha="center", va="center", weight="bold", color=ink, size=size)
        return
    lines = text.count("\n") + 1
    top = y + height / 2 + 0.095 * lines
    axes.text(middle, top, title, ha="center", va="center", weight="bold", color=ink, size=size)
    axes.text(
        middle, top - 0.17, text, ha="center", va="top", color=QUIET if faint else INK, size=size - 2, linespacing=1.25
    )


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], label: str = "", *, bend: float = 0.0
) -> None:
    """An arrow from start to end with an optional label above its middle."""
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops={**style, "connectionstyle": f"arc3,rad={bend}"})
    if label:
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.08)
        axes.text(*middle, label, ha="center", va="bottom", color=INK, size=9)


def words(axes: Axes, x: float, y: float, text: str, *, size: float = 10, **style: object) -> None:
    """Words at a place; keyword arguments go to ``Axes.text``."""
    axes.text(x, y, text, **{"ha": "center", "va": "center", "color": INK, "size": size, **style})


def save(axes: Axes, script: str) -> None:
    """Write the drawing beside its script, the same bytes each time."""
    path = Path(script).with_suffix(".svg")
    axes.figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, facecolor=PAPER)
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
    plt.close(axes.figure)
