"""Diversity terms: hand values, and gradients against finite differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import refusals
from torch.nn.functional import normalize
from torch.testing import assert_close

from course_utils.evaluation import beyond_accuracy
from course_utils.learning import regularizers

POPULARITY = torch.tensor([50, 20, 5, 2, 1], dtype=torch.float64)
SIMILARITY = torch.eye(5, dtype=torch.float64) + 0.5 * (torch.arange(5)[:, None] % 2 == torch.arange(5) % 2)
HIDDEN = -torch.inf


def terms(popularity, similarity, temperature=1.0):
    return {
        "variance": regularizers.score_variance,
        "exposure": lambda s: regularizers.exposure_concentration(s, temperature=temperature),
        "correlation": lambda s: regularizers.popularity_correlation(s, popularity),
        "similarity": lambda s: regularizers.intra_list_similarity(s, similarity, temperature=temperature),
    }


TERMS = terms(POPULARITY, SIMILARITY, 0.7)


def table(seed=0, n_users=4):
    return torch.randn(n_users, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_is_that_of_finite_differences(name, masked):
    hidden = torch.zeros(4, 5, dtype=torch.bool)
    hidden[0, 1] = hidden[2, 4] = hidden[3] = masked
    scores, term = table().requires_grad_(), TERMS[name]
    assert torch.autograd.gradcheck(lambda s: term(s.masked_fill(hidden, HIDDEN)), scores)
    term(scores.masked_fill(hidden, HIDDEN)).backward()
    assert scores.grad.abs().sum() > 1e-3
    assert (scores.grad[hidden] == 0).all()


@pytest.mark.parametrize("name", TERMS)
def test_a_hidden_candidate_and_a_user_without_any_count_for_nothing(name):
    scores = table()
    scores[1, 2] = HIDDEN
    assert_close(TERMS[name](torch.cat([scores, torch.full((1, 5), HIDDEN)])), TERMS[name](scores))
    if name != "exposure":  # there a hidden candidate is one that nobody sees, and that is the point
        few = torch.full((4, 5), HIDDEN)
        few[:, :3] = scores[:, :3]
        assert_close(TERMS[name](few), terms(POPULARITY[:3], SIMILARITY[:3, :3], 0.7)[name](scores[:, :3]))


SCORES = [
    (torch.tensor([[0.0, torch.nan, 1, 2, 3]]), r"1 nan or \+inf"),
    (torch.tensor([[0.0, torch.inf, 1, 2, 3]]), r"1 nan or \+inf"),
    (torch.zeros(5), r"shape \(5,\)"),
    (torch.zeros(0, 5), r"shape \(0, 5\)"),
    (torch.full((2, 5), HIDDEN), "no candidate"),
]
BAD = (0.0, -1.0, math.inf, math.nan)
REFUSED = [
    *((term, scores, f"scores: got {got}") for term in TERMS.values() for scores, got in SCORES),
    *((terms(POPULARITY, SIMILARITY, x)["exposure"], table(), "temperature: got") for x in BAD),
    *((terms(torch.tensor([1, 2, 3, 4, x]), None)["correlation"], table(), "popularity: got") for x in BAD),
    (terms(POPULARITY[:4], None)["correlation"], table(), r"popularity: got shape \(4,\)"),
    (terms(None, SIMILARITY[:4, :4])["similarity"], table(), r"similarity: got shape \(4, 4\)"),
    (terms(None, SIMILARITY.log() * 0)["similarity"], table(), "similarity: got nan"),
]

test_refusals = refusals(*((message, term, scores) for term, scores, message in REFUSED))


def test_variance_by_hand():
    assert regularizers.score_variance(torch.linspace(1, 0, 10)[None]).item() == pytest.approx(0.10185, abs=5e-6)
    assert regularizers.score_variance(torch.tensor([[3.0]])) == 0  # not 0 / 0


def test_exposure_by_hand():
    scores = torch.tensor([[3.0, 1.0, 1.0], [1.0, 3.0, 1.0]]).log()
    assert_close(regularizers.soft_exposure(scores), torch.tensor([0.4, 0.4, 0.2]))  # (.6 + .2) / 2, ...
    kl = math.log(3) + 0.8 * math.log(0.4) + 0.2 * math.log(0.2)
    assert regularizers.exposure_concentration(scores).item() == pytest.approx(kl)
    half = regularizers.soft_exposure(scores, temperature=0.5)  # odds squared: 9 : 1 : 1
    assert_close(half, torch.tensor([10 / 22, 10 / 22, 2 / 22]))
    for ends, expected in [(torch.zeros(3, 4), 0), (1e4 * torch.eye(4), 0), (1e4 * torch.eye(4)[[2, 2]], math.log(4))]:
        assert regularizers.exposure_concentration(ends).item() == pytest.approx(expected, abs=1e-12)
    many = table(n_users=50)
    cold = regularizers.soft_exposure(many, temperature=1e-4)  # the share of first places
    assert_close(cold, torch.bincount(many.argmax(dim=1), minlength=5) / 50, atol=1e-3, rtol=0)


@settings(max_examples=30)
@given(st.lists(st.floats(-50, 50), min_size=12, max_size=12), st.floats(0.05, 5))
def test_concentration_lies_between_equal_and_one_takes_all(values, temperature):
    scores = torch.tensor(values).reshape(3, 4)
    kl = regularizers.exposure_concentration(scores, temperature=temperature)
    assert_close(regularizers.soft_exposure(scores, temperature=temperature).sum(), torch.ones(()))
    assert -1e-12 <= kl <= math.log(4) + 1e-12
    scores = scores + 7 * torch.arange(3)[:, None]  # what a user likes in general is not exposure
    assert_close(regularizers.exposure_concentration(scores, temperature=temperature), kl, atol=1e-9, rtol=1e-5)


def test_correlation_against_torch():
    scores = table()
    expected = [torch.corrcoef(torch.stack([row, POPULARITY.log()]))[0, 1] for row in scores]
    assert_close(regularizers.popularity_correlation(scores, POPULARITY), torch.stack(expected).mean())


def test_similarity_of_a_sure_list_is_one_minus_its_diversity():
    features, lists = normalize(table(n_users=5), dim=1), torch.tensor([[0, 2, 4], [1, 2, 3]])
    scores = torch.full((2, 5), -1e4).scatter(1, lists, 0.0)
    found = regularizers.intra_list_similarity(scores, features @ features.T)
    assert_close(found, 1 - beyond_accuracy.intra_list_diversity(lists, features).mean())
    one = torch.full((2, 5), HIDDEN)
    one[:, 3] = 0.0
    assert TERMS["similarity"](one) == 0


def test_similarity_against_a_loop():
    scores, expected = table(), []
    for a in scores.div(0.7).softmax(dim=1).tolist():
        pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
        weight = sum(a[i] * a[j] for i, j in pairs)
        expected.append(sum(a[i] * a[j] * float(SIMILARITY[i, j]) for i, j in pairs) / weight)
    assert TERMS["similarity"](scores).item() == pytest.approx(sum(expected) / 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
class TestEitherType:
    @pytest.mark.parametrize("name", ["exposure", "correlation", "similarity"])
    @pytest.mark.parametrize("gap", [1.0, 40.0, 88.0, 95.0, 120.0, 700.0, 740.0])
    def test_gradients_are_finite_where_the_softmax_underflows(self, dtype, name, gap):
        scores = torch.tensor([[gap, 0.0, 1.0], [gap - 10, 3.0, 0.0]], dtype=dtype, requires_grad=True)
        value = terms(POPULARITY[:3], torch.ones(3, 3))[name](scores)
        value.backward()
        assert value.isfinite()
        assert scores.grad.isfinite().all()

    @pytest.mark.parametrize("gap", [0.0, 2.2, 5.0, 17.0, 36.0, 36.7, 37.0, 60.0])
    def test_two_alike_items_stay_alike_however_attention_is_shared(self, dtype, gap):
        found = regularizers.intra_list_similarity(torch.tensor([[gap, 0.0]], dtype=dtype), torch.ones(2, 2))
        assert float(found) == pytest.approx(1, abs=4 * torch.finfo(dtype).eps)

    @pytest.mark.parametrize(("spread", "popularity"), [(0, range(1, 8)), (1, [3] * 7)])
    def test_equal_scores_or_items_have_no_correlation(self, dtype, spread, popularity):
        scores = (spread * torch.arange(14.0).view(2, 7) + 0.1).to(dtype).requires_grad_()
        found = regularizers.popularity_correlation(scores, torch.tensor(popularity))
        found.backward()
        assert found == 0
        assert scores.grad.isfinite().all()
