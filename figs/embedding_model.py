"""Two look-ups, a dot product and three corrections (chapter 6)."""

from _draw import arrow, box, canvas, save

axes = canvas(8.4, 2.8)
for y, who, code, row, tint in ((1.72, "user", "u", "p", "blue"), (0.32, "item", "i", "q", "orange")):
    box(axes, 0.1, y, 1.2, 0.86, f"{who} {code}", "its number", tint="grey", size=12)
    arrow(axes, (1.34, y + 0.43), (1.86, y + 0.43))
    box(axes, 1.9, y, 1.75, 0.86, f"{who} table", "one row for each", tint=tint, size=12)
    arrow(axes, (3.69, y + 0.43), (4.36, y + 0.43))
    box(axes, 4.4, y + 0.08, 0.95, 0.7, rf"$\mathbf{{{row}}}_{code}$", tint=tint, size=15)
arrow(axes, (5.39, 2.1), (5.94, 1.72))
arrow(axes, (5.39, 0.8), (5.94, 1.18))
box(axes, 5.98, 1.02, 1.0, 0.86, "dot", r"$\mathbf{p}_u^\top \mathbf{q}_i$", tint="purple", size=12)
arrow(axes, (7.02, 1.45), (7.3, 1.45))
box(axes, 7.34, 1.02, 0.98, 0.86, "score", r"$+\mu + b_u + b_i$", tint="green", size=12)
save(axes, __file__)
