"""What every experiment shares: set-up, the data, the seeds, and how a table is written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import course_utils
from course_utils.data import MovieLens, load_movielens

RESULTS = Path(__file__).resolve().parents[1] / "results"
SEEDS = (0, 1, 2)


def movielens() -> MovieLens:
    """MovieLens-100K after the book's set-up: float64, one thread, so that each run gives the same digits."""
    course_utils.setup(threads=1)
    return load_movielens()


def write(
    name: str, table: pd.DataFrame, *, keys: list[str], keep_others: bool = False, digits: int = 6
) -> None:
    """Write results/NAME.csv.

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
    table.to_csv(path, index=False, float_format=f"%.{digits}f", lineterminator="\n")
    print(f"{path.relative_to(RESULTS.parent)}: {len(table)} rows")
