"""The boxes of DLRM from left to right, all in colour or one part alone (chapter 7)."""

from _draw import INK, QUIET, box, canvas, save, words

ROWS = (  # y of the box, what it is, its kind, its table and its vector
    (2.42, "user", "one code", r"$\mathbf{W}_1$", r"$\mathbf{e}_1$"),
    (1.42, "film", "one code", r"$\mathbf{W}_2$", r"$\mathbf{e}_2$"),
    (0.42, "genres", "a bag of codes", r"$\mathbf{W}_3$", r"$\mathbf{e}_3$"),
)


def draw(script: str, lit: str | None = None) -> None:
    """The whole picture; with ``lit`` all parts but one are outlines."""
    axes = canvas(10.6, 4.75)

    def part(name: str, *where: object, **style: object) -> None:
        box(axes, *where, **style, faint=lit not in (None, name))

    def link(name: str, start: tuple, end: tuple, bend: float = 0.0) -> None:
        ink = INK if lit in (None, name) else "#9AA5B1"
        style = {"arrowstyle": "-|>", "color": ink, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", end, start, arrowprops={**style, "connectionstyle": f"arc3,rad={bend}"})

    top = 3.62
    part("dense", 0.1, top, 1.5, 0.8, "age, count", "dense features", tint="grey", size=12)
    link("dense", (1.64, top + 0.4), (2.06, top + 0.4))
    part("dense", 2.1, top, 2.9, 0.8, "bottom MLP", "linear, ReLU, linear, ReLU", tint="orange", size=12)
    link("dense", (5.04, top + 0.4), (5.46, top + 0.4))
    part("dense", 5.5, top + 0.08, 0.72, 0.64, r"$\mathbf{d}$", tint="orange", size=15)
    for y, name, kind, table, vector in ROWS:
        part("embeddings", 0.1, y, 1.5, 0.76, name, kind, tint="grey", size=12)
        link("embeddings", (1.64, y + 0.38), (2.06, y + 0.38))
        part("embeddings", 2.1, y, 1.28, 0.76, f"table {table}", "sum of rows", tint="blue", size=12)
        link("embeddings", (3.42, y + 0.38), (3.86, y + 0.38))
        part("sparse_mlps", 3.9, y + 0.08, 1.1, 0.6, "MLP", "(optional)", tint="olive", size=11)
        link("sparse_mlps", (5.04, y + 0.38), (5.46, y + 0.38))
        part("embeddings", 5.5, y + 0.06, 0.72, 0.64, vector, tint="blue", size=15)
    for y in (top + 0.4, *(row[0] + 0.38 for row in ROWS)):
        link("interaction", (6.26, y), (6.76, 2.16 + (y - 2.16) * 0.36))
    part("interaction", 6.8, 1.4, 1.35, 1.52, "dot", "products of\nall pairs", tint="purple", size=13)
    link("interaction", (8.19, 2.16), (8.6, 2.16))
    link("top", (6.26, top + 0.5), (8.92, 2.62), bend=-0.35)
    part("top", 8.64, 1.78, 0.7, 0.8, r"$\mathbf{z}$", tint="green", size=15)
    link("top", (8.99, 1.74), (8.99, 1.32))
    part("top", 8.44, 0.5, 1.1, 0.78, "top MLP", "to 1 logit", tint="green", size=12)
    link("top", (9.58, 0.89), (9.84, 0.89))
    part("top", 9.86, 0.5, 0.66, 0.78, r"$\sigma$", "click?", tint="green", size=13)
    quiet = INK if lit in (None, "top") else QUIET
    words(axes, 9.98, 2.18, "$\\mathbf{d}$, then\nall dots", size=10, color=quiet)
    save(axes, script)
