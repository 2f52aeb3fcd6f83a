"""Fairness: terms with a gradient, the term that counts quiet batches, gaps with intervals, exposure."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import mse_loss

from course_utils.data.interactions import Interactions
from course_utils.data.movielens import MovieLens
from course_utils.errors import InputError
from course_utils.evaluation.fairness import exposure, exposure_per_merit, group_exposure, group_gap
from course_utils.learning import loop
from course_utils.learning.regularizers import (
    FairnessTerm,
    demographic_parity,
    equal_opportunity,
    error_parity,
    estimation_gap,
    exposure_parity,
)
from course_utils.models.embedding_mf import MatrixFactorization

# SYLLABUS 13 (a): two items; the advantaged group is 0
PREDICTED = torch.tensor([4.0, 3.0, 3.0, 3.0])
ACTUAL = torch.tensor([3.5, 3.5, 3.5, 3.0])
ITEMS, GROUPS = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
KINDS = ("value", "absolute", "under", "over")
CRITERIA = ("demographic_parity", "equal_opportunity", "error_parity", *KINDS)


def call(criterion: str, predicted: torch.Tensor, groups: torch.Tensor = GROUPS) -> torch.Tensor:
    """A criterion on the hand example's rows, by its public function."""
    if criterion == "demographic_parity":
        return demographic_parity(predicted, groups)
    if criterion == "equal_opportunity":
        return equal_opportunity(predicted, ACTUAL >= 3.5, groups)
    if criterion == "error_parity":
        return error_parity(predicted, ACTUAL, groups)
    return estimation_gap(predicted, ACTUAL, ITEMS, groups, criterion)


class TestByHand:
    @pytest.mark.parametrize(("kind", "expected"), list(zip(KINDS, (0.75, 0.25, 0.50, 0.25), strict=True)))
    def test_yao_and_huang(self, kind: str, expected: float) -> None:
        assert estimation_gap(PREDICTED, ACTUAL, ITEMS, GROUPS, kind).item() == pytest.approx(expected)

    def test_parity_is_a_quarter_of_the_squared_gap(self) -> None:
        assert demographic_parity(PREDICTED, GROUPS).item() == pytest.approx(0.5**2 / 4)
        assert demographic_parity(torch.tensor([4.0, 2.0]), torch.tensor([0, 1])).item() == 1.0

    def test_opportunity_and_error(self) -> None:
        assert equal_opportunity(PREDICTED, ACTUAL >= 3.5, GROUPS).item() == pytest.approx(0.25**2)
        assert error_parity(PREDICTED, ACTUAL, GROUPS).item() == pytest.approx((0.25 - 0.125) ** 2 / 4)

    def test_sizes_of_groups_play_no_part(self) -> None:
        scores, groups = torch.tensor([1.0, 1.0, 1.0, 5.0, 9.0]), torch.tensor([0, 0, 0, 2, 7])
        assert demographic_parity(scores, groups).item() == pytest.approx((16 + 0 + 16) / 3)

    def test_a_shift_of_a_group_satisfies_parity(self) -> None:
        scores = torch.tensor([[5.0, 3.0, 1.0], [4.0, 3.0, 2.0], [2.5, 1.5, 0.5], [2.0, 1.5, 1.0]])
        groups = torch.tensor([0, 0, 1, 1])
        rows = groups.repeat_interleave(3)
        shifted = scores + torch.tensor([-0.75, 0.75])[groups, None]
        assert demographic_parity(scores.flatten(), rows).item() == pytest.approx(0.5625)
        assert demographic_parity(shifted.flatten(), rows).item() == pytest.approx(0.0, abs=1e-15)
        assert shifted.argsort(dim=1).equal(scores.argsort(dim=1))

    def test_exposure(self) -> None:
        lists, groups = torch.tensor([[0, 1, 2, 3]]), torch.tensor([0, 0, 1, 1])
        merit = torch.tensor([0.8, 0.7, 0.65, 0.6])
        a, b = (2 * group_exposure(lists, groups)).tolist()
        assert (a, b) == (pytest.approx(1.631, abs=5e-4), pytest.approx(0.931, abs=5e-4))
        first, second = exposure_per_merit(lists, groups, merit).tolist()
        assert first / second == pytest.approx(1.46, abs=5e-3)
        swapped = torch.tensor([[2, 3, 0, 1]])
        share = 0.6659
        mixed = share * group_exposure(lists, groups) + (1 - share) * group_exposure(swapped, groups)
        assert (mixed / torch.tensor([0.75, 0.625])).diff().abs().item() < 1e-3
        utility = [float(exposure(order, 4) @ merit) for order in (lists, swapped)]
        assert utility[0] == pytest.approx(1.825, abs=5e-4)
        assert share * utility[0] + (1 - share) * utility[1] == pytest.approx(1.793, abs=5e-4)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_against_a_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    predicted, actual = torch.randn(2, 40, generator=generator)
    items = torch.randint(0, 6, (40,), generator=generator)
    groups = torch.randint(0, 2, (40,), generator=generator)
    means = [predicted[groups == a].mean() for a in (0, 1)]
    centre = sum(means) / 2
    torch.testing.assert_close(
        demographic_parity(predicted, groups), sum((m - centre) ** 2 for m in means) / 2
    )
    parts = {"value": float, "absolute": abs, "under": lambda e: max(0.0, -e), "over": lambda e: max(0.0, e)}
    for kind, h in parts.items():
        gaps = []
        for item in range(6):
            rows = [(items == item) & (groups == a) for a in (0, 1)]
            if all(bool(r.any()) for r in rows):
                errors = [(predicted[r].mean() - actual[r].mean()).item() for r in rows]
                gaps.append(abs(h(errors[0]) - h(errors[1])))
        found = estimation_gap(predicted, actual, items, groups, kind).item()
        assert found == pytest.approx(sum(gaps) / len(gaps) if gaps else 0.0)


