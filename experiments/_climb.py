"""One search for every model: from a start to better neighbours on a grid, one parameter after the other."""

from __future__ import annotations

from collections.abc import Callable

Setting = dict[str, float]
Grids = dict[str, tuple[float, ...]]


def climb(grids: Grids, start: Setting, measure: Callable[[Setting], float]) -> tuple[Setting, list[dict]]:
    """The setting with the largest measure, inside every grid, and all that was tried, a row a setting.

    Args:
        grids: values of each parameter, ascending.
        start: the setting to start from, a value of each grid.
        measure: of a setting, larger is better; asked once for each.
    """
    known: dict[tuple, float] = {}

    def value(setting: Setting) -> float:
        key = tuple(setting[name] for name in grids)
        if key not in known:
            known[key] = measure(setting)
        return known[key]

    best, before = dict(start), None
    while best != before:
        before = dict(best)
        for name, grid in grids.items():
            while True:
                place = grid.index(best[name])
                tried = [best | {name: near} for near in grid[max(place - 1, 0) : place + 2]]
                top = max(tried, key=value)
                if value(top) <= value(best):
                    break
                best = top
    edges = [name for name, grid in grids.items() if best[name] in (grid[0], grid[-1])]
    assert not edges, f"{best} is at the edge of {edges}: a wider grid"
    return best, [dict(zip(grids, key, strict=True), validation=found) for key, found in known.items()]
