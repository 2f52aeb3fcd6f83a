"""Negatives: never a training positive, uniform over the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils import sampling
from course_utils.errors import InputError
from course_utils.interactions import Interactions


def interactions(pairs: list[tuple[int, int]], n_users: int, n_items: int) -> Interactions:
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"], dtype="int64")
    return Interactions.from_frame(frame, user_ids=np.arange(n_users), item_ids=np.arange(n_items))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    """A small matrix in which nobody has met every item, and users to ask for."""
    n_users, n_items = draw(st.integers(1, 6)), draw(st.integers(2, 7))
    cells = draw(st.lists(st.booleans(), min_size=n_users * n_items, max_size=n_users * n_items))
    seen = np.array(cells).reshape(n_users, n_items)
    seen[np.arange(n_users), draw(st.integers(0, n_items - 1))] = False
    return seen, draw(st.lists(st.integers(0, n_users - 1), max_size=8))


@given(worlds(), st.integers(0, 1000))
def test_never_a_positive_and_always_an_item(world: tuple[np.ndarray, list[int]], seed: int) -> None:
    seen, users = world
    known = interactions([tuple(cell) for cell in np.argwhere(seen)], *seen.shape)
    drawn = sampling.uniform(known, torch.tensor(users, dtype=torch.long), 50, generator=seeded(seed))
    assert drawn.shape == (len(users), 50)
    assert drawn.dtype == torch.long
    for user, items in zip(users, drawn.tolist(), strict=True):
        allowed = set(np.flatnonzero(~seen[user]))
        assert set(items) <= allowed


def test_uniform_over_the_unseen() -> None:
    known = interactions([(0, 0), (0, 3), (0, 4), (1, 7)], 3, 8)
    drawn = sampling.uniform(known, torch.tensor([0, 1, 2]), 40_000, generator=seeded())
    for user, allowed in enumerate([[1, 2, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6], list(range(8))]):
        shares = torch.bincount(drawn[user], minlength=8).double() / 40_000
        expected = torch.zeros(8)
        expected[allowed] = 1 / len(allowed)
        torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)  # five standard errors


def test_the_seed_decides() -> None:
    known = interactions([(0, 0)], 1, 100)
    draws = [sampling.uniform(known, torch.tensor([0]), 20, generator=seeded(seed)) for seed in (0, 0, 1)]
    assert draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])


@pytest.mark.parametrize(
    ("users", "n", "message"),
    [
        ([0], 0, "^n: got 0"),
        ([2], 1, r"^users: got codes 2\.\.2, expected codes in 0\.\.1"),
        ([-1], 1, "^users: got codes -1"),
        ([0, 1], 1, "^users: got user code 1, who has met every item"),
    ],
)
def test_refuses(users: list[int], n: int, message: str) -> None:
    known = interactions([(0, 0), (1, 0), (1, 1)], 2, 2)
    with pytest.raises(InputError, match=message):
        sampling.uniform(known, torch.tensor(users), n, generator=seeded())
