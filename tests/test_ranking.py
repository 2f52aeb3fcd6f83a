"""Re-rankers against hand values, naive loops and exhaustive search, and what they cost in time."""

import math
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import refusals
from torch.nn.functional import normalize

from course_utils import ranking
from course_utils.errors import InputError
from course_utils.evaluation.beyond_accuracy import calibration_kl

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
SEEDS = st.integers(0, 1000)


def world(seed=0, d=4, twins=True):
    """Scores with gaps, similarities of items with twins among them, shares of three kinds, targets."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(6, 9, generator=generator)
    scores[torch.rand(6, 9, generator=generator) < 0.2] = -torch.inf
    vectors = normalize(torch.randn(9, d, generator=generator), dim=1)
    if twins:
        vectors[3] = vectors[1]
    kinds = (torch.rand(9, 3, generator=generator) < 0.5).double()
    target = torch.rand(6, 3, generator=generator)
    return scores, vectors @ vectors.T, normalize(kinds, p=1, dim=1), normalize(target, p=1, dim=1)


def greedy(gain, s, k, *about):
    """A naive loop for one user, straight from the definition of what an item adds to those chosen."""
    chosen = []
    for _ in range(k):
        free = [i for i in range(len(s)) if i not in chosen and s[i] > -math.inf]
        chosen += [max(free, key=lambda i: (gain(chosen, i, s, *about), -i))] if free else [-1]
    return chosen


def mmr_gain(chosen, i, s, w, t):
    return t * s[i] - (1 - t) * max(float(w[i, j]) for j in chosen) if chosen else s[i]


def dpp_gain(chosen, i, s, w, t):
    after, before = (float(torch.linalg.det(w[rows][:, rows])) for rows in ([*chosen, i], chosen))
    return t * s[i] + (1 - t) * math.log(max(after / before, 1e-10))


def calibrated_gain(chosen, i, s, kinds, target, t):
    kl = calibration_kl(torch.tensor([[*chosen, i]]), kinds, target[None])
    return round(t * sum(s[j] for j in [*chosen, i]) - (1 - t) * kl.item(), 10)


GAINS = {ranking.mmr: mmr_gain, ranking.dpp: dpp_gain}


@pytest.mark.parametrize("rerank", GAINS)
@settings(max_examples=15)
@given(SEEDS, st.sampled_from([0.0, 0.3, 0.7, 1.0]), st.booleans())
def test_equals_a_loop(rerank, seed, trade_off, own):
    volume = rerank is ranking.dpp  # nine items span one in twelve dimensions, unless two are alike
    scores, similarity, _, _ = world(seed, d=12 if volume else 4, twins=not volume)
    found = rerank(scores, similarity.expand(6, 9, 9) if own else similarity, 6, trade_off)
    assert found.tolist() == [greedy(GAINS[rerank], s, 6, similarity, trade_off) for s in scores.tolist()]


@settings(max_examples=15)
@given(SEEDS, st.sampled_from([0.0, 0.3, 0.7]), st.booleans())
def test_calibrated_reaches_what_a_loop_reaches(seed, trade_off, own):
    scores, _, kinds, target = world(seed)
    found = ranking.calibrated(scores, kinds.expand(6, 9, 3) if own else kinds, target, 5, trade_off)
    users = zip(scores.tolist(), target, strict=True)
    expected = torch.tensor([greedy(calibrated_gain, s, 5, kinds, p, trade_off) for s, p in users])
    if trade_off:  # at 0 many items are equally good, and rounding decides
        assert torch.equal(found, expected)
    else:
        reached, best = (calibration_kl(x[:, :1], kinds, target) for x in (found, expected))
        torch.testing.assert_close(reached, best)


def rerank(scores, k, trade_off=0.5, seed=0):
    similarity, *shares = (table.to(scores.dtype) for table in world(seed)[1:])
    call = scores, similarity, k, trade_off
    return [ranking.mmr(*call), ranking.dpp(*call), ranking.calibrated(scores, *shares, k, trade_off)]


def test_pure_relevance_is_the_order_of_the_scores():
    scores = (world()[0] * 4).round()  # with ties
    assert all(torch.equal(lists, ranking.top_k(scores, 9)) for lists in rerank(scores, 9, 1.0))


def test_a_short_list_ends_in_empty_places_and_nothing_comes_twice():
    scores = world()[0]
    scores[2], scores[3, 1:], scores[3, 0] = -torch.inf, -torch.inf, 0.5
    before = scores.clone()
    for lists in rerank(scores, 9):
        for row, free in zip(lists.tolist(), scores > -torch.inf, strict=True):
            real = free.nonzero()[:, 0].tolist()
            assert sorted(row[: len(real)]) == real
            assert row[len(real) :] == [-1] * (9 - len(real))
    assert torch.equal(scores, before)


def test_twins_are_no_volume_but_may_fill_up_a_list():
    assert ranking.dpp(torch.tensor([[0.1, 0.9, 0.5]]), torch.ones(3, 3), 3).tolist() == [[1, 2, 0]]


HALVES = torch.tensor([[0.5, 0.5]])
GOOD = {"scores": torch.tensor([[0.0, 0.5, 1.0]]), "k": 2, "trade_off": 0.5}
CALLS = {f: GOOD | {"similarity": torch.eye(3)} for f in (ranking.mmr, ranking.dpp)}
CALLS[ranking.calibrated] = GOOD | {"kinds": torch.eye(2)[[0, 1, 1]], "target": HALVES}
WRONG = [
    *((r"scores: got 1 nan or \+inf", "scores", torch.tensor([[0.0, x, 1.0]])) for x in (math.nan, math.inf)),
    *((rf"scores: got shape \({x}\)", "scores", torch.zeros(shape)) for x, shape in (("3,", 3), ("0, 3", (0, 3)))),
    (r"similarity: got shape \(2, 2\), expected shape \(3, 3\) or", "similarity", torch.eye(2)),
    *(("similarity: got nan or infinite", "similarity", torch.eye(3) / x) for x in (0, math.nan)),
    (r"kinds: got rows that sum to 2\.\.2", "kinds", torch.ones(3, 2)),
    ("kinds: got rows", "kinds", torch.tensor([[2.0, -1.0]] * 3)),
    ("kinds, target: got shapes", "kinds", torch.eye(2)),
    (r"target: got rows that sum to 0\.\.0", "target", torch.zeros(1, 2)),
    ("target: got rows that sum to nan", "target", torch.tensor([[torch.nan, 1.0]])),
    *(("kinds, target: got shapes", "target", x) for x in (torch.tensor([[0.5, 0.25, 0.25]]), HALVES.repeat(2, 1))),
    (r"k: got 4, expected a whole number in 1\.\.3", "k", 4),
    *((f"trade_off: got {x}", "trade_off", x) for x in (1.5, math.nan)),
]


def test_shortlist_by_hand():
    hidden = -torch.inf
    scores = torch.tensor([[1.0, 5.0, 3.0, 2.0], [hidden, 7.0, hidden, hidden], [2.0] * 4, [hidden] * 4])
    items, unit = ranking.shortlist(scores, 3)
    assert items[:3].tolist() == [[1, 2, 3], [1, 0, 0], [0, 1, 2]]
    assert unit.tolist() == [[1.0, pytest.approx(1 / 3), 0.0], [1.0, hidden, hidden], [1.0] * 3, [hidden] * 3]


test_refusals = refusals(
    *((words, f, good | {name: x}) for f, good in CALLS.items() for words, name, x in WRONG if name in good),
    *(("k: got 5", ranking.shortlist, torch.zeros(1, 4), 5), ("k: got 4", ranking.spread, torch.zeros(2, 3), 4, 0.0)),
    ("scores: got 1 nan", ranking.shortlist, torch.tensor([[0.0, torch.nan]]), 1),
    *(("bonus", ranking.spread, torch.zeros(2, 3), 1, x) for x in (-1.0, math.nan, math.inf)),
    (".*sum", ranking.check_shares, torch.full((1, 3), 0.3334), "kinds"),
)


@given(SEEDS)
def test_shortlist_keeps_the_order(seed):
    scores = world(seed)[0]
    (items, unit), top = ranking.shortlist(scores, 5), ranking.top_k(scores, 5)
    real = top >= 0
    assert torch.equal(items[real], top[real])
    assert torch.equal(unit > -torch.inf, real)
    assert (unit[:, 1:] <= unit[:, :-1]).all()
    assert ((unit[real] >= 0) & (unit[real] <= 1)).all()


@given(SEEDS, st.sampled_from([0.0, 0.5, 2.0]))
@settings(max_examples=15)
def test_spread_equals_a_loop(seed, bonus):
    scores = world(seed)[0]
    given_to, expected = [0] * 9, []
    for row in scores.tolist():
        value = [s + bonus / (1 + given_to[i]) for i, s in enumerate(row)]
        best = sorted(range(9), key=lambda i: (-value[i], i))[:4]
        best = sorted((i for i in best if row[i] > -math.inf), key=lambda i: -row[i])
        for i in best:
            given_to[i] += 1
        expected.append(best + [-1] * (4 - len(best)))
    assert ranking.spread(scores, 4, bonus).tolist() == expected


@pytest.mark.parametrize("rerank", GAINS)
def test_a_thousand_users_in_under_two_seconds(rerank):
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(943, 200, generator=generator)
    vectors = normalize(torch.randn(943, 200, 20, generator=generator), dim=2)
    similarity = vectors @ vectors.transpose(1, 2)
    start = time.process_time()  # of this process alone, however busy the machine is
    lists = rerank(scores, similarity, 10)
    assert time.process_time() - start < 2
    for user in (0, 500, 942):
        assert lists[user].tolist() == greedy(GAINS[rerank], scores[user].tolist(), 10, similarity[user], 0.5)


@BOTH
def test_calibrated_with_a_kind_that_nobody_has(dtype):
    scores, kinds = torch.tensor([[0.9, 0.8, 0.7, 0.1]], dtype=dtype), torch.eye(3, dtype=dtype)[[0, 0, 1, 1]]
    assert ranking.calibrated(scores, kinds, torch.tensor([[0.0, 1, 0]], dtype=dtype), 2).tolist() == [[2, 0]]


@BOTH
def test_dpp_takes_cosines_of_more_items_than_dimensions(dtype):
    generator = torch.Generator().manual_seed(0)
    x = normalize(torch.rand(200, 20, generator=generator), dim=1).to(dtype)
    scores = torch.rand(3, 200, generator=generator).to(dtype)
    lists = ranking.dpp(scores, x @ x.T, 25)
    exact = ranking.dpp(scores.double(), x.double() @ x.double().T, 25)
    assert torch.equal(lists[:, :15], exact[:, :15])  # beyond it the volumes come near to rounding
    assert all(len(set(row)) == 25 for row in lists.tolist())
    for corner in (0, -0.9):  # no items lie so
        crooked = torch.tensor([[1, 0.9, corner], [0.9, 1, 0.9], [corner, 0.9, 1]], dtype=dtype)
        with pytest.raises(InputError, match="semidefinite"):
            ranking.dpp(torch.ones(1, 3, dtype=dtype), crooked, 3)


def test_rerankers_give_the_same_lists_in_float32():
    scores = world(3)[0]
    assert all(map(torch.equal, rerank(scores.float(), 4, seed=3), rerank(scores, 4, seed=3)))


@BOTH
def test_shares_of_many_kinds_are_whole(dtype):
    kinds = torch.full((1, 3000), 1 / 3000, dtype=dtype)
    ranking.check_shares(kinds / kinds.sum().to(dtype), "kinds")
