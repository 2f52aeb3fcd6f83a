"""Negatives: never a training positive, the promised distribution over the rest, mining as a naive loop does it."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.learning import negatives
from course_utils.learning.losses import sampled_softmax_loss


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
    drawn = negatives.uniform(known, torch.tensor(users, dtype=torch.long), 50, generator=seeded(seed))
    assert drawn.shape == (len(users), 50)
    assert drawn.dtype == torch.long
    for user, items in zip(users, drawn.tolist(), strict=True):
        allowed = set(np.flatnonzero(~seen[user]))
        assert set(items) <= allowed


def test_uniform_over_the_unseen() -> None:
    known = interactions([(0, 0), (0, 3), (0, 4), (1, 7)], 3, 8)
    drawn = negatives.uniform(known, torch.tensor([0, 1, 2]), 40_000, generator=seeded())
    for user, allowed in enumerate([[1, 2, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6], list(range(8))]):
        shares = torch.bincount(drawn[user], minlength=8).double() / 40_000
        expected = torch.zeros(8)
        expected[allowed] = 1 / len(allowed)
        torch.testing.assert_close(shares, expected, atol=0.01, rtol=0)  # five standard errors


def test_the_seed_decides() -> None:
    known = interactions([(0, 0)], 1, 100)
    draws = [negatives.uniform(known, torch.tensor([0]), 20, generator=seeded(seed)) for seed in (0, 0, 1)]
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
        negatives.uniform(known, torch.tensor(users), n, generator=seeded())


# --- popularity ---------------------------------------------------------------------------------------------------


def by_hand(seen: np.ndarray, user: int, power: float) -> np.ndarray:
    """Chance of each item for a user, from the definition."""
    weight = np.where(seen[user], 0.0, seen.sum(0).astype(float) ** power)
    return weight / weight.sum()


@settings(max_examples=40)
@given(worlds(), st.integers(0, 1000), st.sampled_from([0.0, 0.75, 1.0]))
def test_popularity_never_a_positive(world: tuple[np.ndarray, list[int]], seed: int, power: float) -> None:
    seen, users = world
    known = interactions([tuple(cell) for cell in np.argwhere(seen)], *seen.shape)
    codes = torch.tensor(users, dtype=torch.long)
    can_be_drawn = ~seen & ((seen.sum(0) > 0) | (power == 0))
    if not seen.any() and power:
        with pytest.raises(InputError, match=r"^interactions: got none"):
            negatives.popularity(known, codes, 1, power=power, generator=seeded(seed))
    elif not can_be_drawn[users].any(axis=1).all():
        with pytest.raises(InputError, match="who has met every item that can be drawn"):
            negatives.popularity(known, codes, 1, power=power, generator=seeded(seed))
    else:
        drawn = negatives.popularity(known, codes, 50, power=power, generator=seeded(seed))
        assert drawn.shape == (len(users), 50)
        for user, items in zip(users, drawn.tolist(), strict=True):
            assert set(items) <= set(np.flatnonzero(can_be_drawn[user]))


SKEWED = np.zeros((40, 6), dtype=bool)  # counts 40, 20, 8, 4, 2, 0 less what the first three users skip
for item, count in enumerate([40, 20, 8, 4, 2, 0]):
    SKEWED[:count, item] = True
SKEWED[0] = [True, False, True, False, False, False]
SKEWED[1] = [False, True, False, False, True, False]
SKEWED[2] = [False, False, False, False, False, False]


@pytest.mark.parametrize("power", [0.0, 0.5, 0.75, 1.0])
def test_popularity_has_the_promised_distribution(power: float) -> None:
    known = interactions([tuple(cell) for cell in np.argwhere(SKEWED)], *SKEWED.shape)
    users = torch.tensor([0, 1, 2, 39])
    drawn = negatives.popularity(known, users, 50_000, power=power, generator=seeded(3))
    everything = torch.arange(6).expand(4, 6)
    chance = negatives.log_chance(known, users, everything, power=power).exp().numpy()
    for row, user in enumerate(users.tolist()):
        q = by_hand(SKEWED, user, power)
        found = np.bincount(drawn[row].numpy(), minlength=6)
        assert (found[q == 0] == 0).all()
        assert stats.chisquare(found[q > 0], 50_000 * q[q > 0]).pvalue > 0.01
        np.testing.assert_allclose(chance[row][q > 0], q[q > 0], rtol=1e-9)


def test_uniform_has_the_promised_distribution() -> None:
    known = interactions([tuple(cell) for cell in np.argwhere(SKEWED)], *SKEWED.shape)
    drawn = negatives.uniform(known, torch.tensor([0]), 50_000, generator=seeded(3))
    found = np.bincount(drawn[0].numpy(), minlength=6)
    assert stats.chisquare(found[~SKEWED[0]]).pvalue > 0.01


def test_a_rare_item_between_many_seen_ones_is_found_without_rounding() -> None:
    pairs = [(0, item) for item in range(3000) if item != 1234] + [(1, 1234)]
    pairs += [(user, item) for user in range(2, 6) for item in range(0, 3000, 7)]
    known = interactions(pairs, 6, 3000)
    drawn = negatives.popularity(known, torch.zeros(500, dtype=torch.long), 20, generator=seeded())
    assert drawn.unique().tolist() == [1234]
    assert negatives.log_chance(known, torch.tensor([0]), torch.tensor([[1234]])).item() == 0.0


def test_log_popularity_by_hand() -> None:
    known = interactions([(user, 0) for user in range(8)] + [(0, 1), (1, 2)], 8, 4)
    q = negatives.log_popularity(known).exp()
    weight = np.array([8**0.75, 1, 1, 0])
    np.testing.assert_allclose(q.numpy(), weight / weight.sum(), rtol=1e-12)
    assert negatives.log_popularity(known, 1).exp().tolist() == pytest.approx([0.8, 0.1, 0.1, 0])
    assert negatives.log_popularity(known, 0).exp().tolist() == pytest.approx([0.25] * 4)


def test_the_corrected_sum_is_the_full_sum_on_average() -> None:
    """The logQ correction's whole point: the mean of the sampled sum is the sum over all unseen items."""
    known = interactions([tuple(cell) for cell in np.argwhere(SKEWED[:, :5])], 40, 5)
    scores, users = torch.tensor([0.3, 1.0, -0.5, 2.0, 0.1]), torch.zeros(500, dtype=torch.long)
    unseen = torch.from_numpy(~SKEWED[0, :5])
    full = scores[unseen].exp().sum()
    items = negatives.popularity(known, users, 400, generator=seeded())
    corrected = scores[items] - negatives.log_chance(known, users, items) - np.log(400)
    estimates = corrected.exp().sum(dim=1)
    assert abs(estimates.mean() - full) < 3 * estimates.std() / np.sqrt(500)
    assert scores[items].exp().mean(dim=1).sub(full / 3).abs().mean() > 0.5  # uncorrected it is far off
    positive = scores[:1].expand(500)
    loss = sampled_softmax_loss(positive, scores[items], negative_log_q=scores[items] - corrected)
    assert loss.item() == pytest.approx((positive[0].exp() + full).log().item() - 0.3, abs=0.02)


