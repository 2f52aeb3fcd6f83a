"""Ranking losses against hand values, closed forms, naive loops and torch's own."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import refusals
from torch.nn.functional import cross_entropy, log_softmax
from torch.testing import assert_close

from course_utils.learning import losses

LISTWISE = {name: getattr(losses, f"{name}_loss") for name in ("listnet", "listmle", "lambdarank")}
SEEDS = st.integers(0, 2**20)
pytestmark = pytest.mark.filterwarnings("error")


def near(found, expected, places=5e-4):
    return found.item() == pytest.approx(expected, abs=places)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def grades(*shape, seed=0, most=2):
    return torch.randint(0, most + 1, shape, generator=torch.Generator().manual_seed(seed))


@given(SEEDS, st.floats(0, 5), st.sampled_from([(7,), (3, 4), (1,)]))
@settings(max_examples=30)
def test_pairs_against_torch(seed, margin, shape):
    both = 3 * draw(2, *shape, seed=seed).detach()
    expected = torch.nn.MarginRankingLoss(margin)(both[0], both[1], torch.ones(shape))
    assert_close(losses.hinge_loss(*both, margin), expected)
    assert_close(losses.hinge_loss(*both), losses.hinge_loss(*both, 1.0))
    cross = cross_entropy(both.flatten(1).T, torch.zeros(both[0].numel(), dtype=torch.long))
    assert_close(losses.bpr_loss(*both), cross)  # a choice between two
    for loss in (losses.hinge_loss, losses.bpr_loss):  # only differences count
        assert_close(loss(*(both + 5)), loss(*both))


def test_triplets_against_torch_with_squared_distances():
    rows = [draw(9, 4, seed=seed) for seed in range(3)]
    distance = lambda x, y: (x - y).square().sum(-1)  # noqa: E731
    squared = torch.nn.TripletMarginWithDistanceLoss(distance_function=distance, margin=0.8)
    assert_close(losses.triplet_loss(*rows, margin=0.8), squared(*rows))


@given(SEEDS, st.floats(0, 3))
@settings(max_examples=30)
def test_warp_against_a_loop(seed, margin):
    positive, negatives = draw(6, seed=seed).detach() + 1, draw(6, 5, seed=seed + 1).detach()
    expected = 0.0
    for s, tried in zip(positive.tolist(), negatives.tolist(), strict=True):
        for trials, other in enumerate(tried, start=1):
            if margin - s + other > 0:
                expected += sum(1 / j for j in range(1, 8 // trials + 1)) * (margin - s + other)
                break
    assert near(losses.warp_loss(positive, negatives, 9, margin), expected / 6, 1e-12)


def softmax_loss(scores, **options):
    return losses.sampled_softmax_loss(scores[:, 0], scores[:, 1:], **options)


def test_softmax_is_the_full_one_with_all_others():
    assert near(softmax_loss(torch.tensor([[2.0, 1.0, 0.0]])), 0.408)
    scores, removed = draw(8, 6), torch.full((8, 1), -torch.inf)
    assert_close(softmax_loss(scores), cross_entropy(scores, torch.zeros(8, dtype=torch.long)))
    left_out = softmax_loss(torch.cat([scores, removed], dim=1))
    assert_close(left_out, softmax_loss(scores))
    left_out.backward()
    assert scores.grad.isfinite().all()


def test_the_correction_estimates_the_full_sum():
    """Two items at random by q, many times over: the mean of the corrected sums is the full sum."""
    others, q = torch.tensor([1.0, 0.0, -1.0]), torch.tensor([0.7, 0.2, 0.1])
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    rows = zip(others[pairs][:, None], (2 * q[pairs]).log()[:, None], strict=True)
    found = [losses.sampled_softmax_loss(torch.zeros(1), s, negative_log_q=log_q) for s, log_q in rows]
    assert_close((q[pairs].prod(1) * (torch.stack(found).exp() - 1)).sum(), others.exp().sum())
    scores, log_q = draw(4, 3), draw(4, 2, seed=1)
    shifted = torch.cat([scores[:, :1], scores[:, 1:] - log_q], dim=1)
    assert_close(softmax_loss(scores, negative_log_q=log_q), softmax_loss(shifted))


def test_listnet_closed_form():
    scores, relevance = draw(5, 4), grades(5, 4, most=3)
    target, found = (x / x.sum(1, keepdim=True) for x in (relevance.double().exp(), scores.exp()))
    assert_close(losses.listnet_loss(scores, relevance), -(target * found.log()).sum(1).mean())


@given(SEEDS)
@settings(max_examples=30)
def test_listmle_closed_form(seed):
    scores, relevance, expected = draw(3, 5, seed=seed), grades(3, 5, seed=seed), 0.0  # with ties: earlier first
    for row, wanted in zip(scores, relevance.tolist(), strict=True):
        order = sorted(range(5), key=lambda slot: -wanted[slot])  # stable
        expected -= sum(log_softmax(row[order[place:]], 0)[0].item() for place in range(5))
    assert losses.listmle_loss(scores, relevance).item() == pytest.approx(expected / 3)


def textbook(scores, relevance, k):
    """Burges (2010): the loss, and how each pair pushes its better item up and its worse one down; plain loops."""
    slots, loss = range(len(scores)), 0.0
    ranked = sorted(slots, key=lambda slot: -scores[slot])  # stable
    discount = [1 / math.log2(2 + place) if k is None or place < k else 0.0 for place in slots]
    best = sorted(relevance, reverse=True)
    ideal = sum((2 ** best[place] - 1) * discount[place] for place in slots)
    lambdas = [0.0 for _ in slots]
    for i, j in permutations(slots, 2):
        if relevance[i] > relevance[j]:
            moved = discount[ranked.index(i)] - discount[ranked.index(j)]
            change = abs((2 ** relevance[i] - 2 ** relevance[j]) * moved) / ideal
            loss += change * math.log1p(math.exp(scores[j] - scores[i]))
            push = -change / (1 + math.exp(scores[i] - scores[j]))
            lambdas[i] += push
            lambdas[j] -= push
    return loss, lambdas


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), SEEDS, st.sampled_from([None, 1, 3, 10]), st.booleans())
@settings(max_examples=100)
def test_lambdarank_against_the_textbook(relevance, seed, k, ties):
    scores = 2 * draw(len(relevance), seed=seed).detach()
    scores = (scores.round() if ties else scores).tolist()
    leaf = torch.tensor([scores], requires_grad=True)
    found = losses.lambdarank_loss(leaf, torch.tensor([relevance]), k=k)
    found.backward()
    loss, lambdas = textbook(scores, relevance, k)
    assert near(found, loss, 1e-7)
    assert_close(leaf.grad[0], torch.tensor(lambdas), atol=1e-7, rtol=0)


@pytest.mark.parametrize("loss", LISTWISE.values(), ids=LISTWISE)
class TestListwise:
    @pytest.mark.parametrize("padding", [0.0, 400.0, -1e300, math.nan, math.inf])
    def test_padding_has_no_influence(self, loss, padding):
        scores, relevance = draw(4, 5), grades(4, 5)
        alone = loss(scores, relevance)
        (expected,) = torch.autograd.grad(alone, scores)
        mixed = torch.tensor([0, 7, 1, 2, 6, 3, 5, 4])  # padding (5, 6, 7) before, between and after
        wide = torch.cat([scores, torch.full((4, 3), padding)], dim=1)[:, mixed].detach().requires_grad_()
        wanted = torch.cat([relevance.double(), torch.full((4, 3), padding)], dim=1)[:, mixed]
        padded = loss(wide, wanted, (mixed < 5).expand(4, 8))
        padded.backward()
        assert_close(padded, alone)
        assert_close(wide.grad[:, mixed < 5], expected)
        assert not wide.grad[:, mixed >= 5].any()

    def test_lists_with_nothing_to_say(self, loss):
        wide = draw(2, 3)
        hidden = loss(wide, torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool))
        hidden.backward()
        assert not wide.grad.any()
        assert hidden == loss(draw(1, 1), torch.ones(1, 1)) == loss(torch.zeros(2, 0), torch.zeros(2, 0)) == 0


def test_a_list_without_pairs_keeps_its_place_in_the_mean():
    scores, relevance = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    both = losses.lambdarank_loss(scores.expand(2, 2), torch.cat([relevance, torch.zeros(1, 2)]))
    assert_close(both, losses.lambdarank_loss(scores, relevance) / 2)
    steep = losses.lambdarank_loss(scores, relevance, sigma=2.0)
    assert_close(steep, losses.lambdarank_loss(2 * scores, relevance))


def compute(name, positive, negative):
    slate = torch.cat([positive[:, None], negative], dim=1)
    scores = {"triplet": (negative, slate[:, :-1], negative.flip(1)), "warp": (positive, negative, 50)}
    scores |= dict.fromkeys(["hinge", "bpr"], (positive, negative[:, :1].flatten()))
    scores |= dict.fromkeys(LISTWISE, (slate, torch.arange(slate.shape[1], 0, -1.0).expand(slate.shape)))
    return getattr(losses, f"{name}_loss")(*scores.get(name, (positive, negative)))


@pytest.mark.parametrize("name", ["hinge", "bpr", "triplet", "warp", "sampled_softmax", *LISTWISE])
class TestAll:
    def test_gradcheck(self, name):
        assert torch.autograd.gradcheck(lambda *scores: compute(name, *scores), (draw(4), draw(4, 3, seed=1)))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("sign", [1, -1])
    def test_far_scores_stay_finite(self, name, sign, dtype):
        positive = torch.tensor([500.0, -500.0, 500.0], dtype=dtype, requires_grad=True)
        negative = (sign * torch.tensor([[500.0, -500.0], [500.0, 500.0], [-500.0, -500.0]])).to(dtype)
        loss = compute(name, positive, negative.requires_grad_())
        loss.backward()
        assert loss.isfinite()
        assert loss.dtype == dtype
        assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in (positive, negative))

    def test_nan_is_not_hidden(self, name):
        negative = draw(4, 3, seed=1).detach()
        negative[2, 0] = math.nan
        assert compute(name, draw(4), negative).isnan()

    def test_no_rows(self, name):
        loss = compute(name, torch.zeros(0, requires_grad=True), torch.zeros(0, 3, requires_grad=True))
        loss.backward()
        assert loss.item() == 0
        if name in ("warp", "sampled_softmax"):  # nor negatives
            positive = torch.ones(3, requires_grad=True)
            compute(name, positive, torch.zeros(3, 0)).backward()
            assert not positive.grad.any()


ONE, THREE, TABLE = torch.zeros(1, 2), torch.zeros(3), torch.zeros(3, 2)
COLUMN, FLOATS = TABLE[:, :1], torch.zeros(3, 9)
LISTS = [
    (r"scores: got shape \(3,\), expected shape \(B, slate\)", THREE, THREE),
    *((r"relevance: got shape \(3,\)", TABLE, THREE), ("mask: got shape", TABLE, TABLE, THREE.bool())),
    *(("relevance: got nan or infinity", TABLE, TABLE + x) for x in (math.nan, math.inf)),
    (r"mask: got torch\.float", TABLE, TABLE, TABLE),
]
REFUSED = [
    *((words, loss, *given) for loss in LISTWISE.values() for words, *given in LISTS),
    (r"negative: got shape \(3, 1\)", losses.hinge_loss, THREE, COLUMN),
    (r"negative: got shape \(3, 9\)", losses.bpr_loss, COLUMN, FLOATS),
    ("margin: got -1", losses.hinge_loss, THREE, THREE, -1.0),
    (r"anchor: got shape \(9,\)", losses.triplet_loss, *FLOATS),
    ("negative", losses.triplet_loss, TABLE, TABLE, COLUMN),
    ("positive", losses.triplet_loss, TABLE, TABLE[:1], TABLE[:1]),
    ("margin", losses.triplet_loss, TABLE, TABLE, TABLE, {"margin": -1.0}),
    ("positive", losses.warp_loss, COLUMN, TABLE, 9),
    ("negatives", losses.warp_loss, THREE, TABLE[:2], 9),
    ("n_items: got 9", losses.warp_loss, THREE, FLOATS, 9),
    ("margin", losses.warp_loss, THREE, TABLE, 9, -1.0),
    ("negative", losses.sampled_softmax_loss, THREE, THREE),
    ("positive", losses.sampled_softmax_loss, COLUMN, COLUMN),
    ("negative_log_q", losses.sampled_softmax_loss, THREE, TABLE, {"negative_log_q": THREE[:2]}),
    (r"relevance: got -1\.0", losses.lambdarank_loss, ONE, torch.tensor([[-1.0, 1.0]])),
    ("relevance: got grades up to 2000", losses.lambdarank_loss, ONE.double(), torch.tensor([[2000.0, 1.0]])),
    ("relevance: got grades up to 200", losses.lambdarank_loss, ONE, torch.tensor([[200.0, 1.0]])),
    ("sigma", losses.lambdarank_loss, ONE, ONE, {"sigma": 0.0}),
]
test_refusals = refusals(*REFUSED)
