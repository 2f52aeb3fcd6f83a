"""A rating matrix with holes is about a tall matrix times a wide one (chapter 5)."""

from _draw import TINTS, canvas, save, words
from matplotlib.patches import Rectangle

SIDE = 0.42
RATINGS = [[4, None, 3, None, 5], [None, 2, None, 1, None], [5, None, None, 2, None], [None, 3, 4, None, None]]


def grid(x: float, top: float, rows: int, columns: int, fills: dict[tuple[int, int], str], tint: str) -> None:
    """A table of square cells with its upper left corner at (x, top)."""
    fill, edge = TINTS[tint]
    for row in range(rows):
        for column in range(columns):
            text = fills.get((row, column), "")
            corner = (x + column * SIDE, top - (row + 1) * SIDE)
            paint = fill if text != "?" else "#FFFFFF"
            axes.add_patch(Rectangle(corner, SIDE, SIDE, facecolor=paint, edgecolor=edge, linewidth=1.2))
            words(axes, corner[0] + SIDE / 2, corner[1] + SIDE / 2, text, size=13)


axes = canvas(7.9, 2.75)
known = {(r, c): "?" if v is None else str(v) for r, row in enumerate(RATINGS) for c, v in enumerate(row)}
grid(0.55, 2.3, 4, 5, known, "grey")
words(axes, 0.55 + 2.5 * SIDE, 2.55, "R, mostly unknown", weight="bold", size=12)
words(axes, 3.15, 2.3 - 2 * SIDE, "≈", size=26)
grid(3.75, 2.3, 4, 2, {}, "blue")
words(axes, 3.75 + SIDE, 2.55, "P", weight="bold", size=12)
words(axes, 4.87, 2.3 - 2 * SIDE, "×", size=20)
grid(5.25, 2.3 - SIDE, 2, 5, {}, "orange")
words(axes, 5.25 + 2.5 * SIDE, 2.55 - SIDE, "Q, lying down", weight="bold", size=12)
words(axes, 4.17, 0.4, "a row a user", size=11.5)
words(axes, 6.3, 0.8, "a column an item", size=11.5)
words(axes, 1.6, 0.4, "white: to be predicted", size=11.5)
save(axes, __file__)
