"""What every experiment shares: set-up, the data, the seeds, how a table is written, and the record of what made it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

import course_utils
from course_utils.data import MovieLens, load_movielens

HERE = Path(__file__).resolve().parent
COMMITTED = HERE.parent / "results"
RESULTS = Path(os.environ.get("COURSE_RESULTS") or COMMITTED)  # elsewhere, when a run is only to be compared
SEEDS = (0, 1, 2)


def movielens() -> MovieLens:
    """MovieLens-100K after the book's set-up: float64, one thread, so that each run gives the same digits."""
    course_utils.setup(threads=1)
    return load_movielens()


def write(name: str, table: pd.DataFrame, *, keys: list[str], keep_others: bool = False, digits: int = 6) -> None:
    """Write results/NAME.csv, and into results/records.json what made it.

    Args:
        name: file name without its ending.
        table: the rows.
        keys: the columns that identify a row.
        keep_others: keep rows of the old table whose first key does not occur in the new one; what is new takes
            the place of the old.
        digits: decimals of the numbers.
    """
    path = RESULTS / f"{name}.csv"
    if keep_others and path.exists():
        old = pd.read_csv(path)
        places = {key: place for place, key in enumerate(dict.fromkeys([*old[keys[0]], *table[keys[0]]]))}
        table = pd.concat([old[~old[keys[0]].isin(table[keys[0]])], table])
        table = table.sort_values(keys[0], key=lambda column: column.map(places), kind="stable")
    assert not table.duplicated(keys).any()
    path.parent.mkdir(exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else None
    table.to_csv(path, index=False, float_format=f"%.{digits}f", lineterminator="\n")
    if before is not None and not list(changes(before, path.read_text(encoding="utf-8"))):
        path.write_text(before, encoding="utf-8")  # the last digit is the machine's
    print(f"{path.relative_to(RESULTS.parent)}: {len(table)} rows")
    record(path, Path(sys.modules["__main__"].__file__))


def changes(before: str, now: str) -> Iterator[str]:
    """Rows that differ between two tables, as text: in a word, an integer, or a decimal by more than a unit."""
    old, new = before.splitlines(), now.splitlines()
    if len(old) != len(new):
        yield f"{len(old) - 1} rows, now {len(new) - 1}"
        return
    for number, (first, second) in enumerate(zip(old, new, strict=True)):
        pairs = list(zip(first.split(","), second.split(","), strict=False))
        if first.count(",") != second.count(",") or not all(_same(*pair) for pair in pairs):
            yield f"row {number}: {first}, now {second}"


def _same(before: str, now: str) -> bool:
    if before == now:
        return True
    try:
        gap = abs(float(before) - float(now))
    except ValueError:
        return False
    decimals = min(len(text.partition(".")[2]) for text in (before, now))
    return "." in before and "." in now and gap <= 1.5 * 10.0**-decimals + 1e-9 * abs(float(now))


def record(table: Path, script: Path) -> None:
    """Note in records.json the bytes of a table, and the code of the script that made it."""
    path = table.parent / "records.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[table.name] = {"table": _hash(table.read_bytes()), "script": script.stem, "code": fingerprint(script)}
    path.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")


def fingerprint(script: Path) -> str:
    """A hash of what a script does: its code, and that of helpers beside it, without comments, docstrings, imports."""
    words = script.read_text(encoding="utf-8")
    tree = ast.parse(words)
    helpers = [path for path in sorted(script.parent.glob("_[a-z]*.py")) if path.stem != "_tables"]
    used = "".join(fingerprint(path) for path in helpers if path != script and path.stem in words)
    tree.body = [line for line in tree.body if not isinstance(line, ast.Import | ast.ImportFrom)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return _hash((ast.unparse(tree) + used).encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


if __name__ == "__main__":  # for a table that a benchmark makes: _tables.py TABLE SCRIPT
    record(*map(Path, sys.argv[1:]))
