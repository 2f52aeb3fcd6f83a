"""The checks that every table passes at the public door: a column that is there once, times, numbers; and places."""

import numpy as np
import pandas as pd

from course_utils.errors import InputError, refuse

_SECONDS = "whole seconds since 1970"
_YEAR_3000 = 32_503_680_000  # in seconds; milliseconds pass it in January 1971


def column(table: pd.DataFrame, name: str, argument: str) -> pd.Series:
    """A column that stands in a table, which errors call ``argument``, once; after ``concat`` it may twice."""
    refuse(not isinstance(table, pd.DataFrame), argument, type(table).__name__, "a DataFrame")
    if (found := int((table.columns == name).sum())) != 1:
        got = f"{found} columns {name!r}" if found else f"columns {list(table.columns)}"
        raise InputError(argument, got=got, expected=f"a column {name!r}")
    return table[name]


def numbers(values: pd.Series, name: str, expected: str = "finite numbers") -> np.ndarray:
    """A column as finite floats; dates, text and truth values are refused, not guessed at."""
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        raise InputError(name, got=f"a column of type {values.dtype}", expected=expected)
    floats = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if bad := int((~np.isfinite(floats)).sum()):
        raise InputError(name, got=f"{bad} missing or infinite value(s)", expected=expected)
    return floats


def times(values: pd.Series, name: str = "timestamp") -> np.ndarray:
    """A column of times, exact: ``int64`` seconds since 1970, before the year 3000; milliseconds are refused."""
    floats = numbers(values, name, _SECONDS)
    refuse((floats % 1 != 0).any(), name, "fractions of a second", _SECONDS)
    if len(far := floats[np.abs(floats) > _YEAR_3000]):
        got = f"{len(far)} time(s) such as {far[0]:.4g}, beyond the year 3000"
        raise InputError(name, got=got, expected=f"{_SECONDS} (milliseconds are to be divided by 1000)")
    return floats.astype(np.int64)  # exact: far below 2^53


def places(groups: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of each row among its group's rows sorted by key (ties by row), and the size of each group."""
    counts = np.bincount(groups)
    place = np.empty(len(groups), np.int64)
    place[np.lexsort((keys, groups))] = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)  # stable
    return place, counts
