"""Diversity terms: hand values, gradients against finite differences, and what each one moves on real data."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import ranking
from course_utils.data import splits
from course_utils.errors import InputError
from course_utils.evaluation import beyond_accuracy
from course_utils.learning import regularizers

Term = Callable[[torch.Tensor], torch.Tensor]
POPULARITY = torch.tensor([50, 20, 5, 2, 1], dtype=torch.float64)
SIMILARITY = torch.eye(5, dtype=torch.float64) + 0.5 * (torch.arange(5)[:, None] % 2 == torch.arange(5) % 2)
TERMS: dict[str, Term] = {
    "variance": regularizers.score_variance,
    "exposure": lambda s: regularizers.exposure_concentration(s, temperature=0.7),
    "correlation": lambda s: regularizers.popularity_correlation(s, POPULARITY[: s.shape[-1]]),
    "similarity": lambda s: regularizers.intra_list_similarity(s, SIMILARITY, temperature=0.7),
}


def table(seed: int = 0, n_users: int = 4) -> torch.Tensor:
    return torch.randn(n_users, 5, generator=torch.Generator().manual_seed(seed))


# ---- each term -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_is_that_of_finite_differences(name: str, masked: bool) -> None:
    hidden = torch.zeros(4, 5, dtype=torch.bool)
    if masked:
        hidden[0, 1] = hidden[2, 4] = hidden[3] = True
    scores = table().requires_grad_()
    term = TERMS[name]
    assert torch.autograd.gradcheck(lambda s: term(s.masked_fill(hidden, -torch.inf)), scores)
    term(scores.masked_fill(hidden, -torch.inf)).backward()
    assert scores.grad.abs().sum() > 1e-3
    assert (scores.grad[hidden] == 0).all()


@pytest.mark.parametrize("name", TERMS)
def test_a_hidden_candidate_and_a_user_without_any_count_for_nothing(name: str) -> None:
    scores = table()
    scores[1, 2] = -torch.inf
    alone = torch.cat([scores, torch.full((1, 5), -torch.inf)])
    assert torch.isclose(TERMS[name](alone), TERMS[name](scores))
    if name != "exposure":  # there a hidden candidate is one that nobody sees, and that is the point
        few = torch.full((4, 5), -torch.inf)
        few[:, :3] = table()[:, :3]
        narrow = {
            "variance": regularizers.score_variance,
            "correlation": TERMS["correlation"],
            "similarity": lambda s: regularizers.intra_list_similarity(
                s, SIMILARITY[:3, :3], temperature=0.7
            ),
        }[name]
        assert torch.isclose(TERMS[name](few), narrow(table()[:, :3]))


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_no_score_is_refused(name: str, value: float) -> None:
    scores = table()
    scores[1, 2] = value
    with pytest.raises(InputError, match=r"^scores: got 1 nan or \+inf"):
        TERMS[name](scores)
    with pytest.raises(InputError, match=r"^scores: got shape \(5,\)"):
        TERMS[name](table()[0])
    for empty in (torch.full((2, 5), -torch.inf), torch.zeros(0, 5)):
        with pytest.raises(InputError, match=r"^scores: got no candidate"):
            TERMS[name](empty)


def test_options_out_of_range() -> None:
    for temperature in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InputError, match=r"^temperature: got"):
            regularizers.soft_exposure(table(), temperature=temperature)
    with pytest.raises(InputError, match=r"^popularity: got shape \(4,\)"):
        regularizers.popularity_correlation(table(), POPULARITY[:4])
    for value in (0.0, -1.0, torch.nan, torch.inf):
        with pytest.raises(InputError, match=r"^popularity: got values"):
            regularizers.popularity_correlation(table(), torch.tensor([1.0, 2.0, 3.0, 4.0, value]))
    with pytest.raises(InputError, match=r"^similarity: got shape \(4, 4\)"):
        regularizers.intra_list_similarity(table(), SIMILARITY[:4, :4])
    with pytest.raises(InputError, match=r"^similarity: got nan"):
        regularizers.intra_list_similarity(table(), SIMILARITY.log() * 0)


# ---- variance --------------------------------------------------------------------------------------------------


def test_variance_knows_no_item() -> None:
    falling = torch.linspace(1, 0, 10)[None]
    assert round(regularizers.score_variance(falling).item(), 5) == 0.10185  # popular items first
    assert torch.isclose(
        regularizers.score_variance(falling.flip(1)), regularizers.score_variance(falling)
    )  # rare items first
    assert regularizers.score_variance(torch.tensor([[3.0]])) == 0  # not 0 / 0


@pytest.mark.parametrize(("weight", "expected"), [(1, (4.1667, 3.6667, 2.1667)), (9, (3.5, 3.4, 3.1))])
def test_variance_shrinks_and_keeps_the_order(weight: float, expected: tuple[float, ...]) -> None:
    y = torch.tensor([[5.0, 4.0, 1.0]])
    p = y.clone().requires_grad_()
    optimizer = torch.optim.SGD([p], lr=0.1)
    for _ in range(500):
        optimizer.zero_grad()
        ((p - y).square().mean() + weight * regularizers.score_variance(p)).backward()
        optimizer.step()
    assert [round(value, 4) for value in p[0].tolist()] == list(expected)
    torch.testing.assert_close(p.detach(), (y + weight * y.mean()) / (1 + weight))


# ---- exposure --------------------------------------------------------------------------------------------------


def test_exposure_by_hand() -> None:
    scores = torch.tensor([[3.0, 1.0, 1.0], [1.0, 3.0, 1.0]]).log()
    expected = torch.tensor([0.4, 0.4, 0.2])  # (.6 + .2) / 2, ...
    torch.testing.assert_close(regularizers.soft_exposure(scores), expected)
    kl = math.log(3) + 0.8 * math.log(0.4) + 0.2 * math.log(0.2)
    assert regularizers.exposure_concentration(scores).item() == pytest.approx(kl)
    half = regularizers.soft_exposure(scores, temperature=0.5)  # odds squared: 9 : 1 : 1
    torch.testing.assert_close(half, torch.tensor([10 / 22, 10 / 22, 2 / 22]))


@settings(max_examples=30)
@given(st.lists(st.floats(-50, 50), min_size=12, max_size=12), st.floats(0.05, 5))
def test_concentration_lies_between_equal_and_one_takes_all(values: list[float], temperature: float) -> None:
    scores = torch.tensor(values).reshape(3, 4)
    e = regularizers.soft_exposure(scores, temperature=temperature)
    kl = regularizers.exposure_concentration(scores, temperature=temperature)
    assert torch.isclose(e.sum(), torch.ones(()))
    assert -1e-12 <= kl <= math.log(4) + 1e-12
    shifted = regularizers.exposure_concentration(
        scores + 7 * torch.arange(3)[:, None], temperature=temperature
    )
    assert torch.isclose(shifted, kl, atol=1e-9)  # what a user likes in general is not exposure


def test_the_ends_of_concentration() -> None:
    assert regularizers.exposure_concentration(torch.zeros(3, 4)) == pytest.approx(0, abs=1e-12)
    assert regularizers.exposure_concentration(1e4 * torch.eye(4)) == pytest.approx(
        0, abs=1e-12
    )  # each its own
    same = torch.zeros(3, 4)
    same[:, 2] = 1e4
    assert regularizers.exposure_concentration(same) == pytest.approx(math.log(4))
    leaf = same.clone().requires_grad_()
    regularizers.exposure_concentration(leaf).backward()
    assert leaf.grad.isfinite().all()


def test_a_low_temperature_gives_the_share_of_first_places() -> None:
    scores = table(n_users=50)
    first = torch.bincount(scores.argmax(dim=1), minlength=5) / 50
    cold = regularizers.soft_exposure(scores, temperature=1e-4)
    torch.testing.assert_close(cold, first, atol=1e-3, rtol=0)


# ---- popularity and similarity ---------------------------------------------------------------------------------


def test_correlation_against_torch() -> None:
    scores = table()
    expected = [torch.corrcoef(torch.stack([row, POPULARITY.log()]))[0, 1] for row in scores]
    found = regularizers.popularity_correlation(scores, POPULARITY)
    assert torch.isclose(found, torch.stack(expected).mean())
    assert torch.isclose(
        regularizers.popularity_correlation(3 * POPULARITY.log()[None], POPULARITY), torch.ones(())
    )


def test_correlation_where_there_is_none() -> None:
    scores = table().requires_grad_()
    equal = regularizers.popularity_correlation(scores, torch.full((5,), 3.0))
    assert equal == 0
    flat = torch.zeros(4, 5, requires_grad=True)
    both = regularizers.popularity_correlation(flat, POPULARITY)
    (both + equal).backward()
    assert both == 0
    assert flat.grad.isfinite().all()
    assert scores.grad.isfinite().all()


def test_similarity_of_a_sure_list_is_one_minus_its_diversity() -> None:
    features = torch.nn.functional.normalize(table(n_users=5), dim=1)
    lists = torch.tensor([[0, 2, 4], [1, 2, 3]])
    scores = torch.full((2, 5), -1e4).scatter(1, lists, 0.0)
    found = regularizers.intra_list_similarity(scores, features @ features.T)
    assert torch.isclose(found, 1 - beyond_accuracy.intra_list_diversity(lists, features).mean())
    one = torch.full((2, 5), -torch.inf)
    one[:, 3] = 0.0
    assert regularizers.intra_list_similarity(one, SIMILARITY) == 0


def test_similarity_against_a_loop() -> None:
    scores = table()
    share = scores.div(0.7).softmax(dim=1)
    expected = []
    for a in share.tolist():
        pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
        weight = sum(a[i] * a[j] for i, j in pairs)
        expected.append(sum(a[i] * a[j] * float(SIMILARITY[i, j]) for i, j in pairs) / weight)
    assert TERMS["similarity"](scores).item() == pytest.approx(sum(expected) / 4)


# ---- on real data ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def films(movielens):
    """The 120 best-known films and 150 users of a training part: clicks, popularity, similarity by genre."""
    train = movielens.interactions(splits.random_split(movielens.ratings, seed=0)[0])
    popularity = torch.bincount(train.items, minlength=train.n_items).double()
    known = popularity.topk(120).indices
    dummies = movielens.items.genres.str.get_dummies("|").drop(columns="", errors="ignore")
    genres = torch.tensor(dummies.to_numpy()[known.numpy()], dtype=torch.float64)
    genres = torch.nn.functional.normalize(genres, dim=1)
    return train.mask()[:150, known].double(), popularity[known], genres @ genres.T


def trained(clicks: torch.Tensor, term: Term, weight: float) -> torch.Tensor:
    """Scores of a small factor model after sixty steps on clicks, with so much of a term."""
    generator = torch.Generator().manual_seed(0)
    p, q = (torch.randn(n, 8, generator=generator) * 0.1 for n in clicks.shape)
    bias = torch.zeros(clicks.shape[1], requires_grad=True)
    parameters = [p.requires_grad_(), q.requires_grad_(), bias]
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    for _ in range(60):
        scores = p @ q.T + bias
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, clicks)
        optimizer.zero_grad()
        (loss + weight * term(scores)).backward()
        optimizer.step()
    return (p @ q.T + bias).detach()


@pytest.mark.parametrize("name", TERMS)
def test_a_larger_weight_moves_its_measure_on_real_data(name: str, films: tuple[torch.Tensor, ...]) -> None:
    clicks, popularity, similarity = films
    term = {
        "variance": regularizers.score_variance,
        "exposure": regularizers.exposure_concentration,
        "correlation": lambda s: regularizers.popularity_correlation(s, popularity),
        "similarity": lambda s: regularizers.intra_list_similarity(s, similarity),
    }[name]
    found = [trained(clicks, term, weight) for weight in (0.0, 0.1, 1.0)]
    measures = [term(scores).item() for scores in found]
    assert measures[0] > 1.1 * measures[1] > 1.1 * measures[2]
    if name == "exposure":  # and what it is for: lists of ten that are spread over more films
        spread = [beyond_accuracy.gini(ranking.top_k(scores, 10), 120) for scores in found]
        assert spread[0] > spread[1] > spread[2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
class TestEitherType:
    TERMS = (
        regularizers.exposure_concentration,
        lambda s: regularizers.intra_list_similarity(s, torch.ones(3, 3)),
        lambda s: regularizers.popularity_correlation(s, torch.tensor([5, 2, 1])),
    )

    @pytest.mark.parametrize("term", TERMS)
    @pytest.mark.parametrize("gap", [1.0, 40.0, 88.0, 95.0, 120.0, 700.0, 740.0])
    def test_gradients_are_finite_where_the_softmax_underflows(self, dtype, term, gap):
        scores = torch.tensor([[gap, 0.0, 1.0], [gap - 10, 3.0, 0.0]], dtype=dtype, requires_grad=True)
        value = term(scores)
        value.backward()
        assert value.isfinite()
        assert scores.grad.isfinite().all()

    @pytest.mark.parametrize("gap", [0.0, 2.2, 5.0, 17.0, 36.0, 36.7, 37.0, 60.0])
    def test_two_alike_items_stay_alike_however_attention_is_shared(self, dtype, gap):
        found = regularizers.intra_list_similarity(torch.tensor([[gap, 0.0]], dtype=dtype), torch.ones(2, 2))
        assert float(found) == pytest.approx(1, abs=4 * torch.finfo(dtype).eps)

    def test_equal_scores_have_no_correlation(self, dtype):
        scores = torch.full((2, 7), 0.1, dtype=dtype)
        assert float(regularizers.popularity_correlation(scores, torch.arange(1, 8))) == 0
