"""Ranking losses against hand values, closed forms, naive loops and torch's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, log_softmax

from course_utils.errors import InputError
from course_utils.evaluation import metrics
from course_utils.learning import losses

LISTWISE = {
    "listnet": losses.listnet_loss,
    "listmle": losses.listmle_loss,
    "lambdarank": losses.lambdarank_loss,
}
Listwise = Callable[..., torch.Tensor]
pytestmark = pytest.mark.filterwarnings("error")


def gradient(loss: Listwise, scores: list[float], relevance: list[float], **options: object) -> torch.Tensor:
    """The gradient for the scores of one list."""
    leaf = torch.tensor([scores], requires_grad=True)
    loss(leaf, torch.tensor([relevance]), **options).backward()
    return leaf.grad[0]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed)).requires_grad_()


class TestPairs:
    def test_one_pair_by_hand(self) -> None:
        positive = torch.tensor([0.5], requires_grad=True)
        loss = losses.bpr_loss(positive, torch.tensor([0.0]))
        loss.backward()
        assert loss.item() == pytest.approx(0.474, abs=5e-4)
        assert positive.grad.item() == pytest.approx(-0.378, abs=5e-4)
        assert losses.hinge_loss(positive, torch.tensor([0.0])).item() == 0.5

    def test_a_right_order_can_cost(self) -> None:
        positive, negative = torch.tensor([0.8, 0.6]), torch.tensor([0.3, 0.3])
        assert losses.hinge_loss(positive, negative).item() == pytest.approx((0.5 + 0.7) / 2)
        assert losses.hinge_loss(positive, negative, margin=0.3).item() == 0

    def test_equal_scores(self) -> None:
        zeros = torch.zeros(3)
        assert losses.hinge_loss(zeros, zeros, margin=0.7).item() == pytest.approx(0.7)
        assert losses.bpr_loss(zeros, zeros).item() == pytest.approx(math.log(2))

    @given(st.integers(0, 2**20), st.floats(0, 5), st.sampled_from([(7,), (3, 4), (1,)]))
    @settings(max_examples=30)
    def test_against_torch(self, seed: int, margin: float, shape: tuple[int, ...]) -> None:
        both = 3 * torch.randn(2, *shape, dtype=torch.float64, generator=seeded(seed))
        expected = torch.nn.MarginRankingLoss(margin)(both[0], both[1], torch.ones_like(both[0]))
        torch.testing.assert_close(losses.hinge_loss(*both, margin), expected)
        cross = cross_entropy(both.flatten(1).T, torch.zeros(both[0].numel(), dtype=torch.long))
        torch.testing.assert_close(losses.bpr_loss(*both), cross)  # a choice between two

    def test_only_differences_count(self) -> None:
        positive, negative = draw(20), draw(20, seed=1)
        for loss in (losses.hinge_loss, losses.bpr_loss):
            torch.testing.assert_close(loss(positive + 5, negative + 5), loss(positive, negative))


class TestTriplet:
    def test_by_hand(self) -> None:
        anchor = torch.zeros(3, 1)
        positive, negative = torch.ones(3, 1), torch.tensor([[0.8], [1.2], [1.6]]).sqrt()
        for row, expected in enumerate([0.7, 0.3, 0.0]):  # hard, semi-hard, easy
            rows = (t[[row]] for t in (anchor, positive, negative))
            assert losses.triplet_loss(*rows, margin=0.5).item() == pytest.approx(expected, abs=1e-12)

    def test_squared_and_plain_distances_differ(self) -> None:
        a, p, n = torch.tensor([[0.0]]), torch.tensor([[0.5]]), torch.tensor([[0.8]])
        assert losses.triplet_loss(a, p, n, margin=0.7).item() == pytest.approx(0.31)
        plain = torch.nn.functional.triplet_margin_loss(a, p, n, margin=0.7)
        assert plain.item() == pytest.approx(0.40, abs=1e-5)

    def test_against_torch_with_squared_distances(self) -> None:
        rows = [draw(9, 4, seed=seed) for seed in range(3)]
        squared = torch.nn.TripletMarginWithDistanceLoss(
            distance_function=lambda x, y: (x - y).square().sum(-1), margin=0.8
        )
        torch.testing.assert_close(losses.triplet_loss(*rows, margin=0.8), squared(*rows))

    def test_invariant_to_shift_and_rotation(self) -> None:
        rows = [draw(9, 4, seed=seed) for seed in range(3)]
        turn = torch.linalg.qr(draw(4, 4, seed=7))[0]
        moved = [row @ turn + 2 for row in rows]
        torch.testing.assert_close(losses.triplet_loss(*moved), losses.triplet_loss(*rows))

    def test_all_equal_is_a_stationary_point(self) -> None:
        table = torch.ones(3, 4, requires_grad=True)
        loss = losses.triplet_loss(table[[0]], table[[1]], table[[2]])
        loss.backward()
        assert loss.item() == 1.0
        assert not table.grad.any()


class TestWarp:
    @pytest.mark.parametrize(("trial", "rank", "weight"), [(1, 99, 5.177), (5, 19, 3.548), (33, 3, 1.833)])
    def test_by_hand(self, trial: int, rank: int, weight: float) -> None:
        negatives = torch.full((1, 40), -9.0)
        negatives[0, trial - 1] = 0.0  # the violator, level with the positive: hinge 1
        negatives[0, trial:] = 5.0  # later ones are never tried
        loss = losses.warp_loss(torch.zeros(1), negatives, n_items=100)
        assert loss.item() == pytest.approx(weight, abs=5e-4)
        assert loss.item() == pytest.approx(sum(1 / j for j in range(1, rank + 1)))

    @given(st.integers(0, 2**20), st.floats(0, 3))
    @settings(max_examples=30)
    def test_against_a_loop(self, seed: int, margin: float) -> None:
        positive = torch.randn(6, dtype=torch.float64, generator=seeded(seed)) + 1
        negatives = torch.randn(6, 5, dtype=torch.float64, generator=seeded(seed + 1))
        expected = 0.0
        for s, tried in zip(positive.tolist(), negatives.tolist(), strict=True):
            for trials, other in enumerate(tried, start=1):
                if margin - s + other > 0:
                    expected += sum(1 / j for j in range(1, 8 // trials + 1)) * (margin - s + other)
                    break
        found = losses.warp_loss(positive, negatives, 9, margin)
        assert found.item() == pytest.approx(expected / 6, abs=1e-12)

    def test_gradient_touches_the_violator_alone(self) -> None:
        positive = torch.zeros(1, requires_grad=True)
        negatives = torch.tensor([[-3.0, 0.5, 4.0]], requires_grad=True)
        losses.warp_loss(positive, negatives, n_items=11).backward()
        weight = sum(1 / j for j in range(1, 6))  # floor(10 / 2) = 5
        torch.testing.assert_close(negatives.grad, torch.tensor([[0.0, weight, 0.0]]))
        torch.testing.assert_close(positive.grad, torch.tensor([-weight]))


class TestSampledSoftmax:
    def test_by_hand(self) -> None:
        positive, negative = torch.tensor([2.0]), torch.tensor([[1.0, 0.0]])
        assert losses.sampled_softmax_loss(positive, negative).item() == pytest.approx(0.408, abs=5e-4)
        moved = losses.sampled_softmax_loss(positive + 5, negative + 5)
        assert moved.item() == pytest.approx(0.408, abs=5e-4)

    def test_is_the_full_softmax_with_all_others(self) -> None:
        scores = draw(8, 6)
        expected = cross_entropy(scores, torch.zeros(8, dtype=torch.long))
        torch.testing.assert_close(losses.sampled_softmax_loss(scores[:, 0], scores[:, 1:]), expected)

    def test_correction_estimates_the_full_sum(self) -> None:
        """Two items at random by q, many times over: the mean of the corrected sums is the full sum."""
        others, q = torch.tensor([1.0, 0.0, -1.0]), torch.tensor([0.7, 0.2, 0.1])
        pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
        loss = lambda rows: losses.sampled_softmax_loss(  # noqa: E731
            torch.zeros(1), others[rows][None], negative_log_q=(2 * q[rows]).log()[None]
        )
        sums = torch.stack([loss(rows).exp() - 1 for rows in pairs])
        chance = q[pairs].prod(1)
        torch.testing.assert_close((chance * sums).sum(), others.exp().sum())

    def test_log_q_is_subtracted(self) -> None:
        scores, log_q = draw(4, 3), draw(4, 3, seed=1)
        found = losses.sampled_softmax_loss(
            scores[:, 0], scores[:, 1:], positive_log_q=log_q[:, 0], negative_log_q=log_q[:, 1:]
        )
        shifted = scores - log_q
        torch.testing.assert_close(found, losses.sampled_softmax_loss(shifted[:, 0], shifted[:, 1:]))

    def test_minus_infinity_leaves_an_entry_out(self) -> None:
        positive, negative = draw(4), draw(4, 3, seed=1)
        removed = torch.cat([negative, torch.full((4, 1), -torch.inf)], dim=1)
        found = losses.sampled_softmax_loss(positive, removed)
        torch.testing.assert_close(found, losses.sampled_softmax_loss(positive, negative))
        found.backward()
        assert negative.grad.isfinite().all()


class TestListwise:
    def test_listnet_closed_form(self) -> None:
        scores, relevance = draw(5, 4), torch.randint(0, 4, (5, 4), generator=seeded())
        target, found = relevance.double().exp(), scores.exp()
        target, found = target / target.sum(1, keepdim=True), found / found.sum(1, keepdim=True)
        expected = -(target * found.log()).sum(1).mean()
        torch.testing.assert_close(losses.listnet_loss(scores, relevance), expected)

    def test_listnet_is_least_at_the_relevances(self) -> None:
        relevance = [3.0, 0.0, 1.0]
        slope = gradient(losses.listnet_loss, [r + 7 for r in relevance], relevance)
        torch.testing.assert_close(slope, torch.zeros(3), atol=1e-15, rtol=0)
        target = torch.tensor(relevance).softmax(0)
        least = losses.listnet_loss(torch.tensor([relevance]), torch.tensor([relevance]))
        torch.testing.assert_close(least, -(target * target.log()).sum())

    def test_plackett_luce_sums_to_one(self) -> None:
        scores = draw(1, 4)
        orders = torch.tensor(list(permutations(range(4))))  # relevance of each slot: all 24 orders
        chances = torch.stack([(-losses.listmle_loss(scores, order[None])).exp() for order in orders])
        torch.testing.assert_close(chances.sum(), torch.ones(()))
        by_hand = losses.listmle_loss(torch.tensor([[1.0, 2, 3, 0]]), torch.tensor([[3, 2, 0, 1]]))
        assert by_hand.item() == pytest.approx(6.838, abs=5e-4)

    @given(st.integers(0, 2**20))
    @settings(max_examples=30)
    def test_listmle_closed_form(self, seed: int) -> None:
        scores = torch.randn(3, 5, dtype=torch.float64, generator=seeded(seed))
        relevance = torch.randint(0, 3, (3, 5), generator=seeded(seed))  # with ties: earlier first
        expected = 0.0
        for row, grades in zip(scores, relevance.tolist(), strict=True):
            order = sorted(range(5), key=lambda slot: -grades[slot])  # stable
            for place in range(5):
                expected -= log_softmax(row[order[place:]], 0)[0].item()
        assert losses.listmle_loss(scores, relevance).item() == pytest.approx(expected / 3)

    def test_lambdas_by_hand(self) -> None:
        forces = -gradient(losses.lambdarank_loss, [1.0, 2, 3, 0], [3.0, 2, 0, 1])
        torch.testing.assert_close(forces, torch.tensor([0.381, 0.050, -0.472, 0.041]), atol=6e-4, rtol=0)
        assert forces.sum().item() == pytest.approx(0, abs=1e-15)

    @given(
        st.lists(st.integers(0, 4), min_size=1, max_size=6),
        st.integers(0, 2**20),
        st.sampled_from([None, 1, 3, 10]),
        st.sampled_from([0.5, 1.0, 2.0]),
        st.booleans(),
    )
    @settings(max_examples=100)
    def test_lambdarank_gradient_against_the_textbook(
        self, relevance: list[int], seed: int, k: int | None, sigma: float, ties: bool
    ) -> None:
        scores = 2 * torch.randn(len(relevance), dtype=torch.float64, generator=seeded(seed))
        scores = (scores.round() if ties else scores).tolist()
        found = gradient(losses.lambdarank_loss, scores, [float(r) for r in relevance], k=k, sigma=sigma)
        expected = torch.tensor(textbook_lambdas(scores, relevance, k, sigma), dtype=torch.float64)
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=0)

    def test_the_weight_is_the_change_of_ndcg(self) -> None:
        """With binary relevance, swapping two places changes the book's NDCG by the pair's weight."""
        scores, relevant = torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.tensor([0, 1, 0, 1])
        i, j = 1, 0
        before = metrics.ndcg_at_k(torch.tensor([[0, 1, 2, 3]]), relevant.bool()[None], 4)
        after = metrics.ndcg_at_k(torch.tensor([[1, 0, 2, 3]]), relevant.bool()[None], 4)
        slope = gradient(losses.lambdarank_loss, scores.tolist(), relevant.tolist())
        pair = torch.sigmoid(scores[j] - scores[i])  # slope of the pair loss, without its weight
        others = textbook_lambdas(scores.tolist(), [0, 1, 0, 1], None, 1.0, skip=(i, j))
        assert -(slope[i] - others[i]).item() == pytest.approx(((after - before).abs() * pair).item())

    @pytest.mark.parametrize("name", LISTWISE)
    def test_invariances(self, name: str) -> None:
        loss, scores = LISTWISE[name], draw(3, 6)
        relevance = torch.stack([torch.randperm(6, generator=seeded(s)) for s in range(3)])
        torch.testing.assert_close(loss(scores + 100, relevance), loss(scores, relevance))
        shuffled = torch.randperm(6, generator=seeded(9))
        moved = loss(scores[:, shuffled], relevance[:, shuffled])
        torch.testing.assert_close(moved, loss(scores, relevance))
        later = loss(scores.flip(0), relevance.flip(0))
        torch.testing.assert_close(later, loss(scores, relevance))

    @pytest.mark.parametrize("name", LISTWISE)
    @pytest.mark.parametrize("padding", [0.0, 400.0, -1e300, math.nan, math.inf])
    def test_padding_has_no_influence(self, name: str, padding: float) -> None:
        loss, scores = LISTWISE[name], draw(4, 5)
        relevance = torch.randint(0, 3, (4, 5), generator=seeded())
        alone = loss(scores, relevance)
        (expected,) = torch.autograd.grad(alone, scores)
        mixed = torch.tensor([0, 7, 1, 2, 6, 3, 5, 4])  # padding (5, 6, 7) before, between and after
        wide = torch.cat([scores, torch.full((4, 3), padding)], dim=1)[:, mixed].detach().requires_grad_()
        grades = torch.cat([relevance.double(), torch.full((4, 3), padding)], dim=1)[:, mixed]
        padded = loss(wide, grades, (mixed < 5).expand(4, 8))
        padded.backward()
        torch.testing.assert_close(padded, alone)
        torch.testing.assert_close(wide.grad[:, mixed < 5], expected)
        assert not wide.grad[:, mixed >= 5].any()

    @pytest.mark.parametrize("name", LISTWISE)
    def test_lists_with_nothing_to_say(self, name: str) -> None:
        loss, scores = LISTWISE[name], draw(1, 1)
        single = loss(scores, torch.ones(1, 1))
        assert single.item() == 0
        wide = draw(2, 3)
        hidden = loss(wide, torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool))
        assert hidden.item() == 0
        hidden.backward()
        assert not wide.grad.any()
        nothing = torch.zeros(0, 3, requires_grad=True)
        empty = loss(nothing, torch.zeros(0, 3))
        assert empty.item() == 0
        empty.backward()
        assert loss(torch.zeros(2, 0), torch.zeros(2, 0)).item() == 0

    def test_without_positives(self) -> None:
        """Equal relevances: no pair for LambdaRank; the other two still have a closed form."""
        scores, equal = torch.tensor([[2.0, 1.0, 0.0]]), torch.zeros(1, 3)
        assert losses.lambdarank_loss(scores, equal).item() == 0
        assert losses.lambdarank_loss(scores, equal + 2).item() == 0
        assert losses.listnet_loss(scores, equal).item() == pytest.approx(
            -log_softmax(scores, 1).mean().item()
        )
        assert losses.listmle_loss(scores, equal).item() == pytest.approx(0.4076 + 0.3133, abs=1e-3)

    def test_a_quiet_list_keeps_its_place_in_the_mean(self) -> None:
        scores, relevance = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
        both = losses.lambdarank_loss(scores.expand(2, 2), torch.cat([relevance, torch.zeros(1, 2)]))
        torch.testing.assert_close(both, losses.lambdarank_loss(scores, relevance) / 2)


def textbook_lambdas(
    scores: list[float],
    relevance: list[int],
    k: int | None,
    sigma: float,
    skip: tuple[int, int] | None = None,
) -> list[float]:
    """Burges (2010): each pair pushes its better item up and its worse one down, two plain loops."""
    slots = range(len(scores))
    ranked = sorted(slots, key=lambda slot: -scores[slot])  # stable
    rank = {slot: place for place, slot in enumerate(ranked, start=1)}
    discount = lambda place: 1 / math.log2(1 + place) if k is None or place <= k else 0.0  # noqa: E731
    gain = lambda slot: 2 ** relevance[slot] - 1  # noqa: E731
    ideal = sum(
        (2**grade - 1) * discount(place) for place, grade in enumerate(sorted(relevance)[::-1], start=1)
    )
    lambdas = [0.0 for _ in slots]
    for i in slots:
        for j in slots:
            if relevance[i] > relevance[j] and (i, j) != skip:
                change = abs((gain(i) - gain(j)) * (discount(rank[i]) - discount(rank[j]))) / ideal
                push = -sigma / (1 + math.exp(sigma * (scores[i] - scores[j]))) * change
                lambdas[i] += push
                lambdas[j] -= push
    return lambdas


def calls(positive: torch.Tensor, negative: torch.Tensor) -> dict[str, Callable[[], torch.Tensor]]:
    """Every loss on the same scores: row by row, one positive and some negatives, ``(B,)`` and ``(B, n)``."""
    slate = torch.cat([positive[:, None], negative], dim=1)
    relevance = torch.arange(slate.shape[1], 0, -1.0).expand(slate.shape)
    return {
        "hinge": lambda: losses.hinge_loss(positive, negative[:, 0]),
        "bpr": lambda: losses.bpr_loss(positive, negative[:, 0]),
        "triplet": lambda: losses.triplet_loss(negative, slate[:, :-1], negative.flip(1)),
        "warp": lambda: losses.warp_loss(positive, negative, 50),
        "softmax": lambda: losses.sampled_softmax_loss(positive, negative),
        **{name: lambda loss=loss: loss(slate, relevance) for name, loss in LISTWISE.items()},
    }


NAMES = list(calls(torch.zeros(1), torch.zeros(1, 1)))


class TestAll:
    @pytest.mark.parametrize("name", NAMES)
    def test_gradcheck(self, name: str) -> None:
        positive, negative = draw(4), draw(4, 3, seed=1)
        assert torch.autograd.gradcheck(lambda p, n: calls(p, n)[name](), (positive, negative))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("name", NAMES)
    def test_far_scores_stay_finite(self, name: str, sign: int, dtype: torch.dtype) -> None:
        positive = torch.tensor([500.0, -500.0, 500.0], dtype=dtype, requires_grad=True)
        negative = (sign * torch.tensor([[500.0, -500.0], [500.0, 500.0], [-500.0, -500.0]])).to(dtype)
        loss = calls(positive, negative.requires_grad_())[name]()
        loss.backward()
        assert loss.isfinite()
        assert loss.dtype == dtype
        assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in (positive, negative))

    @pytest.mark.parametrize("name", NAMES)
    def test_nan_is_not_hidden(self, name: str) -> None:
        positive, negative = draw(4).detach(), draw(4, 3, seed=1).detach()
        negative[2, 0] = math.nan
        assert calls(positive, negative)[name]().isnan()

    @pytest.mark.parametrize("name", NAMES)
    def test_no_rows(self, name: str) -> None:
        positive, negative = torch.zeros(0, requires_grad=True), torch.zeros(0, 3, requires_grad=True)
        loss = calls(positive, negative)[name]()
        assert loss.item() == 0
        assert loss.requires_grad
        loss.backward()

    @pytest.mark.parametrize("name", ["warp", "softmax"])
    def test_no_negatives(self, name: str) -> None:
        positive = torch.ones(3, requires_grad=True)
        loss = calls(positive, torch.zeros(3, 0))[name]()
        loss.backward()
        assert loss.item() == 0
        assert not positive.grad.any()


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: losses.hinge_loss(torch.zeros(3), torch.zeros(3, 1)), r"^negative: got shape \(3, 1\)"),
            (lambda: losses.bpr_loss(torch.zeros(3, 1), torch.zeros(3, 4)), r"^negative: got shape \(3, 4\)"),
            (lambda: losses.hinge_loss(torch.zeros(3), torch.zeros(3), -1.0), "^margin: got -1"),
            (lambda: losses.hinge_loss(torch.zeros(3), torch.zeros(3), math.nan), "^margin: got nan"),
            (lambda: losses.triplet_loss(*torch.zeros(3, 4)), r"^anchor: got shape \(4,\)"),
            (lambda: losses.triplet_loss(*[torch.zeros(2, 2)] * 2, torch.zeros(2, 1)), "^negative: got"),
            (lambda: losses.triplet_loss(torch.zeros(2, 2), *torch.zeros(2, 1, 2)), "^positive: got"),
            (lambda: losses.triplet_loss(*torch.zeros(3, 2, 2), margin=-1.0), "^margin: got"),
            (lambda: losses.warp_loss(torch.zeros(3, 1), torch.zeros(3, 2), 9), "^positive: got"),
            (lambda: losses.warp_loss(torch.zeros(3), torch.zeros(2, 3), 9), "^negatives: got"),
            (lambda: losses.warp_loss(torch.zeros(3), torch.zeros(3, 9), 9), "^n_items: got 9"),
            (lambda: losses.warp_loss(torch.zeros(3), torch.zeros(3, 2), 9, -1.0), "^margin: got"),
            (lambda: losses.sampled_softmax_loss(torch.zeros(3), torch.zeros(3)), "^negative: got"),
            (lambda: losses.sampled_softmax_loss(torch.zeros(2, 1), torch.zeros(2, 1)), "^positive: got"),
        ],
    )
    def test_shapes_and_margins(self, call: Callable[[], object], message: str) -> None:
        with pytest.raises(InputError, match=message):
            call()

    @pytest.mark.parametrize("part", ["positive_log_q", "negative_log_q"])
    def test_log_q_of_another_shape(self, part: str) -> None:
        with pytest.raises(InputError, match=f"^{part}: got"):
            losses.sampled_softmax_loss(torch.zeros(3), torch.zeros(3, 2), **{part: torch.zeros(2)})

    @pytest.mark.parametrize("name", LISTWISE)
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((torch.zeros(3), torch.zeros(3)), r"^scores: got shape \(3,\), expected \(B, slate\)"),
            ((torch.zeros(2, 3), torch.zeros(3)), r"^relevance: got shape \(3,\)"),
            ((torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(3, dtype=torch.bool)), "^mask: got shape"),
            ((torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(2, 3)), r"^mask: got torch\.float"),
            ((torch.zeros(1, 1), torch.tensor([[math.nan]])), "^relevance: got nan or infinity"),
            ((torch.zeros(1, 1), torch.tensor([[math.inf]])), "^relevance: got nan or infinity"),
        ],
    )
    def test_lists(self, name: str, arguments: tuple, message: str) -> None:
        with pytest.raises(InputError, match=message):
            LISTWISE[name](*arguments)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"k": 0}, "^k: got 0"),
            ({"sigma": 0.0}, "^sigma: got 0"),
            ({"sigma": math.nan}, "^sigma: got nan"),
        ],
    )
    def test_lambdarank(self, options: dict, message: str) -> None:
        with pytest.raises(InputError, match=message):
            losses.lambdarank_loss(torch.zeros(1, 2), torch.ones(1, 2), **options)

    def test_negative_relevance(self) -> None:
        with pytest.raises(InputError, match=r"^relevance: got -1\.0"):
            losses.lambdarank_loss(torch.zeros(1, 2), torch.tensor([[-1.0, 1.0]]))


@pytest.mark.parametrize(("dtype", "count"), [(torch.float64, 2000.0), (torch.float32, 200.0)])
def test_lambdarank_refuses_grades_that_overflow(dtype, count):
    with pytest.raises(InputError, match="relevance: got grades up to"):
        losses.lambdarank_loss(torch.zeros(1, 3, dtype=dtype), torch.tensor([[count, 1.0, 0.0]]))
