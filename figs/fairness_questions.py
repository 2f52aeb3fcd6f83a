"""Fair to whom, in what, and how compared: three answers make a measure (chapter 13)."""

from _draw import arrow, box, canvas, save, words

axes = canvas(8.4, 3.5)
columns = (
    ("to whom?", "blue", (("users", "age, gender, income"), ("providers", "store brands, films"))),
    ("in what?", "orange", (("score", "mean prediction"), ("error", "RMSE, NDCG"), ("exposure", "places in lists"))),
    ("how?", "green", (("groups", "means side by side"), ("individuals", "like people, like lists"))),
)
x, width = 0.1, 2.0
for title, tint, answers in columns:
    words(axes, x + width / 2, 3.25, title, size=13, weight="bold")
    step = 2.85 / len(answers)
    for row, (answer, about) in enumerate(answers):
        y = 3.0 - (row + 0.5) * step - 0.36
        box(axes, x, y, width, 0.74, answer, about, tint=tint, size=12)
    x += width + 0.3
words(axes, 7.7, 3.25, "a measure", size=13, weight="bold")
box(axes, 7.05, 0.7, 1.3, 1.75, "one gap", "out of the\nmany one\ncan measure", tint="purple", size=12)
arrow(axes, (6.76, 1.57), (7.02, 1.57))
for left in (2.13, 4.43):
    arrow(axes, (left, 1.57), (left + 0.24, 1.57))
save(axes, __file__)
