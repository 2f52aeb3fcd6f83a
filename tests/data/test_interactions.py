"""The bridge from tables to codes: order kept, ids shared, and bad tables refused by name."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given

import course_utils
from course_utils.data.interactions import Interactions, check_codes, csr_tensor
from course_utils.errors import InputError

PACKAGE = Path(course_utils.__file__).parent


def frame(**columns):
    table = {
        "user_id": [30, 10, 30, 20],
        "item_id": ["b", "b", "a", "c"],
        "rating": [4.0, 0.0, 2.5, 5.0],
        "timestamp": [881250949, 5, 7, 6],
    }
    table |= columns
    return pd.DataFrame({name: values for name, values in table.items() if values is not None})


def test_codes_by_hand():
    it = Interactions.from_frame(frame())
    assert it.users.tolist() == [2, 0, 2, 1]  # row order kept, codes by sorted id
    assert it.items.tolist() == [1, 1, 0, 2]
    assert it.ratings.tolist() == [4.0, 0.0, 2.5, 5.0]
    assert it.timestamps.tolist() == [881250949, 5, 7, 6]
    assert it.user_ids.tolist() == [10, 20, 30]
    assert it.item_ids.tolist() == ["a", "b", "c"]
    assert (len(it), it.n_users, it.n_items) == (4, 3, 3)
    assert {it.users.dtype, it.items.dtype, it.timestamps.dtype} == {torch.long}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ratings_have_the_default_dtype(dtype):
    torch.set_default_dtype(dtype)
    assert Interactions.from_frame(frame()).ratings.dtype == dtype


def test_without_rating_and_timestamp():
    it = Interactions.from_frame(frame(rating=None, timestamp=None))
    assert it.ratings.tolist() == [1.0] * 4
    assert it.timestamps.tolist() == [0] * 4


def test_given_ids_fix_the_codes():
    it = Interactions.from_frame(
        frame(), user_ids=[99, 30, 20, 10], item_ids=pd.Series(["c", "b", "z", "a"], [7, 8, 9, 0])
    )
    assert it.users.tolist() == [1, 3, 1, 2]
    assert it.items.tolist() == [1, 1, 3, 0]
    assert (it.n_users, it.n_items) == (4, 4)
    assert it.csr().shape == (4, 4)
    other = Interactions.from_frame(frame().iloc[:1], user_ids=it.user_ids, item_ids=it.item_ids)
    assert other.users.tolist() == [1]


def test_train_and_test_share_their_codes():
    whole = frame()
    ids = {"user_ids": np.unique(whole["user_id"]), "item_ids": ["c", "b", "a"]}
    train, test = (Interactions.from_frame(part, **ids) for part in (whole.iloc[:2], whole.iloc[2:]))
    assert train.item_ids.equals(test.item_ids)
    assert test.item_ids[int(test.items[0])] == "a"


def test_csr_and_mask_by_hand():
    it = Interactions.from_frame(frame())
    assert it.csr().toarray().tolist() == [[0, 0, 0], [0, 0, 5], [2.5, 4, 0]]
    assert it.csr().nnz == 4  # the rating of exactly 0 stays stored
    assert it.csr(binary=True).toarray().tolist() == [[0, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert it.mask().dtype == torch.bool
    assert it.mask().tolist() == [[False, True, False], [False, False, True], [True, True, False]]


@given(
    pairs=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 5)), unique=True, max_size=20),
    seed=st.integers(0, 9),
)
def test_against_a_plain_loop(pairs, seed):
    values = np.random.default_rng(seed).integers(1, 6, len(pairs)).astype(float)
    table = pd.DataFrame(pairs, columns=["user_id", "item_id"], dtype=int).assign(rating=values)
    it = Interactions.from_frame(table)
    matrix, mask = it.csr().toarray(), it.mask()
    assert matrix.shape == (len({u for u, _ in pairs}), len({i for _, i in pairs}))
    for row, (user, item) in enumerate(pairs):
        u, i = it.user_ids.get_loc(user), it.item_ids.get_loc(item)
        assert (it.users[row], it.items[row]) == (u, i)
        assert matrix[u, i] == values[row]
        assert mask[u, i]
    assert int(mask.sum()) == len(pairs)


def test_an_empty_table():
    it = Interactions.from_frame(frame().iloc[:0], user_ids=[1, 2], item_ids=["a"])
    assert (len(it), it.n_users, it.n_items) == (0, 2, 1)
    assert it.csr().nnz == 0
    assert not it.mask().any()


def test_it_is_immutable_and_apart_from_its_table():
    table = frame()
    it = Interactions.from_frame(table)
    table.loc[:, "rating"] = 1.0
    table.loc[:, "user_id"] = 10
    assert it.ratings.tolist() == [4.0, 0.0, 2.5, 5.0]
    assert it.users.tolist() == [2, 0, 2, 1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        it.users = torch.zeros(4)


def test_comparing_is_by_identity():
    one, two = Interactions.from_frame(frame()), Interactions.from_frame(frame())
    assert one == one
    assert one != two
    assert len({one, two}) == 2


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_a_missing_column_is_named(column):
    with pytest.raises(InputError, match=f"ratings: got columns .*, expected a column '{column}'"):
        Interactions.from_frame(frame().drop(columns=column))


def test_not_a_table():
    with pytest.raises(InputError, match="ratings: got ndarray, expected a DataFrame"):
        Interactions.from_frame(np.zeros((2, 2)))


def test_duplicates_are_refused_by_name():
    table = frame(user_id=[10, 10, 30, 20])
    with pytest.raises(InputError, match=r"1 repeated pair\(s\), the first is user 10, item b"):
        Interactions.from_frame(table)


BAD = {
    "a nan user": (frame(user_id=[30, 10, np.nan, 20]), r"user_id: got 1 missing or infinite"),
    "an infinite user": (frame(user_id=[30, 10, np.inf, -np.inf]), r"user_id: got 2 missing or infinite"),
    "a missing item": (frame(item_id=["b", None, "a", "c"]), r"item_id: got 1 missing or infinite"),
    "a missing Int64 user": (frame(user_id=pd.array([30, 10, None, 20], "Int64")), r"user_id: got 1 missing"),
    "ids of two types": (frame(item_id=["b", 1, "a", "c"]), r"item_id: got ids of several types"),
    "a nan rating": (frame(rating=[1, np.nan, 2, 3]), r"rating: got 1 missing or infinite"),
    "an infinite rating": (frame(rating=[1, np.inf, 2, 3]), r"rating: got 1 missing or infinite"),
    "a missing Int64 rating": (frame(rating=pd.array([1, None, 2, 3], "Int64")), r"rating: got 1 missing"),
    "a rating in words": (frame(rating=["1", "2", "3", "good"]), r"rating: got a column of type"),
    "a nan time": (frame(timestamp=[1, np.nan, 2, 3]), r"timestamp: got 1 missing or infinite"),
    "a time in dates": (
        frame(timestamp=pd.to_datetime(["2020-01-01"] * 4)),
        r"timestamp: got a column of type datetime64.*, expected whole seconds since 1970",
    ),
    "a time in halves": (frame(timestamp=[1.5, 2, 3, 4]), r"timestamp: got fractions of a second"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_values_are_refused_by_name(case):
    table, words = BAD[case]
    with pytest.raises(InputError, match=words):
        Interactions.from_frame(table)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ({"user_ids": [10, 20]}, r"user_id: got unknown id\(s\) \[.*30.*\], expected ids among the 2 given"),
        ({"item_ids": ["a", "b"]}, r"item_id: got unknown id\(s\) \['c'\], expected ids among the 2 given"),
        ({"user_ids": [10, 20, 30, 20]}, r"user_ids: got .*20.* twice, expected each id once"),
        ({"user_ids": [10, 20, 30, np.nan]}, r"user_ids: got a missing or infinite id"),
    ],
)
def test_unknown_and_repeated_ids_are_refused_by_name(ids, words):
    with pytest.raises(InputError, match=words):
        Interactions.from_frame(frame(), **ids)


def test_on_movielens(movielens):
    it = Interactions.from_frame(movielens.ratings, item_ids=movielens.items["item_id"])
    assert it.csr().shape == (943, 1682)
    assert it.csr().nnz == int(it.mask().sum()) == 100_000
    assert float(it.ratings.mean()) == pytest.approx(3.52986)


def test_check_codes_takes_what_a_model_knows_and_names_what_it_does_not():
    assert check_codes([2, 0], 3, "users").tolist() == [2, 0]
    assert len(check_codes(torch.tensor([], dtype=torch.long), 3, "users")) == 0
    for codes in ([3], [0, -1]):
        with pytest.raises(InputError, match=r"items: got codes .*, expected codes in 0..2"):
            check_codes(codes, 3, "items")


def test_a_csr_tensor_has_the_rows_it_was_given():
    starts, columns, values = (
        torch.tensor([0, 2, 2, 3]),
        torch.tensor([0, 3, 1]),
        torch.tensor([5.0, 6.0, 7.0]),
    )
    made = csr_tensor(starts, columns, values, (3, 4))
    assert made.layout == torch.sparse_csr
    assert made.to_dense().tolist() == [[5, 0, 0, 6], [0, 0, 0, 0], [0, 7, 0, 0]]


def test_a_csr_tensor_warns_of_nothing_and_leaves_the_checks_as_they_were():
    # In a process of its own: torch gives each of its two warnings once, and pytest has its own filters.
    code = """
import torch
from course_utils.data.interactions import csr_tensor
checks = torch.sparse.check_sparse_tensor_invariants
for wanted in (None, True, False):
    if wanted is not None:
        (checks.enable if wanted else checks.disable)()
    rows = csr_tensor(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), torch.ones(2), (2, 2))
    assert checks.is_enabled() is bool(wanted)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_sparse_tensors_are_built_in_one_place():
    built = [p.name for p in PACKAGE.rglob("*.py") if re.search(r"torch\.sparse_\w+_tensor\(", p.read_text())]
    assert built == ["interactions.py"]
