"""Re-rankers against hand values, naive loops and exhaustive search, and what they cost in time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from course_utils import ranking
from course_utils.errors import InputError
from course_utils.evaluation import beyond_accuracy

# The chapter's four items: A, B and C are alike, D is not.
RELEVANCE = torch.tensor([[0.9, 0.85, 0.8, 0.5]], dtype=torch.float64)
SIMILARITY = torch.tensor(
    [[1, 0.9, 0.8, 0.1], [0.9, 1, 0.7, 0.2], [0.8, 0.7, 1, 0.1], [0.1, 0.2, 0.1, 1]], dtype=torch.float64
)


def world(seed: int = 0, n_users: int = 6, n: int = 9, d: int = 4) -> tuple[torch.Tensor, ...]:
    """Scores with gaps, item vectors with twins among them, shares of three kinds, targets."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(n_users, n, generator=generator)
    scores[torch.rand(n_users, n, generator=generator) < 0.2] = -torch.inf
    vectors = normalize(torch.randn(n, d, generator=generator), dim=1)
    vectors[3] = vectors[1]
    kinds = (torch.rand(n, 3, generator=generator) < 0.5).double()
    kinds = kinds / kinds.sum(dim=1, keepdim=True).clamp(min=1)
    target = torch.rand(n_users, 3, generator=generator)
    return scores, vectors @ vectors.T, kinds, target / target.sum(dim=1, keepdim=True)


# ---- naive loops: one user, straight from the definitions ------------------------------------------------------


def greedy(scores: list[float], k: int, gain: Callable[[list[int], int], float]) -> list[int]:
    chosen: list[int] = []
    for _ in range(k):
        free = [i for i in range(len(scores)) if i not in chosen and scores[i] > -math.inf]
        chosen += [max(free, key=lambda i: (gain(chosen, i), -i))] if free else [-1]
    return chosen


def naive_mmr(s: list[float], w: torch.Tensor, k: int, t: float) -> list[int]:
    return greedy(
        s,
        k,
        lambda chosen, i: s[i] if not chosen else t * s[i] - (1 - t) * max(float(w[i, j]) for j in chosen),
    )


def naive_dpp(s: list[float], w: torch.Tensor, k: int, t: float) -> list[int]:
    def volume(rows: list[int]) -> float:
        return float(torch.linalg.det(w[rows][:, rows])) if rows else 1.0

    def gain(chosen: list[int], i: int) -> float:
        added = volume([*chosen, i]) / volume(chosen)
        return t * s[i] + (1 - t) * math.log(max(added, 1e-10))

    return greedy(s, k, gain)


def naive_calibrated(
    s: list[float], kinds: torch.Tensor, target: torch.Tensor, k: int, t: float, smoothing: float = 0.01
) -> list[int]:
    def gain(chosen: list[int], i: int) -> float:
        lists = torch.tensor([[*chosen, i]])
        kl = beyond_accuracy.calibration_kl(lists, kinds, target[None], smoothing=smoothing)
        return round(t * sum(s[j] for j in [*chosen, i]) - (1 - t) * kl.item(), 10)

    return greedy(s, k, gain)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.7, 1.0]), st.booleans())
def test_mmr_equals_a_loop(seed: int, trade_off: float, own: bool) -> None:
    scores, similarity, _, _ = world(seed)
    given_form = similarity.expand(6, 9, 9) if own else similarity
    found = ranking.mmr(scores, given_form, 6, trade_off)
    assert found.tolist() == [naive_mmr(s, similarity, 6, trade_off) for s in scores.tolist()]


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.7, 1.0]), st.booleans())
def test_dpp_equals_a_loop_of_determinants(seed: int, trade_off: float, own: bool) -> None:
    scores, _, _, _ = world(seed)
    vectors = normalize(torch.randn(9, 12, generator=torch.Generator().manual_seed(seed)), dim=1)
    similarity = vectors @ vectors.T
    given_form = similarity.expand(6, 9, 9) if own else similarity
    found = ranking.dpp(scores, given_form, 6, trade_off)
    assert found.tolist() == [naive_dpp(s, similarity, 6, trade_off) for s in scores.tolist()]


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.7]), st.booleans())
def test_calibrated_reaches_what_a_loop_reaches(seed: int, trade_off: float, own: bool) -> None:
    scores, _, kinds, target = world(seed)
    found = ranking.calibrated(scores, kinds.expand(6, 9, 3) if own else kinds, target, 5, trade_off)
    expected = [
        naive_calibrated(s, kinds, p, 5, trade_off) for s, p in zip(scores.tolist(), target, strict=True)
    ]
    if trade_off:  # at 0 many items are equally good, and rounding decides
        assert found.tolist() == expected
    else:
        reached = beyond_accuracy.calibration_kl(found[:, :1], kinds, target)
        torch.testing.assert_close(
            reached, beyond_accuracy.calibration_kl(torch.tensor(expected)[:, :1], kinds, target)
        )