# --- the batch ----------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(worlds(), st.data())
def test_in_batch_is_the_mask_of_all_pairs(world: tuple[np.ndarray, list[int]], data: st.DataObject) -> None:
    seen, users = world
    known = interactions([tuple(cell) for cell in np.argwhere(seen)], *seen.shape)
    item = st.integers(0, seen.shape[1] - 1)
    items = data.draw(st.lists(item, min_size=len(users), max_size=len(users)))
    free = negatives.in_batch(
        known, torch.tensor(users, dtype=torch.long), torch.tensor(items, dtype=torch.long)
    )
    expected = ~seen[np.array(users, dtype=int)][:, np.array(items, dtype=int)]
    assert free.dtype == torch.bool
    assert (free.numpy() == expected).all()


def test_in_batch_leaves_a_row_empty_and_mining_says_so() -> None:
    known = interactions([(0, 0), (0, 1), (1, 1)], 2, 2)
    free = negatives.in_batch(known, torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert free.tolist() == [[False, False], [True, False]]
    with pytest.raises(InputError, match=r"^n: got 1, expected 1\.\.0"):
        negatives.hard(torch.zeros(2, 2), allowed=free)


# --- mining -------------------------------------------------------------------------------------------------------


def test_hard_and_semi_hard_by_hand() -> None:
    scores = torch.tensor([[0.9, 2.0, 0.4, 0.9, 1.5]])
    assert negatives.hard(scores).tolist() == [[1]]
    assert negatives.hard(scores, 4).tolist() == [[1, 4, 0, 3]]  # of equals the first
    positive = torch.tensor([1.0])
    assert negatives.semi_hard(positive, scores).tolist() == [[0]]
    assert negatives.semi_hard(positive, scores, 5).tolist() == [
        [0, 3, 2, 4, 1]
    ]  # then from above, nearest first
    assert negatives.semi_hard(torch.tensor([0.4]), scores).tolist() == [
        [2]
    ]  # equal is not below: but the nearest
    allowed = torch.tensor([[False, False, True, True, True]])
    assert negatives.hard(scores, allowed=allowed).tolist() == [[4]]
    assert negatives.semi_hard(positive, scores, 3, allowed=allowed).tolist() == [[3, 2, 4]]


@settings(max_examples=40)
@given(st.data(), st.integers(1, 4), st.integers(1, 6))
def test_mining_as_a_naive_loop_does_it(data: st.DataObject, rows: int, columns: int) -> None:
    value = st.integers(-3, 3)
    line = st.lists(value, min_size=columns, max_size=columns)
    scores = np.array(data.draw(st.lists(line, min_size=rows, max_size=rows)), dtype=float)
    positive = np.array(data.draw(st.lists(value, min_size=rows, max_size=rows)), dtype=float)
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=rows * columns, max_size=rows * columns)))
    allowed = allowed.reshape(rows, columns)
    allowed[:, 0] = True
    n = data.draw(st.integers(1, int(allowed.sum(1).min())))
    given_as = torch.from_numpy(scores), n
    mined = negatives.hard(*given_as, allowed=torch.from_numpy(allowed)).tolist()
    near = negatives.semi_hard(
        torch.from_numpy(positive), *given_as, allowed=torch.from_numpy(allowed)
    ).tolist()
    for row in range(rows):
        places = [c for c in range(columns) if allowed[row, c]]
        s, p = scores[row], positive[row]
        assert mined[row] == sorted(places, key=lambda c: (-s[c], c))[:n]
        assert near[row] == sorted(places, key=lambda c: (s[c] >= p, abs(s[c] - p), c))[:n]


