"""The shape of a real system: candidates, scores, re-ranking (chapter 0)."""

from _draw import arrow, box, canvas, save, words

axes = canvas(8.4, 2.75)
stages = [
    ("Catalogue", "all items", "millions", "grey"),
    ("Candidates", "cheap, misses little", "hundreds", "green"),
    ("Scores", "a careful model", "hundreds, in order", "blue"),
    ("Re-ranking", "variety, fairness", "ten", "purple"),
]
width, gap = 1.72, 0.42
for place, (title, text, count, tint) in enumerate(stages):
    x = 0.12 + place * (width + gap)
    box(axes, x, 1.12, width, 1.0, title, text, tint=tint, size=12.5)
    words(axes, x + width / 2, 0.84, count, weight="bold", size=11.5)
    if place:
        arrow(axes, (x - gap + 0.04, 1.62), (x - 0.04, 1.62))
words(axes, 4.2, 2.45, "Each stage looks at fewer items, and looks longer at each.", size=12)
x = 0.12 + 3 * (width + gap) + width / 2
arrow(axes, (x, 0.68), (3.1, 0.68), bend=-0.13)
words(axes, 5.2, 0.2, "what people do with the list becomes the data of tomorrow", size=11.5)
save(axes, __file__)