# ---- by hand ---------------------------------------------------------------------------------------------------


def test_the_chapters_example() -> None:
    def diversity(rows: list[int]) -> float:
        return 1 - sum(float(SIMILARITY[i, j]) for i, j in combinations(rows, 2)) / 3

    relevant = ranking.mmr(RELEVANCE, SIMILARITY, 3, 0.7)[0].tolist()
    mixed = ranking.mmr(RELEVANCE, SIMILARITY, 3, 0.5)[0].tolist()
    assert (relevant, mixed) == ([0, 1, 2], [0, 3, 2])
    assert (round(diversity(relevant), 3), round(diversity(mixed), 3)) == (0.2, 0.667)
    assert RELEVANCE[0, relevant].sum().item() == pytest.approx(2.55)
    assert RELEVANCE[0, mixed].sum().item() == pytest.approx(2.20)

    kernel = RELEVANCE.T * SIMILARITY * RELEVANCE
    volume = {
        rows: float(torch.linalg.det(kernel[list(rows)][:, rows])) for rows in combinations(range(4), 3)
    }
    taken = ranking.dpp(RELEVANCE.log(), SIMILARITY, 3, 2 / 3)[0].tolist()
    assert taken == [0, 3, 2]
    assert round(volume[0, 2, 3], 4) == 0.0461
    assert max(volume, key=volume.get) == (1, 2, 3)  # greedy is not exact
    assert round(volume[1, 2, 3], 4) == 0.0564


def test_calibrated_finds_the_shares_of_the_history() -> None:
    kinds = torch.eye(2)[[0] * 10 + [1] * 10]
    scores = torch.linspace(1, 0, 20)[None]  # all of the first kind come first
    target = torch.tensor([[0.7, 0.3]])
    lists = ranking.calibrated(scores, kinds, target, 10, 0.01)
    assert kinds[lists[0]].sum(dim=0).tolist() == [7, 3]
    assert sorted(lists[0].tolist()) == [*range(7), 10, 11, 12]  # of each kind the most relevant


# ---- rules -----------------------------------------------------------------------------------------------------


def rerankers(scores: torch.Tensor, k: int, trade_off: float = 0.5) -> dict[str, torch.Tensor]:
    _, similarity, kinds, target = world()
    return {
        "mmr": ranking.mmr(scores, similarity, k, trade_off),
        "dpp": ranking.dpp(scores, similarity, k, trade_off),
        "calibrated": ranking.calibrated(scores, kinds, target, k, trade_off),
    }


def test_pure_relevance_is_the_order_of_the_scores() -> None:
    scores = (world()[0] * 4).round()  # with ties
    for name, lists in rerankers(scores, 9, 1.0).items():
        assert torch.equal(lists, ranking.top_k(scores, 9)), name


def test_a_short_list_ends_in_empty_places_and_nothing_comes_twice() -> None:
    scores = world()[0]
    scores[2], scores[3, 1:] = -torch.inf, -torch.inf
    scores[3, 0] = 0.5
    before = scores.clone()
    for lists in rerankers(scores, 9).values():
        assert lists.dtype == torch.long
        assert (lists[2] == -1).all()
        assert lists[3].tolist() == [0] + [-1] * 8
        for row, free in zip(lists.tolist(), scores > -torch.inf, strict=True):
            real = [i for i in row if i >= 0]
            assert sorted(real) == free.nonzero()[:, 0].tolist()
    assert torch.equal(scores, before)


