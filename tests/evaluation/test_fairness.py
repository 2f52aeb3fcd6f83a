"""Fairness: terms with a gradient, the term that counts quiet batches, gaps with intervals, exposure."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import refusals

from course_utils.evaluation.fairness import exposure, exposure_per_merit, group_exposure, group_gap
from course_utils.learning import regularizers as terms

# SYLLABUS 13 (a): two items; the advantaged group is 0
PREDICTED, ACTUAL = torch.tensor([4.0, 3.0, 3.0, 3.0]), torch.tensor([3.5, 3.5, 3.5, 3.0])
ITEMS, GROUPS = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
ROWS, HALF, FLAT, LIST = torch.arange(4), torch.full((2,), 0.5), torch.ones(1, 4), torch.tensor([[0, 1]])
KINDS = ("value", "absolute", "under", "over")  # of Yao and Huang
CRITERIA = ("demographic_parity", "equal_opportunity", "error_parity", *KINDS)
BY_HAND = dict(zip(CRITERIA, [0.5**2 / 4, 0.25**2, (0.25 - 0.125) ** 2 / 4, 0.75, 0.25, 0.5, 0.25], strict=True))


def call(criterion, predicted, groups=GROUPS):
    """A criterion on the hand example's rows, by its public function."""
    beside = {"demographic_parity": (), "equal_opportunity": (ACTUAL >= 3.5,), "error_parity": (ACTUAL,)}
    if criterion in beside:
        return getattr(terms, criterion)(predicted, *beside[criterion], groups)
    return terms.estimation_gap(predicted, ACTUAL, ITEMS, groups, criterion)


@pytest.mark.parametrize("criterion", CRITERIA)
class TestCriterion:
    def test_value_and_gradient(self, criterion):
        predicted, term = PREDICTED.clone().requires_grad_(), terms.FairnessTerm(criterion, GROUPS, relevant_from=3.5)
        value = call(criterion, predicted)
        assert value.item() == pytest.approx(BY_HAND[criterion])
        assert term(PREDICTED, ACTUAL, ROWS, ITEMS).equal(value)
        assert (term.batches, term.quiet) == (1, 0)
        value.backward()
        assert predicted.grad.norm() > 0
        torch.manual_seed(1)
        start = (PREDICTED + 0.1 * torch.randn(4)).requires_grad_()  # away from the kinks
        assert torch.autograd.gradcheck(lambda p: call(criterion, p), start)

    def test_one_group_is_zero_connected_and_counted_as_quiet(self, criterion):
        term = terms.FairnessTerm(criterion, GROUPS, relevant_from=3.5)
        for measure in (lambda p: call(criterion, p, 0 * GROUPS), lambda p: term(p, ACTUAL, ROWS % 2, ITEMS)):
            predicted = PREDICTED.clone().requires_grad_()
            value = measure(predicted)
            value.backward()
            assert value.item() == 0
            assert predicted.grad.tolist() == [0, 0, 0, 0]
        assert (term.batches, term.quiet) == (1, 1)


