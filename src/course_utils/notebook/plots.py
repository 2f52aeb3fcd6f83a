"""The book's plot style, and the two charts that many chapters draw."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# Distinct for readers with any of the common colour-vision deficiencies, each at least 4:1 against white.
PALETTE = ["#0072B2", "#C44E00", "#00785A", "#A3397F", "#7A6400", "#4D4D4D"]
STYLES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))]
WIDTH, HEIGHT, DPI = 7.2, 4.0, 160


def use_style() -> None:
    """Set the book's matplotlib style for this session: called by ``course_utils.setup``."""
    plt.rcdefaults()
    plt.rcParams.update(
        {
            "figure.figsize": (WIDTH, HEIGHT),
            "figure.dpi": DPI,
            "savefig.dpi": DPI,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.family": "DejaVu Sans",
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": plt.cycler(color=PALETTE) + plt.cycler(linestyle=STYLES),
            "grid.color": "#E3E3E3",
            "grid.linewidth": 0.8,
            "legend.frameon": False,
            "lines.linewidth": 2,
            "svg.hashsalt": "course",
        }
    )


def spread_bars(
    axes: Axes,
    labels: Sequence[str],
    means: Sequence[float],
    spreads: Sequence[float] | None = None,
    *,
    colors: Sequence[str] | str = PALETTE[0],
    digits: int = 3,
) -> None:
    """Horizontal bars with an error bar and the value printed at each end, first label on top.

    Args:
        axes: where to draw.
        labels: one a bar.
        means: length of each bar, in the unit of the axis.
        spreads: half-width of each error bar (a standard deviation, say), none when left out.
        colors: one colour for all bars, or one a bar.
        digits: decimals of the printed values.
    """
    rows = range(len(labels))
    axes.barh(
        rows, means, xerr=spreads, color=colors, height=0.66, error_kw={"ecolor": "#222222", "capsize": 3}
    )
    for row, mean in zip(rows, means, strict=True):
        reach = max(mean + (0 if spreads is None else spreads[row]), 0)  # beside a negative bar, not on it
        axes.annotate(
            f"{mean:z.{digits}f}",  # z: no minus before a zero
            (reach, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
        )
    axes.set_yticks(rows, labels)
    if not axes.yaxis_inverted():  # panels that share the axis turn it once
        axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.14)


def label_ends(axes: Axes, *, gap: float = 0.045) -> None:
    """Write each line's label at its right end, in its colour: a legend that needs no look-up.

    Labels that would touch are pushed apart vertically.

    Args:
        axes: an axes whose lines carry labels.
        gap: smallest distance between two labels, as a share of the axis' height.
    """
    axes.figure.canvas.draw()
    lines = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [to_axes.transform((line.get_xdata()[-1], line.get_ydata()[-1]))[1] for line in lines]
    ends = sorted(zip(heights, lines, strict=True), key=lambda pair: pair[0])
    height = -1.0
    for end, line in ends:
        height = max(end, height + gap)
        axes.annotate(
            line.get_label(),
            (1.01, height),
            xycoords="axes fraction",
            color=line.get_color(),
            va="center",
            fontsize=10,
            annotation_clip=False,
        )