def test_mix() -> None:
    first, second = torch.zeros(400, 50, dtype=torch.long), torch.ones(400, 50, dtype=torch.long)
    mixed = negatives.mix(first, second, 0.3, generator=seeded())
    assert stats.binomtest(int((mixed == 0).sum()), 20_000, 0.3).pvalue > 0.01
    assert negatives.mix(first, second, 1, generator=seeded()).equal(first)
    assert negatives.mix(first, second, 0, generator=seeded()).equal(second)
    assert mixed.equal(negatives.mix(first, second, 0.3, generator=seeded()))


def test_popularity_by_its_seed() -> None:
    known = interactions([(user, user % 7) for user in range(30)], 30, 7)
    users = torch.arange(30)
    draws = [negatives.popularity(known, users, 5, generator=seeded(seed)) for seed in (0, 0, 1)]
    assert draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])


ZEROS = torch.zeros(2, 3)
KNOWN = interactions([(0, 0), (1, 0)], 2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: negatives.popularity(KNOWN, torch.tensor([0]), 1, power=-1, generator=seeded()),
            "^power: got -1",
        ),
        (
            lambda: negatives.popularity(KNOWN, torch.tensor([0]), 1, generator=seeded()),
            "^users: got user code 0",
        ),
        (
            lambda: negatives.popularity(KNOWN, torch.tensor([2]), 1, generator=seeded()),
            "^users: got codes 2",
        ),
        (lambda: negatives.log_popularity(KNOWN, float("nan")), "^power: got nan"),
        (lambda: negatives.log_chance(KNOWN, torch.tensor([0]), torch.tensor([[2]])), "^items: got codes 2"),
        (lambda: negatives.in_batch(KNOWN, torch.tensor([0]), torch.tensor([0, 1])), "^items: got 2 items"),
        (lambda: negatives.in_batch(KNOWN, torch.tensor([0]), torch.tensor([-1])), "^items: got codes -1"),
        (lambda: negatives.hard(torch.zeros(3)), r"^scores: got shape \(3,\)"),
        (lambda: negatives.hard(ZEROS + float("nan")), "^scores: got nan"),
        (lambda: negatives.hard(ZEROS, 4), r"^n: got 4, expected 1\.\.3"),
        (lambda: negatives.hard(ZEROS, 0), "^n: got 0"),
        (lambda: negatives.hard(ZEROS, allowed=ZEROS), "^allowed: got torch.float"),
        (lambda: negatives.semi_hard(torch.zeros(3), ZEROS), r"^positive: got shape \(3,\)"),
        (lambda: negatives.semi_hard(torch.full((2,), float("inf")), ZEROS), "^positive: got nan or inf"),
        (lambda: negatives.mix(ZEROS, ZEROS[0], 0.5, generator=seeded()), r"^second: got shape \(3,\)"),
        (lambda: negatives.mix(ZEROS, ZEROS, 1.5, generator=seeded()), "^share: got 1.5"),
    ],
)
def test_refuses_what_does_not_fit(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_no_rows_give_no_rows() -> None:
    none = torch.empty(0, dtype=torch.long)
    assert negatives.popularity(KNOWN, none, 3, generator=seeded()).shape == (0, 3)
    assert negatives.in_batch(KNOWN, none, none).shape == (0, 0)
    assert negatives.hard(torch.zeros(0, 3), 2).shape == (0, 2)
    assert negatives.semi_hard(torch.zeros(0), torch.zeros(0, 3)).shape == (0, 1)


def test_nothing_is_written_into_the_interactions():
    data = interactions([(0, 1), (1, 0)], 2, 4)
    before, size = set(vars(data)), len(pickle.dumps(data))
    first = negatives.uniform(data, torch.tensor([0, 1]), 3, generator=seeded())
    negatives.popularity(data, torch.tensor([0]), 3, power=0, generator=seeded())
    negatives.in_batch(data, torch.tensor([0]), torch.tensor([1]))
    assert set(vars(data)) == before
    assert len(pickle.dumps(data)) == size
    travelled = pickle.loads(pickle.dumps(data))
    assert torch.equal(negatives.uniform(travelled, torch.tensor([0, 1]), 3, generator=seeded()), first)


def test_an_index_goes_with_its_interactions():
    kept = len(negatives._INDEXES)
    data = interactions([(0, 1)], 1, 3)
    negatives.uniform(data, torch.tensor([0]), 1, generator=seeded())
    assert len(negatives._INDEXES) == kept + 1
    del data
    gc.collect()
    assert len(negatives._INDEXES) == kept