def test_twins_are_no_volume_but_may_fill_up_a_list() -> None:
    similarity = torch.ones(3, 3)
    lists = ranking.dpp(torch.tensor([[0.1, 0.9, 0.5]]), similarity, 3)
    assert lists.tolist() == [[1, 2, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": torch.tensor([[0.0, torch.nan, 1.0]])}, r"^scores: got 1 nan"),
        ({"scores": torch.tensor([[0.0, torch.inf, 1.0]])}, r"^scores: got 1 nan or \+inf"),
        ({"scores": torch.zeros(3)}, r"^scores: got shape \(3,\)"),
        ({"scores": torch.zeros(0, 3)}, r"^scores: got shape \(0, 3\)"),
        ({"similarity": torch.eye(2)}, r"^similarity: got shape \(2, 2\), expected shape \(3, 3\) or"),
        ({"similarity": torch.eye(3) * torch.nan}, "^similarity: got nan"),
        ({"similarity": torch.eye(3) / 0}, "^similarity: got nan or infinite"),
        ({"k": 4}, r"^k: got 4, expected a whole number in 1\.\.3"),
        ({"k": 0}, "^k: got 0"),
        ({"k": 2.0}, "^k: got 2.0"),
        ({"trade_off": 1.5}, "^trade_off: got 1.5"),
        ({"trade_off": math.nan}, "^trade_off: got nan"),
    ],
)
@pytest.mark.parametrize("function", [ranking.mmr, ranking.dpp])
def test_bad_input(function: Callable[..., torch.Tensor], change: dict[str, object], message: str) -> None:
    call = {"scores": torch.tensor([[0.0, 0.5, 1.0]]), "similarity": torch.eye(3), "k": 2, "trade_off": 0.5}
    with pytest.raises(InputError, match=message):
        function(**(call | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinds": torch.ones(3, 2)}, r"^kinds: got rows that sum to 2\.\.2"),
        ({"kinds": torch.tensor([[2.0, -1.0]] * 3)}, "^kinds: got rows"),
        ({"target": torch.zeros(1, 2)}, r"^target: got rows that sum to 0\.\.0"),
        ({"target": torch.tensor([[torch.nan, 1.0]])}, "^target: got rows that sum to nan"),
        ({"target": torch.tensor([[0.5, 0.25, 0.25]])}, "^kinds, target: got shapes"),
        ({"target": torch.tensor([[0.5, 0.5]] * 2)}, "^kinds, target: got shapes"),
        ({"kinds": torch.eye(2)}, "^kinds, target: got shapes"),
        ({"smoothing": 0.0}, "^smoothing: got 0.0"),
        ({"trade_off": -0.1}, "^trade_off"),
        ({"k": 9}, "^k: got 9"),
    ],
)
def test_bad_input_of_calibrated(change: dict[str, object], message: str) -> None:
    call = {
        "scores": torch.tensor([[0.0, 0.5, 1.0]]),
        "kinds": torch.eye(2)[[0, 1, 1]],
        "target": torch.tensor([[0.5, 0.5]]),
        "k": 2,
    }
    with pytest.raises(InputError, match=message):
        ranking.calibrated(**(call | change))


