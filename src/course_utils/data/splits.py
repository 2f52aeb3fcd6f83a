"""Ways to split a table of ratings into a training and a test part; taught in chapter 3.

Every split takes a table with the columns ``user_id item_id rating timestamp`` and returns ``(train, test)``: whole
rows of it, disjoint, with their index labels and in their order; only :func:`movielens_fold` sorts, as GroupLens'
files are sorted. Random splits depend on the order of the rows and on ``seed`` (a number or a generator). Times are
whole seconds since 1970 or dates; of two ratings of one second, the lower row is the later one.

``test_size`` is a share above 0 and below 1. The test part gets this share of the rows (of each user's rows, in a
split by user), rounded to the nearest whole number, halves up, and at least one row stays in training: with
``test_size=0.2`` a user with one or two rows has no test row.
"""

import zlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

from course_utils.data.columns import column, places, times
from course_utils.errors import DataError, InputError, check_choice, check_counts, check_range, refuse

Split = tuple[pd.DataFrame, pd.DataFrame]
Seed = int | np.random.Generator

_MOVIELENS_ROWS = 100_000
_MOVIELENS_ORDER = 0x28FC11D7  # CRC-32 of the (user, item) pairs of GroupLens' u.data, in file order
_MOVIELENS_FOLDS = ("u1", "u2", "u3", "u4", "u5", "ua", "ub")


def random_split(ratings: pd.DataFrame, test_size: float = 0.2, *, by_user: bool = True, seed: Seed = 0) -> Split:
    """Put random rows of each user aside, or of all at once: the book's protocol for top-N lists, seeds 0, 1 and 2."""
    _check(ratings, "user_id", test_size=test_size)
    return _last_to_test(ratings, np.random.default_rng(seed).random(len(ratings)), test_size, by_user)


def k_fold(ratings: pd.DataFrame, n_splits: int = 5, *, seed: Seed = 0) -> Iterator[Split]:
    """Cut all rows at random into equal folds (± 1 row), each the test part once: the book's protocol for ratings."""
    _check(ratings)
    check_counts(2, len(ratings), n_splits=n_splits)
    fold = np.empty(len(ratings), np.int64)
    fold[np.random.default_rng(seed).permutation(len(ratings))] = np.arange(len(ratings)) % n_splits
    return (_parts(ratings, fold == number) for number in range(n_splits))


def movielens_fold(ratings: pd.DataFrame, name: str) -> Split:
    """One of the folds that GroupLens publishes with MovieLens-100K, rebuilt byte for byte.

    The test part of ``u1`` .. ``u5`` is one fifth of ``u.data`` in file order. ``ua`` and ``ub`` hold ten
    ratings of each user: the first ten in file order, and the next ten. Both parts are sorted by user and item.
    Source: ``mku.sh`` and the README of the archive. Other tables, or other orders, are a DataError.
    """
    _check(ratings, "user_id", "item_id")
    check_choice(_MOVIELENS_FOLDS, name=name)
    pairs = ratings[["user_id", "item_id"]].to_numpy("<i4")
    if len(ratings) != _MOVIELENS_ROWS or zlib.crc32(pairs.tobytes()) != _MOVIELENS_ORDER:
        needed = f"fold {name!r} needs the 100,000 ratings in the order of u.data, as load_movielens() gives them"
        raise DataError(f"{needed}; this table has {len(ratings):,} rows or another order")
    if name in ("ua", "ub"):
        in_test = ratings.groupby("user_id", sort=False).cumcount().to_numpy() // 10 == ("ua", "ub").index(name)
    else:
        in_test = np.arange(_MOVIELENS_ROWS) // (_MOVIELENS_ROWS // 5) == int(name[1]) - 1
    train, test = (part.sort_values(["user_id", "item_id"], kind="stable") for part in _parts(ratings, in_test))
    return train, test


def leave_last_out(ratings: pd.DataFrame, n: int = 1) -> Split:
    """Put the latest ``n`` rows of each user aside; a user with ``n`` rows or fewer keeps them all in training."""
    _check(ratings, "user_id", "timestamp")
    check_counts(n=n)
    users = ratings["user_id"].factorize()[0]
    place, counts = places(users, _times(ratings))
    return _parts(ratings, (counts[users] > n) & (place >= counts[users] - n))


def per_user_temporal(ratings: pd.DataFrame, test_size: float = 0.2) -> Split:
    """Put the latest share of each user's rows aside; another user's training rows may be younger (chapter 3)."""
    _check(ratings, "user_id", "timestamp", test_size=test_size)
    return _last_to_test(ratings, _times(ratings), test_size, by_user=True)


def temporal_split(ratings: pd.DataFrame, test_size: float = 0.2) -> Split:
    """Put the latest share of all rows aside: the only split here that leaks nothing from the future (chapter 3)."""
    _check(ratings, "timestamp", test_size=test_size)
    return _last_to_test(ratings, _times(ratings), test_size, by_user=False)


def break_ties(ratings: pd.DataFrame, ties: str, *, seed: Seed = 0) -> pd.DataFrame:
    """The rows by time, those of one second by a stated rule, which all that reads time from the table then follows.

    ``ties``: ``"row"``, as they stood; ``"item"``, by item id; ``"shuffled"``, at random (chapter 18).
    """
    _check(ratings, "item_id", "timestamp")
    check_choice(("row", "item", "shuffled"), ties=ties)
    rule = np.arange(len(ratings))
    if ties == "item":
        rule = ratings["item_id"].factorize(sort=True)[0]
    elif ties == "shuffled":
        rule = np.random.default_rng(seed).permutation(rule)
    return ratings.iloc[np.lexsort((rule, _times(ratings)))]


def _check(ratings: pd.DataFrame, *columns: str, test_size: float | None = None) -> None:
    """Refuse tables and shares that cannot be split."""
    if not isinstance(ratings, pd.DataFrame):
        raise InputError("ratings", got=type(ratings).__name__, expected="a DataFrame, such as table.ratings")
    if "timestamp" in columns and "timestamp" not in ratings:
        expected = "a column 'timestamp'; without times, random_split"
        raise InputError("ratings", got=f"columns {list(ratings.columns)}", expected=expected)
    refuse(len(ratings) == 0, "ratings", "a table without rows", "at least one row")
    for name in columns:
        if missing := int(column(ratings, name, "ratings").isna().sum()):
            raise InputError(name, got=f"{missing} missing value(s)", expected="a value in each row")
    if test_size is not None:
        check_range("between 0 and 1", test_size=test_size)


def _times(ratings: pd.DataFrame) -> np.ndarray:
    """What to sort by: ``(n_rows,)``."""
    when = ratings["timestamp"]
    return when.astype("int64").to_numpy() if pd.api.types.is_datetime64_any_dtype(when) else times(when)


def _last_to_test(ratings: pd.DataFrame, keys: np.ndarray, test_size: float, by_user: bool) -> Split:
    """Send the rows with the largest keys, of each user or of all, to the test part."""
    groups = ratings["user_id"].factorize()[0] if by_user else np.zeros(len(ratings), np.int64)
    place, counts = places(groups, keys)
    n_test = np.minimum(np.floor(counts * test_size + 0.5).astype(np.int64), counts - 1)
    return _parts(ratings, place >= (counts - n_test)[groups])


def _parts(ratings: pd.DataFrame, in_test: np.ndarray) -> Split:
    """Training and test rows, in table order."""
    return ratings[~in_test], ratings[in_test]
