"""The kinds of nodes and edges that chapter 9 builds from MovieLens-100K."""

from _draw import INK, box, canvas, save, words

axes = canvas(8.4, 3.6)


def line(start: tuple[float, float], end: tuple[float, float], label: str, where: tuple[float, float]) -> None:
    """An edge kind: its line and its name."""
    axes.plot([start[0], end[0]], [start[1], end[1]], color=INK, linewidth=1.5, zorder=0)
    words(axes, *where, label, size=10, backgroundcolor="#FFFFFF")


line((3.3, 1.8), (6.0, 1.8), "rated", (4.45, 1.8))
for y, label in ((3.2, "works_as"), (2.26, "lives_in"), (1.34, "active_at"), (0.4, "active_on")):
    line((1.3, y), (2.9, 1.8), label, (1.9, y + (1.8 - y) * 0.35))
line((6.1, 1.8), (6.9, 3.1), "has", (6.5, 2.55))
box(axes, 2.5, 1.35, 1.15, 0.9, "user", "943", tint="blue", size=13)
box(axes, 5.4, 1.35, 1.15, 0.9, "item", "1,682", tint="orange", size=13)
kinds = (("occupation", "21", 2.88), ("region", "11", 1.94), ("hour", "24", 1.02), ("weekday", "7", 0.08))
for name, size, y in kinds:
    box(axes, 0.1, y, 1.25, 0.64, name, size, tint="grey", size=11)
box(axes, 6.5, 2.88, 1.25, 0.64, "genre", "18", tint="green", size=11)
for x, who in ((3.07, "similar taste"), (5.97, "rated together")):
    axes.annotate(
        "", (x + 0.3, 1.33), (x - 0.3, 1.33),
        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 1.5, "connectionstyle": "arc3,rad=1.3"},
    )  # fmt: skip
    words(axes, x, 0.72, f"alike\n({who})", size=10)
save(axes, __file__)
