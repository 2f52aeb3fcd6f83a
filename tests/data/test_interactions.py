"""The bridge from tables to codes: order kept, ids shared, and bad tables refused by name."""

import dataclasses
import os
import re
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from shared import python, refusals

import course_utils
from course_utils.data.interactions import Interactions, csr_tensor


def frame(**columns):
    table = {"user_id": [30, 10, 30, 20], "item_id": ["b", "b", "a", "c"]}
    table |= {"rating": [4.0, 0.0, 2.5, 5.0], "timestamp": [881250949, 5, 7, 6]} | columns
    return pd.DataFrame({name: values for name, values in table.items() if values is not None})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_by_hand(dtype):
    torch.set_default_dtype(dtype)
    table = frame()
    it = Interactions.from_frame(table)
    table.loc[:, "rating"], table.loc[:, "user_id"] = 1.0, 10  # which changes nothing of what was made
    assert it.users.tolist() == [2, 0, 2, 1]  # row order kept, codes by sorted id
    assert it.items.tolist() == [1, 1, 0, 2]
    assert it.ratings.tolist() == [4.0, 0.0, 2.5, 5.0]
    assert it.timestamps.tolist() == [881250949, 5, 7, 6]
    assert (it.user_ids.tolist(), it.item_ids.tolist()) == ([10, 20, 30], ["a", "b", "c"])
    assert (len(it), it.n_users, it.n_items) == (4, 3, 3)
    assert [it.ratings.dtype, it.users.dtype, it.items.dtype, it.timestamps.dtype] == [dtype] + [torch.long] * 3
    assert it.csr().toarray().tolist() == [[0, 0, 0], [0, 0, 5], [2.5, 4, 0]]
    assert it.csr().nnz == 4  # the rating of exactly 0 stays stored
    assert it.csr(binary=True).toarray().tolist() == [[0, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert it.mask().dtype == torch.bool
    assert it.mask().tolist() == [[False, True, False], [False, False, True], [True, True, False]]
    assert (it == it, len({it, Interactions.from_frame(frame())})) == (True, 2)  # compared by identity
    bare = Interactions.from_frame(frame(rating=None, timestamp=None))
    assert (bare.ratings.tolist(), bare.timestamps.tolist()) == ([1.0] * 4, [0] * 4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        it.users = torch.zeros(4)


def test_given_ids_fix_the_codes_of_every_part():
    items = pd.Series(["c", "b", "z", "a"], [7, 8, 9, 0])
    it = Interactions.from_frame(frame(), user_ids=[99, 30, 20, 10], item_ids=items)
    assert (it.users.tolist(), it.items.tolist()) == ([1, 3, 1, 2], [1, 1, 3, 0])
    assert it.csr().shape == (it.n_users, it.n_items) == (4, 4)
    part = Interactions.from_frame(frame().iloc[2:], user_ids=it.user_ids, item_ids=it.item_ids)
    assert (part.users.tolist(), part.items.tolist()) == ([1, 2], [3, 0])
    empty = Interactions.from_frame(frame().iloc[:0], user_ids=[1, 2], item_ids=["a"])
    assert (len(empty), empty.n_users, empty.n_items, empty.csr().nnz, int(empty.mask().sum())) == (0, 2, 1, 0, 0)


PAIRS = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 5)), unique=True, max_size=20)


@given(PAIRS, st.integers(0, 9))
def test_against_a_plain_loop(pairs, seed):
    values = np.random.default_rng(seed).integers(1, 6, len(pairs)).astype(float)
    table = pd.DataFrame(pairs, columns=["user_id", "item_id"], dtype=int).assign(rating=values)
    it = Interactions.from_frame(table)
    matrix, mask = it.csr().toarray(), it.mask()
    assert matrix.shape == (len({u for u, _ in pairs}), len({i for _, i in pairs}))
    for row, (user, item) in enumerate(pairs):
        place = it.user_ids.get_loc(user), it.item_ids.get_loc(item)
        assert (it.users[row], it.items[row]) == place
        assert (matrix[place], bool(mask[place])) == (values[row], True)
    assert int(mask.sum()) == len(pairs)


MISSING = {  # column: each with one value or more that is missing or infinite
    "user_id": [[30, 10, np.nan, 20], [30, 10, np.inf, -np.inf], pd.array([30, 10, None, 20], "Int64")],
    "item_id": [["b", None, "a", "c"]],
    "rating": [[1, np.nan, 2, 3], [1, np.inf, 2, 3], pd.array([1, None, 2, 3], "Int64")],
    "timestamp": [[1, np.nan, 2, 3]],
}
IDS = [  # given, and what is said
    ([10, 20], r"user_id: got unknown id\(s\) \[.*30.*\] .*ids among the 2 given"),
    (["a", "b"], r"item_id: got unknown id\(s\) \['c'\] .*ids among the 2 given"),
    ([10, 20, 30, 20], "user_ids: got .*20.* twice, expected each id once"),
    ([10, 20, 30, np.nan], "user_ids: got a missing or infinite id"),
]

test_refusals = refusals(
    *((f"ratings: .* column '{k}'", Interactions.from_frame, frame(**{k: None})) for k in ("user_id", "item_id")),
    ("ratings: got ndarray, expected a DataFrame", Interactions.from_frame, np.zeros((2, 2))),
    (r".*1 repeated pair\(s\), .* user 10, item b", Interactions.from_frame, frame(user_id=[10, 10, 30, 20])),
    *((f"{k}: got [12] missing", Interactions.from_frame, frame(**{k: v})) for k in MISSING for v in MISSING[k]),
    ("item_id: got ids of several types", Interactions.from_frame, frame(item_id=["b", 1, "a", "c"])),
    ("rating: got a column of type", Interactions.from_frame, frame(rating=["1", "2", "3", "good"])),
    ("timestamp: .* type datetime64", Interactions.from_frame, frame(timestamp=pd.to_datetime(["2020-01-01"] * 4))),
    *((words, Interactions.from_frame, frame(), {f"{words[:4]}_ids": ids}) for ids, words in IDS),
)


def test_a_csr_tensor_warns_of_nothing_and_leaves_the_checks_as_they_were():
    starts, columns = torch.tensor([0, 2, 2, 3]), torch.tensor([0, 3, 1])
    made = csr_tensor(starts, columns, torch.tensor([5.0, 6.0, 7.0]), (3, 4))
    assert made.layout == torch.sparse_csr
    assert made.to_dense().tolist() == [[5, 0, 0, 6], [0, 0, 0, 0], [0, 7, 0, 0]]
    # In a process of its own: torch gives each of its two warnings once, and pytest has its own filters.
    code = """
import torch
from course_utils.data.interactions import csr_tensor
checks = torch.sparse.check_sparse_tensor_invariants
for switch, on in ((lambda: None, False), (checks.enable, True), (checks.disable, False)):
    switch()
    csr_tensor(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), torch.ones(2), (2, 2))
    assert checks.is_enabled() is on
"""
    done = python(code, env=os.environ | {"PYTHONWARNINGS": "error"})
    assert (done.returncode, done.stderr) == (0, "")


def test_sparse_tensors_are_built_in_one_place():
    modules = Path(course_utils.__file__).parent.rglob("*.py")
    built = [path.name for path in modules if re.search(r"torch\.sparse_\w+_tensor\(", path.read_text())]
    assert built == ["interactions.py"]
