"""People, a slate, what they take, and a recommender that learns from it: a loop with its knobs (chapter 14)."""

from _draw import arrow, box, canvas, save, words

axes = canvas(8.4, 3.7)
box(axes, 0.2, 1.25, 2.3, 1.15, "people", "tastes that may move", tint="blue", size=13)
box(axes, 3.05, 2.5, 2.3, 1.0, "take one, or none", "from a slate of five", tint="green", size=12)
box(axes, 5.9, 1.25, 2.3, 1.15, "recommender", "fitted again each round", tint="orange", size=13)
box(axes, 3.05, 0.2, 2.3, 1.0, "slate", "or a random one: control", tint="purple", size=12)
arrow(axes, (1.35, 2.45), (3.0, 3.1))
arrow(axes, (5.4, 3.1), (7.05, 2.45))
arrow(axes, (7.05, 1.2), (5.4, 0.65))
arrow(axes, (3.0, 0.65), (1.35, 1.2))
words(axes, 1.1, 3.05, "appetite", size=11)
words(axes, 1.1, 0.6, "drift", size=11)
words(axes, 7.35, 3.05, "objective", size=11)
words(axes, 7.35, 0.6, "exploration,\ndiversity", size=11)
words(axes, 4.2, 1.85, "again and again", size=11)
save(axes, __file__)
