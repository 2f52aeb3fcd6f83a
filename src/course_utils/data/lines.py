"""Long text files of separated fields: a chunk at a time, each line checked, a wrong one named by its number.

The chunks of ``pandas.read_csv`` alone will not do: it fills a line that is too short with missing values, and
wraps a number beyond 2^63, both without a word.
"""

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from course_utils.errors import DataError

Tables = Iterator[tuple[int, pd.DataFrame]]  # each with the number of its first line
CHUNK = 200_000  # lines parsed at a time
LONGEST_LINE = 1_000_000  # bytes; those of the data sets have a few hundred


def tables(file: Path, sep: str, kinds: dict, rows: int, limit: int | None = None) -> Tables:
    """Read a file, plain or gzip, in tables of ``rows`` lines; each comes with the number of its first line, from 1.

    There is no quoting, and an empty field is missing; a damaged file or line is a DataError. ``kinds`` maps each
    field's name to ``str``, ``"float64"``, ``"int64"``, or ``"Int64"`` where one may be missing.
    """
    with _opened(file) as opened:
        yield from parsed(opened, str(file), sep, kinds, rows, limit)


def parsed(opened: BinaryIO, name: str, sep: str, kinds: dict, rows: int, limit: int | None = None) -> Tables:
    """The same from an open file, which errors call ``name``."""
    source = itertools.islice(iter(partial(opened.readline, LONGEST_LINE), b""), limit)
    first = 1
    while True:
        try:
            lines = list(itertools.islice(source, rows))
        except (EOFError, zlib.error, OSError) as error:
            raise DataError(f"{name}: truncated or damaged after line {first - 1} ({error})") from error
        if not lines:
            return
        _check_fields(lines, name, first, sep, len(kinds))
        yield first, _parse(b"".join(lines), name, first, sep, kinds)
        first += len(lines)


def refuse_lines(wrong: pd.Series, name: object, first: int, expected: str, values: pd.Series | None = None) -> None:
    """Raise with the line number of the first row that is wrong, if any is; the table began in line ``first``."""
    if wrong.any():
        row = int(wrong.to_numpy(dtype=bool).argmax())
        got = "" if values is None else f", got {values.iloc[row]!r}"
        raise DataError(f"{name}: line {first + row}: expected {expected}{got}")


def _opened(file: Path) -> BinaryIO:
    try:
        with file.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        opened = gzip.open(file) if packed else file.open("rb")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise DataError(f"{file}: {error.strerror or error}") from error
    head = b""
    with suppress(EOFError, zlib.error, OSError):  # `parsed` will say it, with the line
        head = opened.peek(512)
    if head.startswith(b"PK\x03\x04") or head[257:262] == b"ustar":
        opened.close()
        raise DataError(f"{file}: a zip or tar archive; unpack it, and give the text file inside")
    return opened


def _check_fields(lines: list[bytes], name: str, first: int, sep: str, n_fields: int) -> None:
    separator = sep.encode()
    for number, line in enumerate(lines, first):
        if len(line) == LONGEST_LINE:
            raise DataError(f"{name}: line {number}: no end within {LONGEST_LINE:,} bytes")
        if (found := 1 + line.count(separator)) != n_fields:
            text = line[:80].decode("utf-8", "replace").rstrip("\r\n")
            raise DataError(f"{name}: line {number}: {found} field(s), expected {n_fields}: {text!r}")


def _parse(block: bytes, name: str, first: int, sep: str, kinds: dict) -> pd.DataFrame:
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
        refuse_lines(wrong, name, first, f"{what} in {column}", text[column])
    raise DataError(f"{name}: lines {first} to {first + len(text) - 1} are no UTF-8 text and numbers")
