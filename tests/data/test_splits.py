"""Splits: whole, disjoint, seeded, and GroupLens' own folds byte for byte."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data import splits
from course_utils.errors import DataError, InputError

TABLES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=40
)  # (user, time): few times, so many ties


def table(rows):
    """A table with an index that is not 0, 1, 2, so that labels and positions cannot be mixed up."""
    users, times = zip(*rows, strict=True)
    columns = {"user_id": users, "item_id": range(len(rows)), "rating": 3.0, "timestamp": times}
    return pd.DataFrame(columns, index=np.arange(len(rows))[::-1] * 10)


def assert_partition(ratings, train, test):
    assert sorted([*train.index, *test.index]) == sorted(ratings.index)
    for part in (train, test):
        pd.testing.assert_frame_equal(
            part, ratings[ratings.index.isin(part.index)]
        )  # whole rows, table order


def n_test(n, share):
    return min(int(np.floor(n * share + 0.5)), n - 1)


@settings(deadline=None)
@given(TABLES, st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.integers(0, 3))
def test_random_split_by_user(rows, share, seed):
    ratings = table(rows)
    train, test = splits.random_split(ratings, share, seed=seed)
    assert_partition(ratings, train, test)
    for user, group in ratings.groupby("user_id"):
        assert (test.user_id == user).sum() == n_test(len(group), share)
    again = splits.random_split(ratings, share, seed=seed)[1]
    pd.testing.assert_frame_equal(test, again)


@settings(deadline=None)
@given(TABLES, st.sampled_from([0.1, 0.5, 0.9]))
def test_random_split_of_all_rows(rows, share):
    ratings = table(rows)
    train, test = splits.random_split(ratings, share, by_user=False)
    assert_partition(ratings, train, test)
    assert len(test) == n_test(len(rows), share)


def test_random_split_draws_each_row_equally_often():
    ratings = table([(0, 0)] * 10 + [(1, 0)] * 5)
    drawn = sum(
        ratings.index.isin(splits.random_split(ratings, seed=s)[1].index).astype(int) for s in range(2000)
    )
    assert np.abs(drawn / 2000 - 0.2).max() < 0.045  # five standard errors


def test_seeds_differ_and_a_generator_is_taken():
    ratings = table([(0, 0)] * 50)
    one, two = (set(splits.random_split(ratings, seed=s)[1].index) for s in (0, 1))
    assert one != two
    assert set(splits.random_split(ratings, seed=np.random.default_rng(1))[1].index) == two


@settings(deadline=None)
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


@settings(deadline=None)
@given(TABLES, st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.integers(1, 3))
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


def test_of_equal_times_the_lower_row_is_later():
    ratings = table([(0, 5), (0, 5), (0, 5), (0, 1)])
    assert list(splits.leave_last_out(ratings)[1].item_id) == [2]
    assert list(splits.temporal_split(ratings, 0.5)[1].item_id) == [1, 2]


def test_dates_and_text_ids_are_fine():
    ratings = pd.DataFrame(
        {"user_id": ["b", "b", "a"], "timestamp": pd.to_datetime(["2020-03-01", "2020-01-01", "2021-01-01"])}
    )
    assert list(splits.leave_last_out(ratings)[1].index) == [0]


def test_no_global_state_is_touched():
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    splits.random_split(table([(0, 0)] * 9))
    list(splits.k_fold(table([(0, 0)] * 9)))
    assert np.random.random() == expected  # noqa: NPY002


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: splits.random_split(r, 0.0), "test_size: got 0.0"),
        (lambda r: splits.random_split(r, 1), "test_size: got 1"),
        (lambda r: splits.random_split(r, float("nan")), "test_size"),
        (lambda r: splits.random_split(r.iloc[:0]), "without rows"),
        (lambda r: splits.random_split(r.drop(columns="user_id")), "'user_id'"),
        (lambda r: splits.k_fold(r, 1), "n_splits: got 1"),
        (lambda r: splits.k_fold(r, 2.5), "n_splits: got 2.5"),
        (lambda r: splits.k_fold(r.iloc[:0]), "without rows"),
        (lambda r: splits.leave_last_out(r, 0), "n: got 0"),
        (lambda r: splits.leave_last_out(r.drop(columns="timestamp")), "'timestamp'"),
        (lambda r: splits.per_user_temporal(r.drop(columns="timestamp")), "'timestamp'"),
        (lambda r: splits.temporal_split(r.drop(columns="timestamp")), "'timestamp'"),
        (lambda r: splits.temporal_split(r.assign(timestamp=[1, np.nan, 2])), "1 missing"),
        (lambda r: splits.temporal_split(r, 1.5), "test_size"),
        (lambda r: splits.movielens_fold(r, "u6"), "'u6'"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(InputError, match=message):
        call(table([(0, 0), (0, 1), (1, 2)]))


PUBLISHED = {
    "base": "ce253ec86c448b44fb3ba9a30d12dcfc2e9210cbde71efada3730c22e9ac212a",
    "test": "18c6014a4b2c7324f250a63f8904a7b16b2b19f911129e346141507b0cbac950",
}


def test_u1_is_grouplens_file_byte_for_byte(movielens):
    for part, name in zip(splits.movielens_fold(movielens.ratings, "u1"), ("base", "test"), strict=True):
        written = part.assign(rating=part.rating.astype(int)).to_csv(sep="\t", header=False, index=False)
        assert hashlib.sha256(written.encode()).hexdigest() == PUBLISHED[name]


def test_the_other_published_folds(movielens):
    ratings = movielens.ratings
    tested = [splits.movielens_fold(ratings, f"u{n}")[1].index for n in range(1, 6)]
    assert sorted(np.concatenate(tested)) == sorted(ratings.index)
    assert all(len(index) == 20_000 for index in tested)
    first, second = (splits.movielens_fold(ratings, name)[1] for name in ("ua", "ub"))
    for test in (first, second):
        assert (test.user_id.value_counts() == 10).all()
        assert len(test) == 9_430
    assert set(first.index).isdisjoint(second.index)
    mine = ratings[ratings.user_id == 1].index
    assert set(first[first.user_id == 1].index) == set(mine[:10])
    assert set(second[second.user_id == 1].index) == set(mine[10:20])


def test_a_table_in_another_order_is_refused(movielens):
    swapped = movielens.ratings.iloc[[1, 0, *range(2, 100_000)]]
    with pytest.raises(DataError, match=r"order of u\.data"):
        splits.movielens_fold(swapped, "u1")
    with pytest.raises(DataError, match="99,999 rows"):
        splits.movielens_fold(movielens.ratings.iloc[1:], "ua")
