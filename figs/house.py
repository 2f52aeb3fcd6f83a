"""The package as a house: rooms with their modules, and who imports from whom, read from the imports (CONTRIBUTING)."""

import ast
from collections import Counter
from pathlib import Path

from _draw import QUIET, TINTS, box, canvas, save, words

ROOMS = ["errors", "ranking", "data", "learning", "models", "evaluation", "simulation", "scale", "serving", "notebook"]
COLORS = ["grey", "olive", "green", "orange", "blue", "purple", "olive", "grey", "orange", "green"]
SOURCE = Path(__file__).resolve().parents[1] / "src" / "course_utils"


def room(name: str) -> str:
    """The room of a dotted module name."""
    return name.split(".")[1] if name.count(".") else ""


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, dotted."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("course_utils"):
            inside = [f"{node.module}.{each.name}" for each in node.names]
            places = [SOURCE.joinpath(*name.split(".")[1:]) for name in inside]
            known = [place.is_dir() or place.with_suffix(".py").exists() for place in places]
            found |= {name if ok else node.module for name, ok in zip(inside, known, strict=True)}
    return found


modules = {name: [] for name in ROOMS}
counts = Counter()
for path in sorted(SOURCE.rglob("*.py")):
    here = path.relative_to(SOURCE).with_suffix("").parts
    if here[0] not in modules:
        continue  # the front door
    if len(here) > 1 and not here[1].startswith("__"):
        modules[here[0]].append(here[1])
    counts.update((here[0], room(name)) for name in imported(path) if room(name) != here[0])

wide, left = 1.33, 1.25
high = 0.46 + 0.212 * max(map(len, modules.values()))  # a room holds its longest list
axes = canvas(left + wide * len(ROOMS) + 0.1, 3.86 + high)
for place, (name, tint) in enumerate(zip(ROOMS, COLORS, strict=True)):
    x = left + place * wide
    box(axes, x, 3.76, wide - 0.1, high, "", tint=tint)
    words(axes, x + wide / 2 - 0.05, 3.54 + high, name, weight="bold", size=11)
    for row, module in enumerate(modules[name] or ["(one file)"]):
        style = {"size": 7.2, "color": QUIET if not modules[name] else "#1F2933"}
        words(axes, x + wide / 2 - 0.05, 3.24 + high - 0.212 * row, module.replace("_", " "), **style)
words(axes, left + wide * len(ROOMS) / 2, 3.49, "How many imports a room (row) takes from a room (column)", size=11)
for row, name in enumerate(ROOMS):
    y = 3.11 - 0.31 * row
    words(axes, left - 0.08, y, name, size=10, ha="right")
    for place, other in enumerate(ROOMS):
        if counts[name, other]:
            fill, _ = TINTS[COLORS[place]]
            words(axes, left + place * wide + wide / 2 - 0.05, y, str(counts[name, other]), size=10,
                  bbox={"facecolor": fill, "edgecolor": "none", "boxstyle": "round,pad=0.25"})  # fmt: skip
        elif name == other:
            words(axes, left + place * wide + wide / 2 - 0.05, y, "·", size=12, color=QUIET)
save(axes, __file__)
