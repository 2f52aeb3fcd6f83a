"""A DLRM on two processes: tables dealt out, networks copied, two exchanges (chapter 16)."""

from _draw import arrow, box, canvas, save, words

axes = canvas(8.4, 3.9)
columns = ((1.25, "rows, codes", "grey"), (3.6, "tables", "orange"), (5.95, "networks", "blue"))
for row, y in enumerate((2.35, 0.55)):
    words(axes, 0.55, y + 0.5, f"process {row}", size=12, weight="bold")
    for x, title, tint in columns:
        share = "a copy" if title == "networks" else f"{('first', 'second')[row]} half"
        box(axes, x, y, 1.55, 1.0, title, share, tint=tint, size=12)
    box(axes, 7.75, y + 0.1, 0.6, 0.8, "loss", tint="purple", size=10)
    arrow(axes, (7.52, y + 0.5), (7.73, y + 0.5))
for left, right in ((2.82, 3.58), (5.17, 5.93)):
    for start in (2.85, 1.05):
        for end in (2.85, 1.05):
            arrow(axes, (left, start), (right, end))
words(axes, 3.2, 3.62, "codes", size=11)
words(axes, 5.55, 3.62, "embeddings", size=11)
words(axes, 3.2, 0.25, "all-to-all", size=11)
words(axes, 5.55, 0.25, "all-to-all", size=11)
arrow(axes, (6.5, 2.33), (6.5, 1.57))
arrow(axes, (6.5, 1.57), (6.5, 2.33))
words(axes, 7.35, 1.95, "gradients: mean", size=10)
save(axes, __file__)
