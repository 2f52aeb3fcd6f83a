"""Tables as pages and slides show them: one row of heads, measures by name, the best value marked."""

from __future__ import annotations

import re

from bs4 import Tag

RISES = re.compile(r"(?i)\b(ndcg|map|recall|precision|hit rate|mrr|auc)(@\d+)?$")  # measures of which more is better
MODELS = re.compile(r"(?i)(model|method|network|recommender)s?\b")
FALLS = re.compile(r"(?i)\b(rmse|mae|log loss)$")
NAMES = {name.lower(): name for name in ("AUC", "Gini", "Holm", "MAE", "MAP", "MRR", "NDCG", "RMSE")} | {
    name.replace(" ", "_"): name
    for name in ("average precision", "capped recall", "hit rate", "p value", "reciprocal rank")
}
CODED = re.compile(rf"({'|'.join(NAMES)})(@\d+)?")  # a measure as the package writes it


def merge_head(table: Tag) -> None:
    """Put the names of the index, for which pandas has a row of their own, into the row above."""
    rows = table.thead.find_all("tr") if table.thead else []
    if len(rows) < 2:
        return
    above, below = rows[-2].find_all("th"), rows[-1].find_all("th")
    pairs = [(a.get_text(strip=True), b.get_text(strip=True)) for a, b in zip(above, below, strict=False)]
    clash = any(a and b for a, b in pairs[1:]) or any(int(cell.get("colspan", 1)) > 1 for cell in above)
    if len(above) != len(below) or clash:
        return
    for cell, (a, b) in zip(above, pairs, strict=True):
        cell.string = " \\ ".join(filter(None, (b, a)))
    rows[-1].decompose()


def name_measures(table: Tag) -> None:
    """Write measures among the heads as prose does: ``ndcg@10`` becomes NDCG@10, ``p_value`` p value."""
    for head in table.find_all("th"):
        parts = head.get_text(strip=True).split(" \\ ")
        found = [CODED.fullmatch(part) for part in parts]
        if any(found):
            named = (hit and NAMES[hit[1]] + (hit[2] or "") for hit in found)
            head.string = " \\ ".join(name or part for name, part in zip(named, parts, strict=True))


def mark_best(table: Tag) -> None:
    """Give the best value of a column whose measure has a good end the class ``best``, in a table of models."""
    rows = [row.find_all("td") for row in table.tbody.find_all("tr")] if table.tbody else []
    heads = [head.get_text(" ", strip=True) for head in table.select("thead tr:last-child th")] or [""]
    if not MODELS.match(heads[0]) or len({len(row) for row in rows}) > 1:
        return
    for head, column in zip(heads[-len(rows[0]) :], zip(*rows, strict=True), strict=False):
        sign = 1 if RISES.search(head) else -1 if FALLS.search(head) else 0
        found = [re.match(r"[\d.]+", cell.get_text(strip=True)) for cell in column]
        if sign and all(found):
            values = [sign * float(number[0]) for number in found]
            for cell, value in zip(column, values, strict=True):
                if value == max(values) and values.count(value) == 1:
                    cell["class"] = "best"
