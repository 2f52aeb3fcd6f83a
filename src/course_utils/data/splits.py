"""Ways to split a table of ratings into a training and a test part; taught in chapter 3.

Every split takes a table with the columns ``user_id item_id rating timestamp`` and returns whole rows of it.
Rows keep their index labels, so ``train.index`` and ``test.index`` tell where each row came from.
Rows keep the order of the table too; only :func:`movielens_fold` sorts, as GroupLens' files are sorted.

Random splits depend on the order of the rows and on ``seed``, and on nothing else.
Times are whole seconds since 1970 or dates; text is refused, for it would sort as text ("9" after "11").
Splits by time break ties by the order of the table: of two ratings of one second, the lower row is the later one.

How many rows go to the test part: ``test_size`` times the number of rows, rounded to the nearest whole number,
halves up, and at least one row stays in training. A split by user applies this to each user's rows. With
``test_size=0.2`` a user with one or two rows therefore has no test row.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from course_utils.data.columns import column, times
from course_utils.errors import DataError, InputError, check_counts

Split = tuple[pd.DataFrame, pd.DataFrame]

_MOVIELENS_ROWS = 100_000
_MOVIELENS_ORDER = 0x28FC11D7  # CRC-32 of the (user, item) pairs of GroupLens' u.data, in file order
_MOVIELENS_FOLDS = ("u1", "u2", "u3", "u4", "u5", "ua", "ub")


def random_split(
    ratings: pd.DataFrame,
    test_size: float = 0.2,
    *,
    by_user: bool = True,
    seed: int | np.random.Generator = 0,
) -> Split:
    """Put random rows aside: the book's protocol for top-N lists, with seeds 0, 1 and 2.

    The split leaks the future: a test row may be older than the training rows (chapter 3).

    Args:
        ratings: the table to split, at least one row.
        test_size: share of rows to test, above 0 and below 1.
        by_user: split the rows of each user apart; otherwise split all rows at once.
        seed: seed of the random numbers, or a generator.

    Returns:
        ``(train, test)``, disjoint and together the whole table.

    Raises:
        InputError: the table is empty, has no ``user_id``, or ``test_size`` is out of range.
    """
    _check(ratings, "user_id", test_size=test_size)
    keys = np.random.default_rng(seed).random(len(ratings))
    users = _user_codes(ratings) if by_user else np.zeros(len(ratings), np.int64)
    return _last_to_test(ratings, users, keys, test_size)


def k_fold(
    ratings: pd.DataFrame, n_splits: int = 5, *, seed: int | np.random.Generator = 0
) -> Iterator[Split]:
    """Cut all rows at random into folds, each the test part once: the book's protocol for ratings.

    Args:
        ratings: the table to split, at least ``n_splits`` rows.
        n_splits: number of folds, at least 2; their sizes differ by one row at most.
        seed: seed of the random numbers, or a generator.

    Returns:
        Iterator of ``(train, test)``; the test parts are disjoint and together the whole table.

    Raises:
        InputError: the table is empty, or ``n_splits`` is below 2 or above the number of rows.
    """
    _check(ratings)
    check_counts(2, len(ratings), n_splits=n_splits)
    fold = np.empty(len(ratings), np.int64)
    fold[np.random.default_rng(seed).permutation(len(ratings))] = np.arange(len(ratings)) % n_splits
    return (_parts(ratings, fold == number) for number in range(n_splits))


def movielens_fold(ratings: pd.DataFrame, name: str) -> Split:
    """One of the folds that GroupLens publishes with MovieLens-100K, rebuilt byte for byte.

    The test part of ``u1`` .. ``u5`` is one fifth of ``u.data`` in file order. ``ua`` and ``ub`` hold ten
    ratings of each user: the first ten in file order, and the next ten. Both parts are sorted by user and item.
    Source: ``mku.sh`` and the README of the archive.

    Args:
        ratings: ``load_movielens().ratings``: 100,000 rows in the order of ``u.data``.
        name: ``"u1"`` .. ``"u5"``, ``"ua"`` or ``"ub"``.

    Returns:
        ``(train, test)``, the files ``NAME.base`` and ``NAME.test``.

    Raises:
        InputError: there is no such fold, or a column is missing.
        DataError: the table is not MovieLens-100K in the order of ``u.data``.
    """
    _check(ratings, "user_id", "item_id")
    if name not in _MOVIELENS_FOLDS:
        raise InputError("name", got=repr(name), expected=f"one of {', '.join(_MOVIELENS_FOLDS)}")
    pairs = ratings[["user_id", "item_id"]].to_numpy("<i4")
    if len(ratings) != _MOVIELENS_ROWS or zlib.crc32(pairs.tobytes()) != _MOVIELENS_ORDER:
        raise DataError(
            f"fold {name!r} needs the 100,000 ratings of MovieLens-100K in the order of u.data, as "
            f"load_movielens() gives them; this table has {len(ratings):,} rows or another order"
        )
    if name in ("ua", "ub"):
        place = ratings.groupby("user_id", sort=False).cumcount().to_numpy() // 10
        in_test = place == ("ua", "ub").index(name)
    else:
        in_test = np.arange(_MOVIELENS_ROWS) // (_MOVIELENS_ROWS // 5) == int(name[1]) - 1
    train, test = _parts(ratings, in_test)
    order = ["user_id", "item_id"]
    return train.sort_values(order, kind="stable"), test.sort_values(order, kind="stable")


def leave_last_out(ratings: pd.DataFrame, n: int = 1) -> Split:
    """Put the latest rows of each user aside.

    A user with ``n`` rows or fewer keeps all of them in training.

    Args:
        ratings: the table to split, with timestamps.
        n: rows of each user to test, at least 1.

    Returns:
        ``(train, test)``, disjoint and together the whole table.

    Raises:
        InputError: the table is empty or has no usable ``timestamp``, or ``n`` is below 1.
    """
    _check(ratings, "user_id", "timestamp")
    check_counts(n=n)
    users = _user_codes(ratings)
    place, counts = _places(users, _times(ratings))
    return _parts(ratings, (counts[users] > n) & (place >= counts[users] - n))


def per_user_temporal(ratings: pd.DataFrame, test_size: float = 0.2) -> Split:
    """Put the latest share of each user's rows aside.

    No user is asked about the past, but one user's training rows may be younger than another's test rows.

    Args:
        ratings: the table to split, with timestamps.
        test_size: share of each user's rows to test, above 0 and below 1.

    Returns:
        ``(train, test)``, disjoint and together the whole table.

    Raises:
        InputError: the table is empty or has no usable ``timestamp``, or ``test_size`` is out of range.
    """
    _check(ratings, "user_id", "timestamp", test_size=test_size)
    return _last_to_test(ratings, _user_codes(ratings), _times(ratings), test_size)


def temporal_split(ratings: pd.DataFrame, test_size: float = 0.2) -> Split:
    """Put the latest share of all rows aside: the only split here that leaks nothing from the future.

    Most test users of MovieLens-100K are new under this split (chapter 3).

    Args:
        ratings: the table to split, with timestamps.
        test_size: share of all rows to test, above 0 and below 1.

    Returns:
        ``(train, test)``; no row of ``train`` is younger than a row of ``test``.

    Raises:
        InputError: the table is empty or has no usable ``timestamp``, or ``test_size`` is out of range.
    """
    _check(ratings, "timestamp", test_size=test_size)
    return _last_to_test(ratings, np.zeros(len(ratings), np.int64), _times(ratings), test_size)


def _check(ratings: pd.DataFrame, *columns: str, test_size: float | None = None) -> None:
    """Refuse tables and shares that cannot be split."""
    if len(ratings) == 0:
        raise InputError("ratings", got="a table without rows", expected="at least one row")
    for name in columns:
        missing = int(column(ratings, name, "ratings").isna().sum())
        if missing:
            raise InputError(name, got=f"{missing} missing value(s)", expected="a value in each row")
    if test_size is not None and not 0 < test_size < 1:
        raise InputError("test_size", got=test_size, expected="a share above 0 and below 1")


def _times(ratings: pd.DataFrame) -> np.ndarray:
    """What to sort by: ``(n_rows,)``."""
    when = ratings["timestamp"]
    return when.astype("int64").to_numpy() if pd.api.types.is_datetime64_any_dtype(when) else times(when)


def _user_codes(ratings: pd.DataFrame) -> np.ndarray:
    """A code for each row's user, in the order of first appearance: ``(n_rows,)``."""
    return pd.factorize(ratings["user_id"])[0]


def _places(groups: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of each row among its group's rows sorted by key (ties by row), and the size of each group."""
    counts = np.bincount(groups)
    order = np.lexsort((keys, groups))  # stable
    place = np.empty(len(groups), np.int64)
    place[order] = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place, counts


def _last_to_test(ratings: pd.DataFrame, groups: np.ndarray, keys: np.ndarray, test_size: float) -> Split:
    """Send the rows with the largest keys of each group to the test part."""
    place, counts = _places(groups, keys)
    n_test = np.minimum(np.floor(counts * test_size + 0.5).astype(np.int64), counts - 1)
    return _parts(ratings, place >= (counts - n_test)[groups])


def _parts(ratings: pd.DataFrame, in_test: np.ndarray) -> Split:
    """Training and test rows, in table order."""
    return ratings[~in_test], ratings[in_test]
