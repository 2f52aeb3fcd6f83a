"""Slates: each interaction once an epoch, padding marked, negatives never met."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import coded, refusals

from course_utils.learning.slates import Slates

SOME = [(0, item) for item in range(7)] + [(2, 3)] + [(3, item) for item in range(5)]


def slates(pairs, n_users=4, n_items=12, seed=0, **sizes):
    return Slates(coded(pairs, n_users, n_items), generator=torch.Generator().manual_seed(seed), **sizes)


PAIRS = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 10)), min_size=1, max_size=44)  # nobody has met item 11
SIZES = st.fixed_dictionaries({"positives": st.integers(1, 6), "negatives": st.integers(1, 5)})


@given(PAIRS, SIZES, st.integers(1, 9), st.integers(0, 2**20))
@settings(max_examples=60)
def test_an_epoch(pairs, sizes, batch_size, seed):
    batches = slates(sorted(pairs), seed=seed, batch_size=batch_size, **sizes)
    dealt, rows = [], []
    epoch = list(batches)
    for users, items, real, unseen in epoch:
        assert items.shape == real.shape == (len(users), sizes["positives"])
        assert unseen.shape == (len(users), sizes["negatives"])
        assert real[:, 0].all()
        dealt += zip(users[:, None].expand_as(items)[real].tolist(), items[real].tolist(), strict=True)
        drawn = zip(users[:, None].expand_as(unseen).flatten().tolist(), unseen.flatten().tolist(), strict=True)
        assert not pairs & set(drawn)
        rows += users.tolist()
    assert sorted(dealt) == sorted(pairs)
    assert len(epoch) == len(batches)
    assert all(len(users) == batch_size for users, *_ in epoch[:-1])
    for user in range(4):
        assert rows.count(user) == -(-sum(u == user for u, _ in pairs) // sizes["positives"])


def test_dealt_anew_and_by_the_generator():
    first, second = slates(SOME), slates(SOME)
    one, other, later = next(iter(first)), next(iter(second)), next(iter(first))
    assert all(a.equal(b) for a, b in zip(one, other, strict=True))
    assert not one[3].equal(later[3])


def test_every_order_of_a_user_is_as_likely():
    batches, counts = slates(SOME, positives=7), torch.zeros(7)
    for _ in range(2000):
        users, items, *_ = next(iter(batches))
        counts[items[users == 0, 0]] += 1
    torch.testing.assert_close(counts / 2000, torch.full((7,), 1 / 7), atol=0.04, rtol=0)


test_refusals = refusals(
    *((name, slates, SOME, {name: 0}) for name in ("positives", "negatives", "batch_size")),
    ("interactions: got none", slates, []),
    ("users: got .* who has met every item", lambda: next(iter(slates([(0, 0), (0, 1)], 1, 2)))),
)
