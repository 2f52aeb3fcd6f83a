"""Where diversity can enter: in the loss, or between scores and list (chapter 12)."""

from _draw import arrow, box, canvas, save, words

axes = canvas(8.4, 2.9)
for x, title, text, tint in (
    (0.1, "loss", "what training\nminimises", "grey"),
    (2.25, "model", "one score for\nuser and item", "blue"),
    (4.4, "shortlist", "the best\nhundred", "blue"),
    (6.55, "list", "the ten\nthat are shown", "green"),
):
    box(axes, x, 1.55, 1.72, 1.15, title, text, tint=tint, size=13)
for x in (1.85, 4.0, 6.15):
    arrow(axes, (x, 2.12), (x + 0.37, 2.12))
box(axes, 0.1, 0.2, 1.72, 0.8, "+ a term", "here, for all lists", tint="orange", size=12)
arrow(axes, (0.96, 1.04), (0.96, 1.51))
box(axes, 5.0, 0.2, 2.7, 0.8, "re-rank", "MMR, DPP, calibrated, spread", tint="purple", size=12)
arrow(axes, (6.35, 1.04), (6.35, 1.95))
words(axes, 3.4, 0.6, "two places for diversity", size=12, color="#5A6672")
save(axes, __file__)
