"""How a reader's table is written: separator, encoding, kinds of ids, the unit of time; found out, not assumed."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd

from course_utils.errors import DataError

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", r"\N"]
_UNITS = {"s": (1, 1e11), "ms": (10**3, 1e14), "us": (10**6, 1e17), "ns": (10**9, np.inf)}  # a second; median below
_1980 = 315_532_800  # in seconds
_DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y")
_DATES = ("ISO8601", *(day + hour for day in _DAYS for hour in ("", " %H:%M", " %H:%M:%S")))


def read(file: Path, by_place: bool, notes: list[str]) -> pd.DataFrame:
    """The file's columns as text, or with their types from parquet."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: {error.strerror or error}") from error
    if content[:4] == b"PAR1":
        notes.append("parquet")
        return pd.read_parquet(io.BytesIO(content))
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise DataError(f"{file}: truncated or damaged ({error})") from error
    encoding = "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp1252"
        text = content.decode(encoding, "replace")
    lines = text.splitlines()
    if not any(lines) or "\0" in text[:1000]:
        raise DataError(f"{file}: {'empty' if not any(lines) else 'no text'}, expected a table")
    sep = _separator(lines[:200])
    used, text = ("\t", text.replace("::", "\t")) if sep == "::" else (sep, text)
    widths = [len(row) for row in csv.reader(text.splitlines()[:5000], delimiter=used) if row]
    if min(widths) != max(widths):
        first = next(n for n, width in enumerate(widths, 1) if width != widths[0])
        raise DataError(
            f"{file}: line {first} has {widths[first - 1]} field(s), line 1 has {widths[0]}. One basket a line? Make "
            "a DataFrame with a row for each product first: "
            f"pd.DataFrame([(n, x) for n, line in enumerate(open(file)) for x in line.strip().split({sep!r})])"
        )
    notes.append(f"separator {sep!r}, {encoding.removesuffix('-sig').upper()}, {'no ' if by_place else ''}header")
    options = {"header": None if by_place else 0, "dtype": str, "keep_default_na": False, "na_values": MISSING}
    table = pd.read_csv(io.StringIO(text), sep=used, **options)
    if by_place and _has_header(table.head(200)):
        header = ", ".join(map(repr, table.iloc[0]))
        raise DataError(f"{file.name}: row 1 is a header, {header}: give these names in place of numbers")
    return table


def _has_header(table: pd.DataFrame) -> bool:
    """Whether no cell of the first row is a number, though a column below it has nothing else."""
    are_numbers = table.apply(pd.to_numeric, errors="coerce").notna()
    below = are_numbers[1:]
    return len(below) > 0 and not are_numbers.iloc[0].any() and bool(below.all().any())


def _separator(lines: list[str]) -> str:
    """Of the usual separators the one that cuts every line, into most fields."""
    found = {sep: min(line.count(sep) for line in lines if line) for sep in ("::", "\t", ",", ";", "|")}
    best = max(found, key=lambda sep: found[sep] * (1.5 if sep in ("::", "\t") else 1))
    return best if found[best] else ","


def ids(values: pd.Series) -> pd.Series:
    """Whole numbers where all are, with nothing in front that a number would lose; else text."""
    if pd.api.types.is_integer_dtype(values) or (pd.api.types.is_float_dtype(values) and (values % 1 == 0).all()):
        return values.astype("int64")
    text = values.astype(str).str.strip()
    return text.astype("int64") if text.str.fullmatch(r"0|-?[1-9]\d{0,17}").all() else text


def numbers(values: pd.Series, name: str, column: str) -> pd.Series:
    """Numbers, as ``float64``."""
    if (numbers := pd.to_numeric(values, errors="coerce")).isna().any():
        row = int(numbers.isna().to_numpy().argmax())
        with_point = pd.to_numeric(str(values.iloc[row]).replace(",", "."), errors="coerce")
        way = "" if np.isnan(with_point) else f' with a point, {with_point}: pd.read_csv(file, decimal=",") reads it'
        raise DataError(f"{name}: row {row + 1} has {values.iloc[row]!r} as {column}, expected a number{way}")
    return numbers.astype("float64")


def seconds(values: pd.Series, name: str, notes: list[str]) -> pd.Series:
    """Whole seconds since 1970, rounded down, from numbers of a unit that their size tells, or from dates."""
    if not pd.api.types.is_datetime64_any_dtype(values):
        if not (numbers := pd.to_numeric(values, errors="coerce")).isna().any():
            middle = numbers.abs().median()
            unit, per_second = next((unit, size) for unit, (size, limit) in _UNITS.items() if middle < limit)
            early = ", all before 1980: is it the column of times?" if numbers.max() < _1980 * per_second else ""
            notes.append(f"times in {unit} since 1970{early}")
            whole = numbers if pd.api.types.is_integer_dtype(numbers) else np.floor(numbers)
            return (whole // per_second).astype("int64")
        fits = [form for form in _DATES if pd.notna(pd.to_datetime(values.iloc[0], format=form, errors="coerce"))]
        tried = {form: pd.to_datetime(values, format=form, errors="coerce", utc=True) for form in fits or _DATES[:1]}
        read = {form: dates for form, dates in tried.items() if not dates.isna().any()}
        if not read:
            row = int(max(tried.values(), key=pd.Series.count).isna().to_numpy().argmax())
            way = "expected a number or a date; pd.to_datetime(table[column], format=...) makes dates of text"
            raise DataError(f"{name}: row {row + 1} has {values.iloc[row]!r} as timestamp, {way}")
        (form, dates), *others = read.items()
        if any(not dates.equals(other) for _, other in others):
            raise DataError(f"{name}: times such as {values.iloc[0]!r} read as {' and as '.join(read)}: convert them")
        notes.append(f"times as dates, {form}")
        values = dates
    whole = values if values.dt.tz is None else values.dt.tz_convert("UTC").dt.tz_localize(None)
    return (whole.astype("datetime64[ns]").astype("int64") // 10**9).astype("int64")
