"""A cross layer of version 1 and of version 2: one number for all entries, or one for each (chapter 8)."""

from _draw import arrow, box, canvas, save, words

axes = canvas(8.4, 3.5)
for x, name, middle, how, tint in (
    (0.1, "version 1", "one number", r"$\mathbf{x}_\ell^\top \mathbf{w}_\ell$", "orange"),
    (4.35, "version 2", "a vector", r"$\mathbf{W}_\ell\, \mathbf{x}_\ell + \mathbf{b}_\ell$", "purple"),
):
    words(axes, x + 1.95, 3.3, name, size=12, weight="bold")
    box(axes, x, 2.2, 1.0, 0.72, r"$\mathbf{x}_0$", "input", tint="grey", size=12)
    box(axes, x, 0.3, 1.0, 0.72, r"$\mathbf{x}_\ell$", "last output", tint="blue", size=12)
    box(axes, x + 1.35, 1.22, 1.35, 0.8, middle, how, tint=tint, size=11)
    box(axes, x + 3.0, 2.2, 0.9, 0.72, "times", r"$\mathbf{x}_0$", tint=tint, size=12)
    box(axes, x + 3.0, 0.3, 0.9, 0.72, r"$\mathbf{x}_{\ell+1}$", tint="green", size=13)
    arrow(axes, (x + 1.04, 2.56), (x + 2.96, 2.56))
    arrow(axes, (x + 1.04, 0.86), (x + 1.4, 1.18))
    arrow(axes, (x + 2.6, 2.06), (x + 2.96, 2.34))
    arrow(axes, (x + 3.45, 2.16), (x + 3.45, 1.06))
    arrow(axes, (x + 1.04, 0.56), (x + 2.96, 0.56), "+ the last output")
save(axes, __file__)