def test_what_is_no_similarity_has_a_negative_volume() -> None:
    impossible = torch.tensor([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    with pytest.raises(InputError, match="positive semidefinite"):
        ranking.dpp(torch.zeros(1, 3), impossible, 3)


# ---- the shortlist ---------------------------------------------------------------------------------------------


def test_shortlist_by_hand() -> None:
    hidden = -torch.inf
    scores = torch.tensor([[1.0, 5.0, 3.0, 2.0], [hidden, 7.0, hidden, hidden], [2.0] * 4, [hidden] * 4])
    items, unit = ranking.shortlist(scores, 3)
    assert items[:3].tolist() == [[1, 2, 3], [1, 0, 0], [0, 1, 2]]
    assert unit.tolist() == [
        [1.0, pytest.approx(1 / 3), 0.0],
        [1.0, hidden, hidden],
        [1.0, 1.0, 1.0],
        [hidden] * 3,
    ]
    with pytest.raises(InputError, match=r"^k: got 5"):
        ranking.shortlist(scores, 5)
    with pytest.raises(InputError, match=r"^scores: got 1 nan"):
        ranking.shortlist(torch.tensor([[0.0, torch.nan]]), 1)


@given(st.integers(0, 1000))
def test_shortlist_keeps_the_order(seed: int) -> None:
    scores = world(seed)[0]
    items, unit = ranking.shortlist(scores, 5)
    top = ranking.top_k(scores, 5)
    real = top >= 0
    assert torch.equal(items[real], top[real])
    assert torch.equal(unit > -torch.inf, real)
    assert (unit[:, 1:] <= unit[:, :-1]).all()
    assert ((unit[real] >= 0) & (unit[real] <= 1)).all()


# ---- spread ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.5, 2.0]))
@settings(max_examples=15)
def test_spread_equals_a_loop(seed: int, bonus: float) -> None:
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


def test_spread_shares_out() -> None:
    scores = torch.tensor([[0.9, 0.8, 0.1]]).repeat(3, 1)
    assert ranking.spread(scores, 1, 0.0).tolist() == [[0], [0], [0]]
    assert ranking.spread(scores, 1, 0.3).tolist() == [
        [0],
        [1],
        [0],
    ]  # 1.2; then 1.05 against 1.1; then 1.05 and 0.95
    assert sorted(ranking.spread(scores, 1, 100.0)[:, 0].tolist()) == [0, 1, 2]
    for bonus in (-1.0, math.nan, math.inf):
        with pytest.raises(InputError, match=r"^bonus: got"):
            ranking.spread(scores, 1, bonus)
    with pytest.raises(InputError, match=r"^k: got 4"):
        ranking.spread(scores, 4, 0.0)


# ---- speed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [ranking.mmr, ranking.dpp])
def test_a_thousand_users_in_under_two_seconds(function: Callable[..., torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(943, 200, generator=generator)
    vectors = normalize(torch.randn(943, 200, 20, generator=generator), dim=2)
    similarity = vectors @ vectors.transpose(1, 2)
    start = time.process_time()  # of this process alone, however busy the machine is
    lists = function(scores, similarity, 10)
    assert time.process_time() - start < 2
    naive = {ranking.mmr: naive_mmr, ranking.dpp: naive_dpp}[function]
    for user in (0, 500, 942):
        assert lists[user].tolist() == naive(scores[user].tolist(), similarity[user], 10, 0.5)


# ---- in float32 as in float64 ----------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@BOTH
def test_calibrated_with_a_kind_that_nobody_has(dtype):
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.1]], dtype=dtype)
    kinds = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=dtype)
    target = torch.tensor([[0.0, 1, 0]], dtype=dtype)
    assert ranking.calibrated(scores, kinds, target, 2).tolist() == [[2, 0]]


@BOTH
def test_dpp_takes_cosines_of_more_items_than_dimensions(dtype):
    generator = torch.Generator().manual_seed(0)
    x = normalize(torch.rand(200, 20, generator=generator), dim=1).to(dtype)
    scores = torch.rand(3, 200, generator=generator).to(dtype)
    lists = ranking.dpp(scores, x @ x.T, 25)
    exact = ranking.dpp(scores.double(), x.double() @ x.double().T, 25)
    assert torch.equal(lists[:, :15], exact[:, :15])  # beyond it the volumes come near to rounding
    assert all(len(set(row)) == 25 for row in lists.tolist())
    crooked = torch.tensor([[1, 0.9, 0], [0.9, 1, 0.9], [0, 0.9, 1]], dtype=dtype)
    with pytest.raises(InputError, match="semidefinite"):
        ranking.dpp(torch.ones(1, 3, dtype=dtype), crooked, 3)


@BOTH
def test_rerankers_give_the_same_lists(dtype):
    scores, similarity, kinds, target = world(3)
    for name, tables in {"mmr": [similarity], "dpp": [similarity], "calibrated": [kinds, target]}.items():
        rerank = getattr(ranking, name)
        assert torch.equal(
            rerank(scores.to(dtype), *(t.to(dtype) for t in tables), 4), rerank(scores, *tables, 4)
        )


@BOTH
def test_shares_of_many_kinds_are_whole(dtype):
    kinds = torch.full((1, 3000), 1 / 3000, dtype=dtype)
    ranking.check_shares(kinds / kinds.sum().to(dtype), "kinds")
    with pytest.raises(InputError, match="sum"):
        ranking.check_shares(torch.full((1, 3), 0.3334, dtype=dtype), "kinds")
