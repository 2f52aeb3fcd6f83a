"""The book's plot style, and the two charts that many chapters draw."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.axes import Axes

# Distinct for readers with any of the common colour-vision deficiencies, each at least 4:1 against white.
PALETTE = ["#0072B2", "#C44E00", "#00785A", "#A3397F", "#7A6400", "#4D4D4D"]
STYLES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))]
WIDTH, HEIGHT, DPI = 7.2, 4.0, 160
FONTS = Path(__file__).with_name("fonts")  # made by tools/book/typeface.py; their name is no other font's
FAMILY = "Inter of the book"


def use_style() -> None:
    """Set the book's matplotlib style for this session: called by ``course_utils.setup``."""
    plt.rcdefaults()
    if FAMILY not in {font.name for font in font_manager.fontManager.ttflist}:
        for file in sorted(FONTS.glob("*.ttf")):
            font_manager.fontManager.addfont(file)
    plt.rc("figure", figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="white", **{"constrained_layout.use": True})
    plt.rc("savefig", dpi=DPI)
    plt.rc("font", family=[FAMILY, "DejaVu Sans"], size=12)  # matplotlib's own has the signs that Inter lacks
    slanted = "DejaVu Sans:italic"
    plt.rc("mathtext", fontset="custom", rm=FAMILY, it=slanted, bf=f"{FAMILY}:bold", cal=slanted)
    plt.rc("text", hinting="none")  # a hinter would move letters by the pixel, and each version its own way
    plt.rc("axes", titlesize=13, titleweight="bold", titlelocation="left", grid=True, axisbelow=True)
    plt.rc(("xtick", "ytick"), labelsize=11)
    plt.rc("axes", prop_cycle=plt.cycler(color=PALETTE) + plt.cycler(linestyle=STYLES))
    plt.rc("axes.spines", top=False, right=False)
    plt.rc("grid", color="#E3E3E3", linewidth=0.8)
    plt.rc("legend", frameon=False, fontsize=11)
    plt.rc("lines", linewidth=2)
    plt.rc("svg", hashsalt="course")


def spread_bars(
    axes: Axes,
    labels: Sequence[str],
    means: Sequence[float],
    spreads: Sequence[float] | None = None,
    *,
    colors: Sequence[str] | str = PALETTE[0],
    digits: int = 3,
    dots: bool = False,
) -> None:
    """Bars with values, first label on top, ``dots`` where the axis does not begin at 0; ``spreads``: half-widths."""
    rows = range(len(labels))
    axes.barh(rows, means, xerr=spreads, color=colors, height=0 if dots else 0.66, ecolor="#222222", capsize=3)
    if dots:
        axes.scatter(means, rows, s=50, c=colors, zorder=3)
    for row, mean in zip(rows, means, strict=True):
        reach = max(mean + (0 if spreads is None else spreads[row]), 0)  # beside a negative bar, not on it
        beside = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{mean:z.{digits}f}", (reach, row), fontsize=11, **beside)  # z: no minus before a zero
    axes.set_yticks(rows, labels)
    axes.yaxis.set_inverted(True)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.14)


def label_ends(axes: Axes, *, gap: float = 0.045) -> None:
    """Write each line's label at its right end, in its colour; ``gap``, a share of the height, keeps them apart."""
    axes.figure.canvas.draw()
    lines = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [to_axes.transform((line.get_xdata()[-1], line.get_ydata()[-1]))[1] for line in lines]
    height = -1.0
    for end, line in sorted(zip(heights, lines, strict=True), key=lambda pair: pair[0]):
        height = max(end, height + gap)
        place = {"xycoords": "axes fraction", "va": "center", "annotation_clip": False}
        axes.annotate(line.get_label(), (1.01, height), color=line.get_color(), fontsize=11, **place)
