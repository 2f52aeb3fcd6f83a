"""The stages of a large recommender, from the catalogue to the list, and the logs that feed them (chapter 15)."""

from _draw import arrow, box, canvas, save, words

axes = canvas(8.4, 3.5)
for x, title, text, tint in (
    (0.1, "Catalogue", "all items", "grey"),
    (2.25, "Candidates", "two towers and\nan index: hundreds", "blue"),
    (4.4, "Scoring", "one good model,\nmany features", "orange"),
    (6.55, "Re-ranking", "diverse, fair:\nten are shown", "green"),
):
    box(axes, x, 2.15, 1.72, 1.2, title, text, tint=tint, size=13)
for x in (1.85, 4.0, 6.15):
    arrow(axes, (x, 2.75), (x + 0.37, 2.75))
box(
    axes,
    5.3,
    0.25,
    2.97,
    1.05,
    "Logs",
    "what was shown, with which\nchance, and what came back",
    tint="purple",
    size=13,
)
arrow(axes, (7.41, 2.11), (7.41, 1.34))
box(axes, 2.25, 0.25, 2.35, 1.05, "Learning", "bandits, off-policy,\nthe long run", tint="olive", size=13)
arrow(axes, (5.26, 0.77), (4.64, 0.77))
arrow(axes, (3.1, 1.34), (3.1, 2.11))
arrow(axes, (4.2, 1.34), (4.95, 2.11))
words(axes, 1.1, 0.77, "what is shown today\nis what the system\nlearns from tomorrow", size=11, color="#5A6672")
save(axes, __file__)
