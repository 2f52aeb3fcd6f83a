"""The map of approaches that the whole book keeps (chapter 0)."""

from _draw import arrow, box, canvas, save, words

axes = canvas(8.4, 4.5)
words(axes, 1.45, 4.22, "Two general relatives", weight="bold", size=13)
words(axes, 1.45, 3.95, "made for other ends, useful here", size=11)
box(axes, 0.2, 2.62, 2.5, 1.05, "Clustering", "groups similar people\nor similar items", tint="grey")
box(axes, 0.2, 1.27, 2.5, 1.05, "Association rules", "what is bought together:\nif X, then Y", tint="grey")

words(axes, 5.75, 4.22, "Three approaches to recommending", weight="bold", size=13)
words(axes, 5.75, 3.95, "what does each one need to know?", size=11)
box(axes, 3.3, 2.62, 2.3, 1.05, "Content-based", "descriptions of items,\nyour own past", tint="orange")
box(axes, 3.3, 0.45, 2.3, 1.05, "Hybrid", "both, weighed\nby evidence", tint="purple")
box(axes, 5.95, 0.25, 2.3, 3.42, "", tint="blue")
words(axes, 7.1, 3.4, "Collaborative", weight="bold", size=13)
words(axes, 7.1, 2.95, "who liked what,\nand nothing else", size=11)
box(axes, 6.12, 1.6, 1.96, 0.95, "Neighbours", "compare users\nor items", tint="white", size=12.5)
box(axes, 6.12, 0.42, 1.96, 0.95, "Learned models", "factors, networks,\ngraphs", tint="white", size=12.5)
arrow(axes, (4.45, 2.6), (4.45, 1.54))
arrow(axes, (5.93, 0.98), (5.64, 0.98))
words(axes, 1.45, 0.72, "Chapter 1 starts with these two.\nThe rest of the book is on the right.", size=11)
save(axes, __file__)
