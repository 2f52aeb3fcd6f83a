"""Three ways to share the work of training: what each worker holds, and what travels (chapter 16)."""

from _draw import box, canvas, save, words

axes = canvas(8.4, 3.6)
panels = (
    ("data parallel", "blue", ("all weights", "all weights"), ("rows 1", "rows 2"), "gradients travel"),
    ("model parallel", "orange", ("tables 1", "tables 2"), ("rows 1", "rows 2"), "codes, embeddings travel"),
    ("blocks (ALS)", "green", ("users 1", "users 2"), ("items 1", "items 2"), "factor vectors travel"),
)
for number, (title, tint, upper, lower, travels) in enumerate(panels):
    x = 0.1 + 2.8 * number
    words(axes, x + 1.3, 3.35, title, size=13, weight="bold")
    for worker in (0, 1):
        left = x + 1.36 * worker
        box(axes, left, 0.75, 1.24, 2.3, "", tint="white", faint=True)
        words(axes, left + 0.62, 2.85, f"worker {worker}", size=10)
        box(axes, left + 0.07, 1.85, 1.1, 0.78, upper[worker], tint=tint, size=11)
        box(axes, left + 0.07, 0.9, 1.1, 0.78, lower[worker], tint="grey", size=11)
    style = {"arrowstyle": "<|-|>", "color": "#1F2933", "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x + 2.3, 0.55), (x + 0.3, 0.55), arrowprops=style)
    words(axes, x + 1.3, 0.27, travels, size=11)
save(axes, __file__)
