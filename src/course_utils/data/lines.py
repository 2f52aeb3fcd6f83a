"""Amazon's ratings, and Criteo's clicks (Kaggle Display Advertising Challenge, 2014), from files that a reader has.

A chunk is read at a time, each line checked, a wrong one named by its number. The chunks of ``pandas.read_csv`` alone
will not do: it fills a line that is too short with missing values, and wraps a number beyond 2^63, both without a word.
To cite Amazon's: McAuley, Targett, Shi and van den Hengel, SIGIR 2015; He and McAuley, WWW 2016.
"""

import csv
import gzip
import io
import itertools
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from course_utils.data import files
from course_utils.errors import DataError, check_counts

Tables = Iterator[tuple[int, pd.DataFrame]]  # each with the number of its first line
CHUNK = 200_000  # lines parsed at a time
LONGEST_LINE = 1_000_000  # bytes; those of the data sets have a few hundred
_AMAZON = {"user_id": str, "item_id": str, "rating": "float64", "timestamp": "int64"}
_INTEGERS = [f"I{i}" for i in range(1, 14)]
_CATEGORIES = [f"C{i}" for i in range(1, 27)]
_CRITEO = {"label": "int64"} | dict.fromkeys(_INTEGERS, "Int64") | dict.fromkeys(_CATEGORIES, str)


def load_amazon_movies(path: str | os.PathLike | None = None) -> pd.DataFrame:
    """Star ratings in UCSD's layout, lines of ``user,item,rating,unix time``, plain or gzip; taught in chapter 5.

    Columns ``user_id item_id`` (text), ``rating`` (1 to 5, float), ``timestamp`` (seconds since 1970, int), in file
    order. A DataError names a malformed line, from 1. ``path``: the file, its folder, or ``amazon-movies/`` below
    ``COURSE_DATA_DIR``.
    """
    file, parts = files.find_file("amazon-movies", path), []
    for first, part in _tables(file, ",", _AMAZON, CHUNK):
        _refuse_lines(part["user_id"].isna() | part["item_id"].isna(), file, first, "a user and an item")
        _refuse_lines(~part["rating"].between(1, 5), file, first, "a rating from 1 to 5")
        parts.append(part)
    if not parts:
        raise DataError(f"{file}: empty, expected lines of user,item,rating,time")
    return pd.concat(parts, ignore_index=True)


def iter_criteo(path: str | os.PathLike | None = None, *, chunk_rows: int = 100_000) -> Iterator[pd.DataFrame]:
    """Stream ``train.txt``, plain or gzip, in tables of ``chunk_rows`` (the last may be shorter); taught in chapter 8.

    ``path`` is the file or the folder that holds it, by default ``criteo-kaggle/`` below ``COURSE_DATA_DIR``. Columns
    ``label`` (0 or 1), ``I1 .. I13`` (``Int64``; counts, may be negative or missing), ``C1 .. C26`` (text of 8 hex
    digits, may be missing). The index goes on from chunk to chunk: line number - 1. A DataError comes at once when
    there is no file, while reading for a malformed line, named by its 1-based number.
    """
    check_counts(chunk_rows=chunk_rows)
    return _chunks(files.find_file("criteo-kaggle", path), chunk_rows)


def load_criteo(path: str | os.PathLike | None = None, *, rows: int | None = None) -> pd.DataFrame:
    """The first ``rows`` of ``train.txt``, or all 45.8 million, as one table like those of :func:`iter_criteo`."""
    check_counts(rows=1 if rows is None else rows)
    file = files.find_file("criteo-kaggle", path)
    if not (chunks := list(_chunks(file, CHUNK, limit=rows))):
        raise DataError(f"{file}: empty, expected tab-separated lines")
    return pd.concat(chunks)


def _chunks(file: Path, rows: int, limit: int | None = None) -> Iterator[pd.DataFrame]:
    for first, chunk in _tables(file, "\t", _CRITEO, rows, limit):
        chunk.index = pd.RangeIndex(first - 1, first - 1 + len(chunk))
        _refuse_lines(~chunk["label"].isin([0, 1]), file, first, "a label of 0 or 1")
        for column in _CATEGORIES:
            codes = pd.Series(chunk[column].dropna().unique(), dtype=str)  # far fewer than rows
            wrong = codes[~codes.str.fullmatch("[0-9a-f]{8}")]
            _refuse_lines(chunk[column].isin(wrong), file, first, f"8 hex digits or nothing in {column}")
        yield chunk


