"""Negatives: never a training positive, the promised distribution over the rest, mining as a naive loop does it."""

import gc
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from shared import coded, placed, refusals

from course_utils.errors import InputError
from course_utils.learning import negatives


def codes(*values):
    return torch.tensor(values, dtype=torch.long)


def draw(known, users, n=1, power=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if power is None:
        return negatives.uniform(known, users, n, generator=generator)
    return negatives.popularity(known, users, n, power=power, generator=generator)


@st.composite
def worlds(pick):
    """A small matrix in which nobody has met every item, and users to ask for."""
    n_users, n_items = pick(st.integers(1, 6)), pick(st.integers(2, 7))
    cells = pick(st.lists(st.booleans(), min_size=n_users * n_items, max_size=n_users * n_items))
    seen = np.array(cells).reshape(n_users, n_items)
    seen[np.arange(n_users), pick(st.integers(0, n_items - 1))] = False
    return seen, pick(st.lists(st.integers(0, n_users - 1), max_size=8))


@given(worlds(), st.integers(0, 1000), st.sampled_from([None, 0.0, 0.75, 1.0]))
def test_never_a_positive_and_always_an_item(world, seed, power):
    seen, users = world
    can_be_drawn = ~seen & ((seen.sum(0) > 0) | (not power))
    if not can_be_drawn[users].any(axis=1).all() or (power and not seen.any()):
        with pytest.raises(InputError, match=r"interactions: got none|who has met every item that can be drawn"):
            draw(placed(seen), codes(*users), 1, power, seed)
    else:
        drawn = draw(placed(seen), codes(*users), 50, power, seed)
        assert drawn.shape == (len(users), 50)
        assert drawn.dtype == torch.long
        for user, items in zip(users, drawn.tolist(), strict=True):
            assert set(items) <= set(np.flatnonzero(can_be_drawn[user]))


@given(worlds(), st.integers(0, 1000))
def test_the_table_of_unseen_items_and_the_search_give_the_same_draws(world, seed):
    seen, users = world
    users = [user for user in users if not seen[user].all()]
    with pytest.MonkeyPatch.context() as patch:
        looked = draw(placed(seen), codes(*users), 20, None, seed)
        patch.setattr(negatives, "_FEW", 0)
        assert torch.equal(draw(placed(seen), codes(*users), 20, None, seed), looked)


SKEWED = np.zeros((40, 6), dtype=bool)  # counts 40, 20, 8, 4, 2, 0 less what the first three users skip
for item, count in enumerate([40, 20, 8, 4, 2, 0]):
    SKEWED[:count, item] = True
SKEWED[:3] = np.array([[1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0], [0] * 6])


@pytest.mark.parametrize("power", [None, 0.0, 0.5, 0.75, 1.0])
def test_the_promised_distribution(power):
    known, users = placed(SKEWED), codes(0, 1, 2, 39)
    drawn = draw(known, users, 50_000, power, 3)
    chance = negatives.log_chance(known, users, torch.arange(6).expand(4, 6), power=power or 0).exp().numpy()
    for row, user in enumerate(users.tolist()):
        q = np.where(SKEWED[user], 0.0, SKEWED.sum(0).astype(float) ** (power or 0))
        q, found = q / q.sum(), np.bincount(drawn[row].numpy(), minlength=6)
        assert (found[q == 0] == 0).all()
        assert stats.chisquare(found[q > 0], 50_000 * q[q > 0]).pvalue > 0.01
        np.testing.assert_allclose(chance[row][q > 0], q[q > 0], rtol=1e-9)


def test_a_rare_item_between_many_seen_ones_is_found_without_rounding():
    pairs = [(0, item) for item in range(3000) if item != 1234] + [(1, 1234)]
    pairs += [(user, item) for user in range(2, 6) for item in range(0, 3000, 7)]
    known = coded(pairs, 6, 3000)
    assert (draw(known, torch.zeros(500, dtype=torch.long), 20, power=0.75) == 1234).all()
    assert negatives.log_chance(known, codes(0), torch.tensor([[1234]])).item() == 0.0


@pytest.mark.parametrize("power", [0.75, 1, 0])
def test_log_popularity_by_hand(power):
    known = coded([(user, 0) for user in range(8)] + [(0, 1), (1, 2)], 8, 4)
    weight = np.array([8.0, 1, 1, 0]) ** power
    q = negatives.log_popularity(known, power).exp()
    np.testing.assert_allclose(q.numpy(), weight / weight.sum(), rtol=1e-12)
    assert negatives.log_popularity(known).equal(negatives.log_popularity(known, 0.75))


@settings(max_examples=40)
@given(worlds(), st.data())
def test_in_batch_is_the_mask_of_all_pairs(world, data):
    seen, users = world
    items = data.draw(st.lists(st.integers(0, seen.shape[1] - 1), min_size=len(users), max_size=len(users)))
    free = negatives.in_batch(placed(seen), codes(*users), codes(*items))
    assert free.dtype == torch.bool
    assert (free.numpy() == ~seen[np.array(users, dtype=int)][:, np.array(items, dtype=int)]).all()


@settings(max_examples=40)
@given(st.data(), st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**20))
def test_mining_as_a_naive_loop_does_it(data, rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randint(-3, 4, (rows, columns + 1), generator=generator).double()  # with ties
    scores, positive = whole[:, 1:], whole[:, 0]
    allowed = torch.rand(rows, columns, generator=generator) < 0.6
    allowed[:, 0] = True
    options = {} if allowed.all() else {"allowed": allowed}
    n = data.draw(st.integers(1, int(allowed.sum(1).min())))
    mined = negatives.hard(scores, n, **options).tolist()
    near = negatives.semi_hard(positive, scores, n, **options).tolist()
    for row in range(rows):
        places = [c for c in range(columns) if allowed[row, c]]
        s, p = scores[row].tolist(), positive[row].item()
        assert mined[row] == sorted(places, key=lambda c: (-s[c], c))[:n]
        assert near[row] == sorted(places, key=lambda c: (s[c] >= p, abs(s[c] - p), c))[:n]


def mix(first, second, share):
    return negatives.mix(first, second, share, generator=torch.Generator().manual_seed(0))


def test_mix():
    first, second = torch.zeros(400, 50, dtype=torch.long), torch.ones(400, 50, dtype=torch.long)
    mixed = mix(first, second, 0.3)
    assert stats.binomtest(int((mixed == 0).sum()), 20_000, 0.3).pvalue > 0.01
    assert mixed.equal(mix(first, second, 0.3))
    assert mix(first, second, 1).equal(first)
    assert mix(first, second, 0).equal(second)


ZEROS, PAIR = torch.zeros(2, 3), codes(0, 1)
KNOWN, FULL = coded([(0, 0), (1, 0)], 2, 2), coded([(0, 0), (1, 0), (1, 1)], 2, 2)
test_refusals = refusals(
    (r"users: got codes 2\.\.2, expected codes in 0\.\.1", draw, FULL, codes(2)),
    ("users: got codes -1", draw, FULL, codes(-1)),
    ("users: got user code 1, who has met every item", draw, FULL, PAIR),
    ("power: got -1", draw, KNOWN, codes(0), 1, -1),
    ("users: got user code 0", draw, KNOWN, codes(0), 1, 0.75),
    ("power: got nan", negatives.log_popularity, KNOWN, float("nan")),
    ("items: got codes 2", negatives.log_chance, KNOWN, codes(0), codes(2)[None]),
    ("items", negatives.in_batch, KNOWN, codes(0), PAIR),
    ("items: got codes -1", negatives.in_batch, KNOWN, codes(0), codes(-1)),
    (r"scores: got shape \(3,\)", negatives.hard, ZEROS[0]),
    ("scores: got nan", negatives.hard, ZEROS + float("nan")),
    (r"n: got 4, expected a whole number in 1\.\.3", negatives.hard, ZEROS, 4),
    ("allowed: got torch.float", negatives.hard, ZEROS, {"allowed": ZEROS}),
    ("n: got 1, expected 0 at most, the cand", negatives.hard, ZEROS, {"allowed": ZEROS > 0}),
    (r"positive: got shape \(3,\)", negatives.semi_hard, ZEROS[0], ZEROS),
    ("positive: got nan or inf", negatives.semi_hard, ZEROS[:, 0] + float("inf"), ZEROS),
    (r"second: got shape \(3,\)", mix, ZEROS, ZEROS[0], 0.5),
    ("share: got 1.5", mix, ZEROS, ZEROS, 1.5),
)


def test_no_rows_give_no_rows():
    assert draw(KNOWN, codes(), 3, power=0.75).shape == (0, 3)
    assert negatives.in_batch(KNOWN, codes(), codes()).shape == (0, 0)
    assert negatives.hard(torch.zeros(0, 3), 2).shape == (0, 2)
    assert negatives.semi_hard(torch.zeros(0), torch.zeros(0, 3)).shape == (0, 1)


def test_nothing_is_written_into_the_interactions_and_an_index_goes_with_them():
    gc.collect()
    data, kept = coded([(0, 1), (1, 0)], 2, 4), len(negatives._INDEXES)
    before, size = set(vars(data)), len(pickle.dumps(data))
    first = draw(data, PAIR, 3)
    draw(data, codes(0), 3, power=0)
    negatives.in_batch(data, codes(0), codes(1))
    assert set(vars(data)) == before
    assert len(pickle.dumps(data)) == size
    travelled = pickle.loads(pickle.dumps(data))
    assert torch.equal(draw(travelled, PAIR, 3), first)
    assert not torch.equal(draw(travelled, PAIR, 3, seed=1), first)
    assert len(negatives._INDEXES) == kept + 2
    del data, travelled
    gc.collect()
    assert len(negatives._INDEXES) == kept
