"""Tables and signs as pages and slides show them: heads, measures by name, the best value marked, commas, minus."""

from __future__ import annotations

import re
from html import escape

from bs4 import BeautifulSoup, NavigableString, Tag

RISES = re.compile(r"(?i)\b(ndcg|map|recall|precision|hit rate|mrr|auc)(@\d+)?$")  # measures of which more is better
MODELS = re.compile(r"(?i)(model|method|network|recommender)s?\b")
FALLS = re.compile(r"(?i)\b(rmse|mae|log loss)$")
NAMES = {name.lower(): name for name in ("AUC", "Gini", "Holm", "MAE", "MAP", "MRR", "NDCG", "RMSE")} | {
    name.replace(" ", "_"): name
    for name in ("average precision", "capped recall", "hit rate", "log loss", "p value", "reciprocal rank")
}
CODED = re.compile(rf"({'|'.join(NAMES)})(@\d+)?")  # a measure as the package writes it
NO_AMOUNT = re.compile(r"(?i)(^|[_ ])(id|year|date|time(stamp)?|code|seed)$")  # heads over numbers that are names
HYPHEN = re.compile(r"(?<![\w.,)\]–−-])-(?=\.?\d)")  # where a minus belongs
APART = re.compile(r"(?<=\d) (?=%)")
VERBATIM = ("code", "pre", "script", "style")
COMPOUND = re.compile(r"\b[A-Za-z]{2,12}(-[A-Za-z]{2,9})+\b")
MATHS = re.compile(r"(\$\$.*?\$\$|\$[^$]+\$)", re.DOTALL)


def signs(text: str) -> str:
    """Text with a minus before its negative numbers, and per cent on the line of its number."""
    return APART.sub("\N{NO-BREAK SPACE}", HYPHEN.sub("\N{MINUS SIGN}", text))


def set_signs(soup: Tag) -> None:
    """Set the :func:`signs` of all words of some HTML, and hold compounds together; code and maths stay as they are."""
    for string in soup.find_all(string=True):
        if type(string) is NavigableString and not string.find_parent(VERBATIM):
            parts = MATHS.split(string)
            held = [COMPOUND.sub(r'<span class="held">\g<0></span>', signs(escape(part))) for part in parts[::2]]
            parts[::2], parts[1::2] = held, map(escape, parts[1::2])
            string.replace_with(BeautifulSoup("".join(parts), "html.parser"))


def text_of(tag: Tag) -> str:
    """The text of an element, with single spaces."""
    return " ".join(tag.get_text().split())


def dress(table: Tag) -> None:
    """Make of a table of pandas one of the book."""
    merge_head(table)
    name_measures(table)
    mark_best(table)
    group_thousands(table)


def merge_head(table: Tag) -> None:
    """Put the names of the index, for which pandas has a row of their own, into the row above."""
    rows = table.thead.find_all("tr") if table.thead else []
    if len(rows) < 2:
        return
    above, below = rows[-2].find_all("th"), rows[-1].find_all("th")
    pairs = [(text_of(a), text_of(b)) for a, b in zip(above, below, strict=False)]
    clash = any(a and b for a, b in pairs[1:]) or any(int(cell.get("colspan", 1)) > 1 for cell in above)
    if len(above) != len(below) or clash:
        return
    for cell, (a, b) in zip(above, pairs, strict=True):
        cell.string = " \\ ".join(filter(None, (b, a)))
    rows[-1].decompose()


def name_measures(table: Tag) -> None:
    """Write measures and models as prose does: ``ndcg@10`` becomes NDCG@10, ``p_value`` p value, ``ease`` EASE."""
    for head in table.find_all("th"):
        if re.match(r"ease\b", text := text_of(head)):
            head.string = f"EASE{text[4:]}"
        parts = text_of(head).split(" \\ ")
        found = [CODED.fullmatch(part) for part in parts]
        if any(found):
            named = (hit and NAMES[hit[1]] + (hit[2] or "") for hit in found)
            head.string = " \\ ".join(name or part for name, part in zip(named, parts, strict=True))


def columns(table: Tag) -> list[tuple[str, tuple[Tag, ...]]]:
    """The columns of a table's body, each with its head."""
    rows = [row.find_all("td") for row in table.tbody.find_all("tr")] if table.tbody else []
    heads = [head.get_text(" ", strip=True) for head in table.select("thead tr:last-child th")]
    wide = len(rows[0]) if rows else 0
    return list(zip(heads[-wide:], zip(*rows, strict=False), strict=False)) if wide else []


def group_thousands(table: Tag) -> None:
    """Write 12,345 for 12345 where a whole number is an amount."""
    for head, column in columns(table):
        for cell in column:
            if not NO_AMOUNT.search(head) and re.fullmatch(r"-?\d{4,}", number := cell.get_text(strip=True)):
                cell.string = f"{int(number):,}"


def mark_best(table: Tag) -> None:
    """Give the best value of a column whose measure has a good end the class ``best``, in a table of models."""
    corner = table.select_one("thead tr:last-child th")
    if not corner or not MODELS.match(corner.get_text(strip=True)):
        return
    for head, column in columns(table):
        sign = 1 if RISES.search(head) else -1 if FALLS.search(head) else 0
        found = [re.match(r"[\d.]+", cell.get_text(strip=True)) for cell in column]
        if sign and all(found):
            values = [sign * float(number[0]) for number in found]
            for cell, value in zip(column, values, strict=True):
                if value == max(values) and values.count(value) == 1:
                    cell["class"] = "best"