def _tables(file: Path, sep: str, kinds: dict, rows: int, limit: int | None = None) -> Tables:
    """Read a file, plain or gzip, in tables of ``rows`` lines; each comes with the number of its first line, from 1.

    There is no quoting, and an empty field is missing; a damaged file or line is a DataError. ``kinds`` maps each
    field's name to ``str``, ``"float64"``, ``"int64"``, or ``"Int64"`` where one may be missing.
    """
    first = 1
    with _opened(file) as opened:
        source = itertools.islice(iter(partial(opened.readline, LONGEST_LINE), b""), limit)
        while True:
            try:
                lines = list(itertools.islice(source, rows))
            except (EOFError, zlib.error, OSError) as error:
                raise DataError(f"{file}: truncated or damaged after line {first - 1} ({error})") from error
            if not lines:
                return
            _check_fields(lines, file, first, sep, len(kinds))
            yield first, _parse(b"".join(lines), file, first, sep, kinds)
            first += len(lines)


def _refuse_lines(wrong: pd.Series, file: Path, first: int, expected: str, values: pd.Series | None = None) -> None:
    """Raise with the line number of the first row that is wrong, if any is; the table began in line ``first``."""
    if wrong.any():
        row = int(wrong.to_numpy(dtype=bool).argmax())
        got = "" if values is None else f", got {values.iloc[row]!r}"
        raise DataError(f"{file}: line {first + row}: expected {expected}{got}")


def _opened(file: Path) -> BinaryIO:
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        opened = gzip.open(file) if packed else file.open("rb")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise DataError(f"{file}: {error.strerror or error}") from error
    head = b""
    with suppress(EOFError, zlib.error, OSError):  # `_tables` will say it, with the line
        head = opened.peek(512)
    if head.startswith(b"PK\x03\x04") or head[257:262] == b"ustar":
        opened.close()
        raise DataError(f"{file}: a zip or tar archive; unpack it, and give the text file inside")
    return opened


def _check_fields(lines: list[bytes], file: Path, first: int, sep: str, n_fields: int) -> None:
    separator = sep.encode()
    for number, line in enumerate(lines, first):
        if len(line) == LONGEST_LINE:
            raise DataError(f"{file}: line {number}: no end within {LONGEST_LINE:,} bytes")
        if (found := 1 + line.count(separator)) != n_fields:
            text = line[:80].decode("utf-8", "replace").rstrip("\r\n")
            raise DataError(f"{file}: line {number}: {found} field(s), expected {n_fields}: {text!r}")


def _parse(block: bytes, file: Path, first: int, sep: str, kinds: dict) -> pd.DataFrame:
    options = {"sep": sep, "names": list(kinds), "index_col": False, "quoting": csv.QUOTE_NONE}
    options |= {"keep_default_na": False, "na_values": [""]}
    # Whole numbers too are read as floats, which are exact below 10^15: pandas' integers wrap around beyond 2^63.
    floats = {column: "float64" for column, kind in kinds.items() if kind is not str}
    whole = {column: kind for column, kind in kinds.items() if kind in ("int64", "Int64")}
    with suppress(ValueError):
        table = pd.read_csv(io.BytesIO(block), dtype=kinds | floats, **options)
        numbers = np.nan_to_num(table[list(whole)].to_numpy())
        if (numbers % 1 == 0).all() and (np.abs(numbers) < 10**15).all():
            return table.astype(whole)
    # Something is wrong: look at each field as text.
    text = pd.read_csv(io.BytesIO(block), dtype=str, encoding_errors="replace", **options)
    for column in floats:
        what, pattern = ("an integer", r"-?\d{1,15}") if column in whole else ("a number", r"-?\d+(\.\d*)?")
        wrong = ~text[column].str.fullmatch(pattern, na=kinds[column] == "Int64")
        _refuse_lines(wrong, file, first, f"{what} in {column}", text[column])
    raise DataError(f"{file}: lines {first} to {first + len(text) - 1} are no UTF-8 text and numbers")