class TestGradient:
    @pytest.mark.parametrize("criterion", CRITERIA)
    def test_flows(self, criterion: str) -> None:
        predicted = PREDICTED.clone().requires_grad_()
        call(criterion, predicted).backward()
        assert predicted.grad.norm() > 0

    @pytest.mark.parametrize("criterion", CRITERIA)
    def test_is_right(self, criterion: str) -> None:
        torch.manual_seed(1)
        start = (PREDICTED + 0.1 * torch.randn(4)).requires_grad_()  # away from the kinks
        assert torch.autograd.gradcheck(lambda p: call(criterion, p), start)

    @pytest.mark.parametrize("criterion", CRITERIA)
    def test_one_group_is_zero_and_connected(self, criterion: str) -> None:
        predicted = PREDICTED.clone().requires_grad_()
        value = call(criterion, predicted, torch.zeros(4, dtype=torch.long))
        value.backward()
        assert value.item() == 0
        assert predicted.grad.tolist() == [0, 0, 0, 0]

    def test_a_version_often_met_has_none(self) -> None:
        predicted = PREDICTED.clone().requires_grad_()
        means = [predicted[a == GROUPS].mean().item() for a in (0, 1)]
        assert not torch.tensor(means).var().requires_grad


class TestQuietBatches:
    def term(self, criterion: str, groups: tuple[int, ...] = (0, 0, 1, 1)) -> FairnessTerm:
        return FairnessTerm(criterion, torch.tensor(groups), relevant_from=3.5)

    @pytest.mark.parametrize("criterion", CRITERIA)
    def test_agrees_with_the_function(self, criterion: str) -> None:
        term = self.term(criterion)
        assert term(PREDICTED, ACTUAL, torch.arange(4), ITEMS).equal(call(criterion, PREDICTED))
        assert (term.batches, term.quiet) == (1, 0)

    @pytest.mark.parametrize("criterion", CRITERIA)
    def test_counts_a_batch_of_one_group(self, criterion: str) -> None:
        term = self.term(criterion)
        predicted = PREDICTED[:2].clone().requires_grad_()
        value = term(predicted, ACTUAL[:2], torch.tensor([0, 1]), ITEMS[:2])
        value.backward()
        assert value.item() == 0 == predicted.grad.norm().item()
        assert (term.batches, term.quiet) == (1, 1)

    def test_counts_no_relevant_row_and_no_shared_item(self) -> None:
        term = self.term("equal_opportunity")
        term(PREDICTED, torch.zeros(4), torch.arange(4), ITEMS)
        assert term.quiet == 1
        term = self.term("value")
        assert term(PREDICTED, ACTUAL, torch.arange(4), torch.arange(4)).item() == 0
        assert term.quiet == 1

    def test_an_empty_batch(self) -> None:
        term, nothing = self.term("value"), torch.zeros(0)
        none = torch.zeros(0, dtype=torch.long)
        assert term(nothing.requires_grad_(), nothing.detach(), none, none).requires_grad
        assert demographic_parity(nothing, none).item() == 0

    def test_broadcasts_clicks_with_negatives(self) -> None:
        term = FairnessTerm("equal_opportunity", torch.tensor([0, 1]))
        logits, clicked = torch.tensor([[2.0, 9.0], [1.0, -9.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        found = term(logits, clicked, torch.tensor([[0], [1]]), torch.tensor([[0, 1], [2, 3]]))
        assert found.item() == 0.25


class TestBadInput:
    def test_unknown_criterion(self) -> None:
        with pytest.raises(InputError, match="criterion: got 'demographic-parity', expected one of demogr"):
            FairnessTerm("demographic-parity", GROUPS)
        with pytest.raises(InputError, match="kind: got 'signed'"):
            estimation_gap(PREDICTED, ACTUAL, ITEMS, GROUPS, "signed")

    def test_one_group_a_user_is_not_one_a_row(self) -> None:
        with pytest.raises(InputError, match=r"shape \(4,\) beside groups \(2,\).*user_groups\[users\]"):
            demographic_parity(PREDICTED, torch.tensor([0, 1]))

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_nan(self, bad: float) -> None:
        with pytest.raises(InputError, match="nan or infinite"):
            error_parity(torch.tensor([bad, 1.0, 2.0, 3.0]), ACTUAL, GROUPS)

    def test_groups(self) -> None:
        for groups in (torch.tensor([0.0, 1, 0, 1]), torch.tensor([0, 1, -1, 1]), torch.zeros(2, 2).long()):
            with pytest.raises(InputError, match="groups"):
                demographic_parity(PREDICTED, groups)
        with pytest.raises(InputError, match="two groups"):
            estimation_gap(PREDICTED, ACTUAL, ITEMS, torch.tensor([0, 1, 2, 1]))

    def test_relevant(self) -> None:
        with pytest.raises(InputError, match="relevant"):
            equal_opportunity(PREDICTED, ACTUAL, GROUPS)


class TestLargerWeight:
    """More weight lowers the term's own measure on MovieLens, trained in full batches."""

    @staticmethod
    def measured(data: MovieLens, weight: float, build: Callable) -> float:
        past = data.interactions(data.ratings[::8])
        module = MatrixFactorization(past.n_users, past.n_items, 4, mean=float(past.ratings.mean()))
        term = build(past)

        def loss(m: MatrixFactorization, batch: loop.Batch) -> dict[str, torch.Tensor]:
            users, items, ratings = batch
            predicted = m(users, items)
            fair = weight * term(m, predicted, ratings, users, items)
            return {"mse": mse_loss(predicted, ratings), "fairness": fair}

        batch = (past.users, past.items, past.ratings)
        loop.fit(module, [batch], loss, epochs=15, lr=0.05, progress=False)
        with torch.no_grad():
            return term(module, module(*batch[:2]), past.ratings, past.users, past.items).item()

    @pytest.mark.parametrize("criterion", CRITERIA)
    def test_users(self, movielens: MovieLens, criterion: str) -> None:
        age = torch.tensor((movielens.users["age"] >= 35).to_numpy()).long()
        term = FairnessTerm(criterion, age, relevant_from=4.0)
        build = lambda past: lambda module, *batch: term(*batch)  # noqa: E731
        weights = (0, 1) if criterion in KINDS else (0, 10)
        without, with_term = (self.measured(movielens, w, build) for w in weights)
        assert with_term < 0.8 * without
        assert term.quiet == 0

    def test_items(self, movielens: MovieLens) -> None:
        old = torch.tensor((movielens.items["year"].fillna(1998) < 1990).to_numpy(dtype=bool)).long()
        target = torch.tensor([0.5, 0.5])

        def build(past: Interactions) -> Callable:
            seen = past.mask()[:100]

            def term(m: MatrixFactorization, *batch: torch.Tensor) -> torch.Tensor:
                scores = m.user_factors.weight[:100] @ m.item_factors.weight.T + m.item_biases.weight[:, 0]
                scores = scores.masked_fill(seen, -torch.inf)
                return exposure_parity(scores, old, target, temperature=0.2)

            return term

        assert self.measured(movielens, 10, build) < 0.5 * self.measured(movielens, 0, build)


class TestExposureParity:
    """The term that acts on what groups of items get."""

    scores = torch.tensor([[0.0, 0.0, 0.0, 0.0], [-torch.inf, 1.0, 1.0, -torch.inf]])
    groups = torch.tensor([0, 0, 1, 1])

    def test_by_hand(self) -> None:
        half, uneven = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
        assert exposure_parity(self.scores, self.groups, half).item() == pytest.approx(0.0)
        assert exposure_parity(self.scores, self.groups, uneven).item() == pytest.approx(0.16)
        alone = torch.tensor([1.0, 0.0])
        assert exposure_parity(self.scores, torch.zeros(4).long(), alone).item() == pytest.approx(0.0)

    def test_gradient(self) -> None:
        torch.manual_seed(0)
        scores, target = torch.randn(3, 4).requires_grad_(), torch.tensor([0.2, 0.8])
        assert torch.autograd.gradcheck(
            lambda s: exposure_parity(s, self.groups, target, temperature=0.5), scores
        )
        exposure_parity(scores, self.groups, target).backward()
        assert scores.grad.norm() > 0

    def test_bad_input(self) -> None:
        half = torch.tensor([0.5, 0.5])
        with pytest.raises(InputError, match="one group a candidate"):
            exposure_parity(self.scores, self.groups[:2], half)
        with pytest.raises(InputError, match="a target for each group"):
            exposure_parity(self.scores, self.groups, torch.tensor([1.0]))
        with pytest.raises(InputError, match="sum to 1"):
            exposure_parity(self.scores, self.groups, torch.tensor([0.5, 0.6]))
        with pytest.raises(InputError, match="nan"):
            exposure_parity(torch.full((1, 4), math.nan), self.groups, half)


class TestGap:
    def test_means_and_root(self) -> None:
        values, groups = np.array([1.0, 3.0, 16.0, np.nan]), np.array([0, 0, 1, 1])
        assert group_gap(values, groups)[:3] == (2.0, 16.0, 14.0)
        assert group_gap(values, groups, root=True)[:2] == (pytest.approx(2**0.5), 4.0)

    def test_interval_is_that_of_theory(self) -> None:
        rng = np.random.default_rng(0)
        values, groups = rng.normal(size=900), (np.arange(900) >= 600).astype(int)
        found = group_gap(values, groups)
        half = 1.96 * math.sqrt(values[:600].var() / 600 + values[600:].var() / 300)
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)
        assert found.low < found.difference < found.high

    def test_rows_of_a_user_stay_together(self) -> None:
        rng = np.random.default_rng(0)
        users = np.repeat(np.arange(40), 25)
        values, groups = rng.normal(size=40)[users], (users >= 20).astype(int)
        apart, together = group_gap(values, groups), group_gap(values, groups, users=users)
        assert together.high - together.low > 4 * (apart.high - apart.low)

    def test_users_count_by_their_rows(self) -> None:
        sizes = np.tile([1, 9], 40)
        users = np.repeat(np.arange(80), sizes)
        values, groups = (sizes == 1).astype(float)[users], (users >= 40).astype(int)
        found = group_gap(values, groups, users=users)
        assert found.first == pytest.approx(0.1)
        assert found.draws.mean(axis=0) == pytest.approx([0.1, 0.1], abs=0.02)

    def test_same_seed_same_resamples(self) -> None:
        rng = np.random.default_rng(0)
        values, groups = rng.normal(size=200), np.arange(200) % 2
        a, b = group_gap(values, groups), group_gap(values + 2.0 * groups, groups)
        np.testing.assert_allclose(b.draws - a.draws, [[0.0, 2.0]] * 2000, atol=1e-12)
        assert not np.array_equal(group_gap(values, groups, seed=1).draws, a.draws)

    @pytest.mark.parametrize(
        ("values", "groups", "options", "words"),
        [
            ([1.0, 2.0], [0, 0], {}, "group 1"),
            ([1.0, np.nan], [0, 1], {}, "group 1"),
            ([1.0, 2.0], [0, 2], {}, "two groups"),
            ([1.0, 2.0], [0], {}, "one of each a row"),
            ([1.0, 2.0], [0, 1], {"level": 1.0}, "level"),
        ],
    )
    def test_bad_input(self, values: list, groups: list, options: dict, words: str) -> None:
        with pytest.raises(InputError, match=words):
            group_gap(np.array(values), np.array(groups), **options)


class TestExposure:
    def test_empty_places_and_mean_over_lists(self) -> None:
        found = exposure(torch.tensor([[2, -1], [2, 0]]), 4)
        torch.testing.assert_close(found, torch.tensor([0.5 / math.log2(3), 0, 1.0, 0]))

    def test_proportional_merit_is_equal(self) -> None:
        lists, groups = torch.tensor([[0, 1, 2], [2, 1, 0]]), torch.tensor([0, 1, 1])
        assert exposure_per_merit(lists, groups, exposure(lists, 3)).tolist() == pytest.approx([1.0, 1.0])

    @pytest.mark.parametrize("lists", [torch.tensor([[4]]), torch.tensor([[-2]]), torch.zeros(0, 3).long()])
    def test_lists(self, lists: torch.Tensor) -> None:
        with pytest.raises(InputError, match="recommended"):
            exposure(lists, 4)

    def test_groups_and_merit(self) -> None:
        lists = torch.tensor([[0, 1]])
        with pytest.raises(InputError, match="no item in group 1"):
            group_exposure(lists, torch.tensor([0, 2]))
        with pytest.raises(InputError, match="groups"):
            group_exposure(lists, torch.tensor([0.0, 1.0]))
        for merit in (torch.tensor([1.0]), torch.tensor([1.0, -1.0]), torch.tensor([1.0, 0.0])):
            with pytest.raises(InputError, match="merit"):
                exposure_per_merit(lists, torch.tensor([0, 1]), merit)
