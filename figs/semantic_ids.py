"""How a generative recommender works: films become tokens, a decoder writes tokens, a trie lets films through."""

from _draw import INK, QUIET, TINTS, arrow, box, canvas, save, words

axes = canvas(8.4, 4.3)
SIZE, GAP = 0.44, 0.06
HISTORY = {"film 1": (3, 1), "film 2": (3, 0), "film 3": (1, 2)}
TREE = {1: (0, 2), 3: (0, 1, 2)}  # first token: the second tokens of films
FIRST, SECOND = "blue", "orange"

words(axes, 0.2, 4.0, "A history", size=12, weight="bold", ha="left")
for row, (film, tokens) in enumerate(HISTORY.items()):
    floor = 2.85 - 0.85 * row
    words(axes, 0.2, floor + SIZE / 2, film, size=10, ha="left")
    for place, (token, tint) in enumerate(zip(tokens, (FIRST, SECOND), strict=True)):
        box(axes, 0.95 + place * (SIZE + GAP), floor, SIZE, SIZE, str(token), tint=tint, size=11)
words(axes, 0.2, 0.62, "each film is\ntwo tokens", size=9.5, ha="left", color=QUIET, linespacing=1.3)

arrow(axes, (2.05, 2.22), (2.6, 2.22))
box(axes, 2.65, 1.35, 1.45, 1.75, "decoder", "first token,\nthen the second\ngiven the first", tint="grey", size=12)
arrow(axes, (4.15, 2.22), (4.7, 2.22))

words(axes, 4.75, 4.0, "A trie of all films", size=12, weight="bold", ha="left")
root, low = (4.85, 2.22), 0.75
axes.plot(*root, "o", color=INK, markersize=7)
leaves = [(first, second) for first, seconds in TREE.items() for second in seconds]
for number, (first, second) in enumerate(reversed(leaves)):
    height = low + number * 0.72
    heights = [low + n * 0.72 for n, leaf in enumerate(reversed(leaves)) if leaf[0] == first]
    middle = sum(heights) / len(heights)
    chosen = (first, second) == (3, 2)
    axes.plot([root[0], 5.6], [root[1], middle], color=TINTS[FIRST][1], linewidth=3.2 if chosen else 1.2, zorder=0)
    axes.plot([5.6 + SIZE, 6.7], [middle, height], color=TINTS[SECOND][1], linewidth=3.2 if chosen else 1.2, zorder=0)
    box(axes, 5.6, middle - SIZE / 2, SIZE, SIZE, str(first), tint=FIRST, size=11)
    box(axes, 6.7, height - SIZE / 2, SIZE, SIZE, str(second), tint=SECOND, size=11)
    says = "the next film" if chosen else "a film"
    words(axes, 7.25, height, says, size=10, ha="left", weight="bold" if chosen else "normal")
words(axes, 5.6, 0.25, "1 then 1 is no film: the way is shut", size=9.5, ha="left", color=QUIET)
save(axes, __file__)
