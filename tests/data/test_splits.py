"""Splits: whole, disjoint, seeded, and GroupLens' own folds byte for byte."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import refusals

from course_utils.data import splits
from course_utils.data.files import sha256
from course_utils.errors import DataError, InputError

# (user, time): few times, so many ties
TABLES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=40)
SHARES = st.sampled_from([0.1, 0.2, 0.5, 0.9])


def table(rows):
    """A table with an index that is not 0, 1, 2, so that labels and positions cannot be mixed up."""
    users, times = zip(*rows, strict=True)
    columns = {"user_id": users, "item_id": range(len(rows)), "rating": 3.0, "timestamp": times}
    return pd.DataFrame(columns, index=np.arange(len(rows))[::-1] * 10)


def assert_partition(ratings, train, test):
    assert sorted([*train.index, *test.index]) == sorted(ratings.index)
    for part in (train, test):
        pd.testing.assert_frame_equal(part, ratings[ratings.index.isin(part.index)])  # whole, in table order


def n_test(n, share):
    return min(int(np.floor(n * share + 0.5)), n - 1)


@given(TABLES, SHARES, st.booleans(), st.integers(0, 3))
def test_random_split(rows, share, by_user, seed):
    ratings = table(rows)
    train, test = splits.random_split(ratings, share, by_user=by_user, seed=seed)
    assert_partition(ratings, train, test)
    groups = ratings.user_id if by_user else ratings.rating  # all rows are one group
    for key, size in groups.value_counts().items():
        assert (groups[test.index] == key).sum() == n_test(size, share)
    again = splits.random_split(ratings, share, by_user=by_user, seed=np.random.default_rng(seed))[1]
    pd.testing.assert_frame_equal(test, again)


def test_random_split_draws_each_row_equally_often():
    ratings = table([(0, 0)] * 10 + [(1, 0)] * 5)
    tests = (splits.random_split(ratings, seed=s)[1] for s in range(2000))
    drawn = sum(ratings.index.isin(test.index).astype(int) for test in tests)
    assert np.abs(drawn / 2000 - 0.2).max() < 0.045  # five standard errors


@given(TABLES, st.integers(2, 7))
def test_k_fold(rows, n_splits):
    ratings = table(rows)
    if n_splits > len(rows):
        with pytest.raises(InputError, match="n_splits"):
            splits.k_fold(ratings, n_splits)
        return
    tested = []
    for train, test in splits.k_fold(ratings, n_splits):
        assert_partition(ratings, train, test)
        assert len(test) in (len(rows) // n_splits, -(-len(rows) // n_splits))
        tested += list(test.index)
    assert sorted(tested) == sorted(ratings.index)


@given(TABLES, SHARES, st.integers(1, 3))
def test_splits_by_time_against_a_loop(rows, share, n):
    ratings = table(rows)
    last, tail = [], []
    for _, group in ratings.groupby("user_id"):
        ordered = list(group.sort_values("timestamp", kind="stable").index)
        last += ordered[-n:] if len(ordered) > n else []
        tail += ordered[len(ordered) - n_test(len(ordered), share) :]
    ordered = list(ratings.sort_values("timestamp", kind="stable").index)
    late = ordered[len(ordered) - n_test(len(ordered), share) :]
    for expected, (train, test) in [
        (last, splits.leave_last_out(ratings, n)),
        (tail, splits.per_user_temporal(ratings, share)),
        (late, splits.temporal_split(ratings, share)),
    ]:
        assert_partition(ratings, train, test)
        assert set(test.index) == set(expected)


def test_ties_follow_the_rule():
    times = {"user_id": 0, "item_id": [7, 3, 9, 5, 1], "timestamp": [2, 2, 1, 2, 2]}
    ratings = pd.DataFrame(times, index=[4, 8, 0, 6, 2])
    assert list(splits.break_ties(ratings, "row").item_id) == [9, 7, 3, 5, 1]
    assert list(splits.break_ties(ratings, "item").item_id) == [9, 1, 3, 5, 7]
    last = [splits.leave_last_out(splits.break_ties(ratings, "shuffled", seed=s))[1].item_id.item() for s in range(400)]
    assert all(70 < last.count(item) < 130 for item in (1, 3, 5, 7))  # three standard errors
    again = splits.break_ties(ratings, "shuffled", seed=0)
    pd.testing.assert_frame_equal(again, splits.break_ties(ratings, "shuffled", seed=0))
    pd.testing.assert_frame_equal(again.loc[ratings.index], ratings)  # whole rows


def test_dates_are_times():
    dates = pd.to_datetime(["2020-03-01", "2020-01-01", "2021-01-01"])
    dated = pd.DataFrame({"user_id": ["b", "b", "a"], "timestamp": dates})
    assert list(splits.leave_last_out(dated)[1].index) == [0]


def test_no_global_state_is_touched():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    list(splits.k_fold(splits.random_split(table([(0, 0)] * 50))[0]))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


ROWS = table([(0, 0), (0, 1), (1, 2)])
BY_TIME = (splits.leave_last_out, splits.per_user_temporal, splits.temporal_split)
test_refusals = refusals(
    *((f"test_size: got {s}", splits.random_split, ROWS, s) for s in (0.0, 1, float("nan"))),
    *((".*without rows", split, ROWS[:0]) for split in (splits.random_split, splits.k_fold)),
    (".*'user_id'", splits.random_split, ROWS.drop(columns="user_id")),
    *((f"n_splits: got {n}", splits.k_fold, ROWS, n) for n in (1, 2.5)),
    ("n: got 0", splits.leave_last_out, ROWS, 0),
    ("timestamp: got 1 missing", splits.temporal_split, ROWS.assign(timestamp=[1, np.nan, 2])),
    *((".*'timestamp'", split, ROWS.drop(columns="timestamp")) for split in BY_TIME),
    ("ties: got 'id'", splits.break_ties, ROWS, "id"),
    *(("test_size", splits.temporal_split, ROWS, 1.5), (".*'u6'", splits.movielens_fold, ROWS, "u6")),
)
PUBLISHED = [  # of u1.base and u1.test
    "ce253ec86c448b44fb3ba9a30d12dcfc2e9210cbde71efada3730c22e9ac212a",
    "18c6014a4b2c7324f250a63f8904a7b16b2b19f911129e346141507b0cbac950",
]


def test_published_folds(movielens):
    ratings = movielens.ratings
    whole = (part.assign(rating=part.rating.astype(int)) for part in splits.movielens_fold(ratings, "u1"))
    assert [sha256(part.to_csv(sep="\t", header=False, index=False).encode()) for part in whole] == PUBLISHED
    tested = [splits.movielens_fold(ratings, f"u{n}")[1].index for n in range(1, 6)]
    assert sorted(np.concatenate(tested)) == sorted(ratings.index)
    assert all(len(index) == 20_000 for index in tested)
    mine = ratings[ratings.user_id == 1].index
    for name, rows in (("ua", mine[:10]), ("ub", mine[10:20])):
        train, test = splits.movielens_fold(ratings, name)
        assert test.user_id.value_counts().eq(10).sum() == 943
        assert len(test) == 100_000 - len(train) == 9_430
        assert set(test[test.user_id == 1].index) == set(rows)
    with pytest.raises(DataError, match=r"order of u\.data"):
        splits.movielens_fold(ratings.iloc[[1, 0, *range(2, 100_000)]], "u1")
    with pytest.raises(DataError, match="99,999 rows"):
        splits.movielens_fold(ratings.iloc[1:], "ua")