def test_a_term_counts_quiet_batches_and_broadcasts():
    opportunity, value = (terms.FairnessTerm(c, GROUPS, relevant_from=3.5) for c in ("equal_opportunity", "value"))
    opportunity(PREDICTED, torch.zeros(4), ROWS, ITEMS)
    assert value(PREDICTED, ACTUAL, ROWS, ROWS).item() == 0
    assert opportunity.quiet == value.quiet == 1
    nothing, none = torch.zeros(0), torch.zeros(0, dtype=torch.long)
    assert value(nothing.requires_grad_(), nothing.detach(), none, none).requires_grad
    assert terms.demographic_parity(nothing, none).item() == 0
    term = terms.FairnessTerm("equal_opportunity", torch.tensor([0, 1]))  # clicks with their negatives
    logits, clicked = torch.tensor([[2.0, 9.0], [1.0, -9.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert term(logits, clicked, torch.tensor([[0], [1]]), torch.tensor([[0, 1], [2, 3]])).item() == 0.25


def test_parity_knows_no_sizes_of_groups():
    scores, groups = torch.tensor([1.0, 1.0, 1.0, 5.0, 9.0]), torch.tensor([0, 0, 0, 2, 7])
    assert terms.demographic_parity(scores, groups).item() == pytest.approx((16 + 0 + 16) / 3)
    assert terms.demographic_parity(torch.tensor([4.0, 2.0]), torch.tensor([0, 1])).item() == 1.0


@given(st.integers(0, 10_000))
@settings(max_examples=15)
def test_against_a_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    predicted, actual = torch.randn(2, 40, generator=generator)
    items, groups = (torch.randint(0, n, (40,), generator=generator) for n in (6, 2))
    means = [predicted[groups == a].mean() for a in (0, 1)]
    parity = sum((m - sum(means) / 2) ** 2 for m in means) / 2
    torch.testing.assert_close(terms.demographic_parity(predicted, groups), parity)
    rows = [[(items == item) & (groups == a) for a in (0, 1)] for item in range(6)]
    errors = [[(predicted[r].mean() - actual[r].mean()).item() for r in pair] for pair in rows]
    errors = [pair for pair in errors if not any(map(math.isnan, pair))]  # of the items that both groups have
    parts = {"value": float, "absolute": abs, "under": lambda e: max(0.0, -e), "over": lambda e: max(0.0, e)}
    for kind, h in parts.items():
        gaps = [abs(h(first) - h(second)) for first, second in errors] or [0.0]
        found = terms.estimation_gap(predicted, actual, items, groups, kind).item()
        assert found == pytest.approx(sum(gaps) / len(gaps))


def test_gap_of_means_and_roots_with_the_interval_of_theory():
    values, groups = np.array([1.0, 3.0, 16.0, np.nan]), np.array([0, 0, 1, 1])
    assert group_gap(values, groups)[:3] == (2.0, 16.0, 14.0)
    assert group_gap(values, groups, root=True)[:2] == (pytest.approx(2**0.5), 4.0)
    values, groups = np.random.default_rng(0).normal(size=900), (np.arange(900) >= 600).astype(int)
    found = group_gap(values, groups)
    half = 1.96 * math.sqrt(values[:600].var() / 600 + values[600:].var() / 300)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)
    assert found.low < found.difference < found.high


def test_resamples_are_those_of_the_seed_and_rows_of_a_user_stay_together():
    values, groups = np.random.default_rng(0).normal(size=200), np.arange(200) % 2
    a, b = group_gap(values, groups), group_gap(values + 2.0 * groups, groups)
    np.testing.assert_allclose(b.draws - a.draws, [[0.0, 2.0]] * 2000, atol=1e-12)
    assert not np.array_equal(group_gap(values, groups, seed=1).draws, a.draws)
    users = np.repeat(np.arange(40), 25)
    values, groups = np.random.default_rng(0).normal(size=40)[users], (users >= 20).astype(int)
    apart, together = group_gap(values, groups), group_gap(values, groups, users=users)
    assert together.high - together.low > 4 * (apart.high - apart.low)
    sizes = np.tile([1, 9], 40)
    users = np.repeat(np.arange(80), sizes)
    found = group_gap((sizes == 1).astype(float)[users], (users >= 40).astype(int), users=users)
    assert found.first == pytest.approx(0.1)
    assert found.draws.mean(axis=0) == pytest.approx([0.1, 0.1], abs=0.02)


def test_exposure_and_its_parity_by_hand():
    scores = torch.tensor([[0.0, 0.0, 0.0, 0.0], [-torch.inf, 1.0, 1.0, -torch.inf]])
    for groups, target, expected in ((GROUPS, [0.5, 0.5], 0), (GROUPS, [0.9, 0.1], 0.16), (GROUPS * 0, [1.0, 0.0], 0)):
        assert terms.exposure_parity(scores, groups, torch.tensor(target)).item() == pytest.approx(expected)
    torch.manual_seed(0)
    scores, target = torch.randn(3, 4).requires_grad_(), torch.tensor([0.2, 0.8])
    assert torch.autograd.gradcheck(lambda s: terms.exposure_parity(s, GROUPS, target, temperature=0.5), scores)
    terms.exposure_parity(scores, GROUPS, target).backward()
    assert scores.grad.norm() > 0
    lists, merit = torch.tensor([[0, 1, 2, 3]]), torch.tensor([0.8, 0.7, 0.65, 0.6])
    assert (2 * group_exposure(lists, GROUPS)).tolist() == pytest.approx([1.631, 0.931], abs=5e-4)
    first, second = exposure_per_merit(lists, GROUPS, merit).tolist()
    assert first / second == pytest.approx(1.46, abs=5e-3)
    found = exposure(torch.tensor([[2, -1], [2, 0]]), 4)  # one place is empty
    torch.testing.assert_close(found, torch.tensor([0.5 / math.log2(3), 0, 1.0, 0]))
    lists, groups = torch.tensor([[0, 1, 2], [2, 1, 0]]), torch.tensor([0, 1, 1])
    assert exposure_per_merit(lists, groups, exposure(lists, 3)).tolist() == pytest.approx([1.0, 1.0])


T = torch.tensor
BAD = [
    (terms.FairnessTerm, "criterion: got 'demographic-parity'.* demogr", [("demographic-parity", GROUPS)]),
    (terms.estimation_gap, "kind: got 'signed'", [(PREDICTED, ACTUAL, ITEMS, GROUPS, "signed")]),
    (terms.estimation_gap, "groups: .*two", [(PREDICTED, ACTUAL, ITEMS, T([0, 1, 2, 1]))]),
    (terms.demographic_parity, ".*groups", [(PREDICTED, T(g)) for g in ([0, 1], [0.0, 1, 0, 1], [0, 1, -1, 1])]),
    (terms.demographic_parity, "groups", [(PREDICTED, T([[0, 0], [0, 0]]))]),
    (terms.error_parity, "predicted", [(T([x, 1.0, 2.0, 3.0]), ACTUAL, GROUPS) for x in (math.nan, math.inf)]),
    (terms.equal_opportunity, "relevant", [(PREDICTED, ACTUAL, GROUPS)]),
    (terms.exposure_parity, "groups", [(FLAT, GROUPS[:2], HALF)]),
    (terms.exposure_parity, "(groups: .* )?target", [(FLAT, GROUPS, T([1.0])), (FLAT, GROUPS, T([0.5, 0.6]))]),
    (terms.exposure_parity, "scores", [(FLAT * math.nan, GROUPS, HALF)]),
    (group_gap, "groups", [([1.0, x], g) for x, g in ((2.0, [0, 0]), (np.nan, [0, 1]), (2.0, [0, 2]), (2.0, [0]))]),
    (group_gap, "values", [([[1.0, 2.0]], [[0, 1]])]),
    (partial(group_gap, users=[0]), "users", [([1.0, 2.0], [0, 1])]),
    (exposure, "recommended", [(lists, 4) for lists in (T([[4]]), T([[-2]]), torch.zeros(0, 3).long(), T([1, 2]))]),
    (group_exposure, "groups", [(LIST, T([0, 2])), (LIST, T([0.0, 1.0]))]),
    (exposure_per_merit, "merit", [(LIST, T([0, 1]), T(merit)) for merit in ([1.0], [1.0, -1.0], [1.0, 0.0])]),
]
test_refusals = refusals(*((said, call, *given) for call, said, calls in BAD for given in calls))
