"""Three edges: a graph of two users and two items, and the way from user 2 to item 1 (chapter 9)."""

from _draw import INK, TINTS, box, canvas, save, words

axes = canvas(8.4, 2.9)
places = {"u1": (0.3, 1.85), "u2": (0.3, 0.25), "i1": (3.1, 1.85), "i2": (3.1, 0.25)}
for start, end, weight, where in (
    ("u1", "i1", "0.707", (2.2, 2.43)),
    ("u1", "i2", "0.5", (2.42, 1.62)),
    ("u2", "i2", "0.707", (2.2, 0.48)),
):
    (x0, y0), (x1, y1) = places[start], places[end]
    axes.plot([x0 + 1.1, x1], [y0 + 0.4, y1 + 0.4], color=INK, linewidth=1.6, zorder=0)
    words(axes, *where, weight, size=10)
for name, value, tint in (("u1", 1, "blue"), ("u2", 0, "blue"), ("i1", 0, "orange"), ("i2", 2, "orange")):
    kind = "user" if name[0] == "u" else "item"
    box(axes, *places[name], 1.1, 0.8, f"{kind} {name[1]}", f"start {value}", tint=tint, size=12)
stops = [("u2", "blue"), ("i2", "orange"), ("u1", "blue"), ("i1", "orange")]
for place, (name, tint) in enumerate(stops):
    x = 5.05 + 0.85 * place
    box(axes, x, 1.2, 0.55, 0.55, name, tint=tint, size=12)
    if place:
        axes.annotate(
            "", (x - 0.02, 1.475), (x - 0.28, 1.475),
            arrowprops={"arrowstyle": "<|-", "color": TINTS["grey"][1], "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        words(axes, x - 0.15, 1.92, f"{place}", size=10)
words(axes, 6.6, 2.35, "what reaches user 2, after how many layers", size=10)
words(axes, 6.6, 0.85, "item 1 is three steps away: layer 3", size=10)
save(axes, __file__)
