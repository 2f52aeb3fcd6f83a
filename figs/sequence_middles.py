"""Four middles of one network: how the last place of a history knows the places before it (chapter 18)."""

from _draw import INK, TINTS, arrow, box, canvas, save, words

axes = canvas(8.4, 5.0)
SIZE, STEP = 0.5, 0.82
STATES = {"GRU4Rec": "green", "Caser": "orange", "SASRec": "blue", "HSTU": "purple"}
ABOUT = {
    "GRU4Rec": "one state, changed by each item",
    "Caser": "filters over the last few items",
    "SASRec": "shares of one whole",
    "HSTU": "weights one by one, and a gate",
}
WEIGHTS = (0.8, 2.6, 0.6, 4.0)  # how thick the lines of attention are

for number, (name, tint) in enumerate(STATES.items()):
    left, floor = 0.35 + 4.2 * (number % 2), 2.75 - 2.5 * (number // 2)
    middles = [left + SIZE / 2 + STEP * place for place in range(4)]
    low, high = floor + SIZE, floor + 1.35
    for place, middle in enumerate(middles, 1):
        box(axes, middle - SIZE / 2, floor, SIZE, SIZE, f"item {place}", tint="grey", size=8)
    words(axes, left, floor + 2.13, name, size=12, weight="bold", ha="left")
    words(axes, left + 1.0, floor + 2.12, ABOUT[name], size=9.5, ha="left")
    shown = range(4) if name == "GRU4Rec" else (3,)
    for place in shown:
        box(axes, middles[place] - SIZE / 2, high, SIZE, SIZE, "state", tint=tint, size=9)
    if name == "GRU4Rec":
        for place, middle in enumerate(middles):
            arrow(axes, (middle, low), (middle, high))
            if place:
                arrow(axes, (middles[place - 1] + SIZE / 2, high + SIZE / 2), (middle - SIZE / 2, high + SIZE / 2))
    elif name == "Caser":
        for width, height in ((2, 0.2), (3, 0.42)):
            start = middles[4 - width] - SIZE / 2
            axes.plot([start, middles[3] + SIZE / 2], [low + height] * 2, color=TINTS[tint][1], linewidth=4)
            words(axes, start - 0.1, low + height, f"{width} items", size=8.5, ha="right")
        arrow(axes, (middles[3], low + 0.46), (middles[3], high))
    else:
        for weight, middle in zip(WEIGHTS, middles, strict=True):
            axes.plot([middle, middles[3]], [low, high], color=TINTS[tint][1], linewidth=weight, zorder=0)
    if name == "HSTU":
        box(axes, middles[3] + 0.42, high, 0.52, SIZE, "gate", tint="grey", size=9)
        axes.annotate(
            "", (middles[3] + SIZE / 2, high + SIZE / 2), (middles[3] + 0.42, high + SIZE / 2),
            arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
save(axes, __file__)
