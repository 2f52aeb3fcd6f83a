"""Metrics against hand values, a naive loop over users, and outside referees."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from shared import refusals

from course_utils import ranking
from course_utils.evaluation import beyond_accuracy as beyond
from course_utils.evaluation import metrics as m
from course_utils.evaluation.protocol import _PER_USER as RANKING

# Hits at ranks 1 and 3 of 5, three relevant items, computed by hand.
LIST = torch.tensor([[4, 1, 0, 2, 3]])
RELEVANT = torch.tensor([[True, False, False, False, True, True]])
HITS = m.find_hits(LIST, RELEVANT, 5)
BY_HAND = [1.5 / (1 + 1 / math.log2(3) + 1 / 2), (1 + 2 / 3) / 3, 2 / 3, 2 / 3, 2 / 5, 1.0, 1.0]
KINDS, TARGET = torch.eye(2), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
CLICK = st.tuples(st.sampled_from([-3.0, 0.0, 0.5, 2.0]), st.integers(0, 1))
# For the referees: scores without ties of 60 users and 40 items, each user with at least one relevant item.
DRAWS = torch.rand(2, 60, 40, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
SCORES, KNOWN = DRAWS[0], (DRAWS[1] < 0.2) | (torch.arange(40) == 0)
LISTS = ranking.top_k(SCORES, 10)


def naive(ranked, relevant, k):
    """Every metric of one user, straight from the definitions; -1 marks a place that stayed empty."""
    if not any(relevant):
        return dict.fromkeys(RANKING, math.nan)
    hits, ap, dcg, rr = 0, 0.0, 0.0, 0.0
    for rank, item in enumerate(ranked[:k], start=1):
        if item >= 0 and relevant[item]:
            hits += 1
            ap += hits / rank
            dcg += 1 / math.log2(rank + 1)
            rr = rr or 1 / rank
    best = min(k, sum(relevant))
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, best + 1))
    values = (dcg / ideal, ap / best, hits / sum(relevant), hits / best, hits / k, float(hits > 0), rr)
    return dict(zip(RANKING, values, strict=True))


@st.composite
def worlds(draw):
    """Scores with many ties and some excluded items, relevance with empty rows, and a k."""
    n_users, n_items = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    cell = st.tuples(st.sampled_from([-math.inf, -1.5, 0.0, -0.0, 0.25, 2.0]), st.booleans())
    cells = draw(st.lists(cell, min_size=n_users * n_items, max_size=n_users * n_items))
    scores, relevant = (torch.tensor(part).reshape(n_users, n_items) for part in zip(*cells, strict=True))
    return scores, relevant, draw(st.integers(1, n_items))


@pytest.mark.parametrize("levels", [2, 50, 10**9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_top_k_on_a_larger_table(levels, dtype):
    scores = torch.randint(levels, (200, 700), generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = scores.sort(dim=1, descending=True, stable=True).indices[:, :20]
    assert torch.equal(ranking.top_k(scores, 20), expected)


@settings(max_examples=300)
@given(worlds())
def test_top_k_is_a_stable_sort_and_every_metric_is_that_of_a_loop(world):
    scores, relevant, k = world
    before, lists = scores.clone(), ranking.top_k(scores, k)
    for row, best in zip(scores.tolist(), lists.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda item: (-row[item], item))[:k]
        assert best == [item if row[item] > -math.inf else -1 for item in order]
    assert torch.equal(scores, before)
    found = m.find_hits(lists, relevant, k)
    for name, metric in RANKING.items():
        expected = [naive(r, t, k)[name] for r, t in zip(lists.tolist(), relevant.tolist(), strict=True)]
        values = metric(lists, relevant, k)
        np.testing.assert_allclose(values, expected, rtol=1e-12, err_msg=name)
        torch.testing.assert_close(metric(lists, found, k), values, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("dtype", "rel"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_hand_example(dtype, rel):
    torch.set_default_dtype(dtype)
    for (name, metric), expected in zip(RANKING.items(), BY_HAND, strict=True):
        value = metric(LIST, RELEVANT, 5)
        torch.testing.assert_close(value, torch.tensor([expected]))  # shape and type too
        assert value.item() == pytest.approx(expected, rel=rel), name


def test_referees_torchmetrics_pyg_and_scikit_learn():
    from sklearn import metrics as sklearn
    from torch_geometric import metrics as pyg
    from torchmetrics.functional import retrieval

    theirs = {"mrr": "reciprocal_rank", "ndcg": "normalized_dcg", "map": "average_precision"}
    for name in ("precision", "recall", "hit_rate", *theirs):
        function = getattr(retrieval, f"retrieval_{theirs.get(name, name)}")
        ours = RANKING[name](LISTS, KNOWN, 10, **({"normalizer": "hits"} if name == "map" else {}))
        expected = torch.stack([function(s, r, top_k=10) for s, r in zip(SCORES, KNOWN, strict=True)])
        torch.testing.assert_close(ours, expected.to(ours), rtol=1e-5, atol=1e-6)
    for name in ("Precision", "Recall", "NDCG", "MAP", "MRR"):
        metric, ours = getattr(pyg, f"LinkPred{name}")(k=10), RANKING[name.lower()](LISTS, KNOWN, 10)
        metric.update(LISTS, KNOWN.nonzero().t())
        assert ours.mean().item() == pytest.approx(float(metric.compute()), rel=1e-5), name
    expected = sklearn.ndcg_score(KNOWN.numpy(), SCORES.numpy(), k=10)
    assert m.ndcg_at_k(LISTS, KNOWN, 10).mean().item() == pytest.approx(expected)
    tied, labels = (SCORES * 5).round().flatten(), KNOWN.flatten().long()
    assert m.auc(tied, labels) == pytest.approx(sklearn.roc_auc_score(labels, tied))
    assert m.log_loss(tied - 2, labels) == pytest.approx(sklearn.log_loss(labels, torch.sigmoid(tied - 2)))


@given(st.lists(CLICK, min_size=2, max_size=30).filter(lambda rows: len({label for _, label in rows}) == 2))
def test_click_metrics_against_a_loop(rows):
    logits, labels = zip(*rows, strict=True)
    wins = [(p > n) + 0.5 * (p == n) for p, y in rows if y for n, z in rows if not z]
    assert m.auc(logits, labels) == pytest.approx(sum(wins) / len(wins))
    losses = [math.log1p(math.exp(-s if y else s)) for s, y in rows]
    assert m.log_loss(logits, labels) == pytest.approx(sum(losses) / len(losses))
    rate = sum(labels) / len(labels)
    assert m.normalized_entropy(logits, labels) == pytest.approx(sum(losses) / len(losses) / entropy([rate, 1 - rate]))


def calibration(recommended=((0,), (1,)), kinds=KINDS, target=TARGET, smoothing=0.1):
    return beyond.calibration_kl(recommended, kinds, target, smoothing=smoothing)


def test_other_measures_by_hand():
    relevant = torch.zeros(1, 20, dtype=torch.bool)
    relevant[0, [0, 2, 10, 11, 12, 13, 14, 15]] = True  # 8 relevant, hits at ranks 1 and 3 of 5
    for rule, expected in (("hits", 0.833), ("min", 0.333), ("relevant", 0.208)):
        found = m.average_precision_at_k(torch.arange(5)[None], relevant, 5, normalizer=rule).item()
        assert round(found, 3) == expected
    errors = [0.5, -1, 1.5, -0.5], [0, 0, 0, 0]
    assert (round(m.rmse(*errors), 3), m.mae(*errors)) == (0.968, 0.875)
    assert m.normalized_entropy([math.log(1 / 3)] * 4, [0, 0, 0, 1]) == pytest.approx(1)  # the base rate
    assert m.log_loss([1e4, -1e4], [1, 0]) == 0  # nothing overflows
    assert m.auc(torch.zeros(5000, dtype=torch.float32), torch.arange(5000) % 2) == 0.5  # no count is lost
    lists = torch.tensor([[0, 1], [0, 2], [0, -1]])
    assert beyond.catalog_coverage(lists, 6) == 0.5
    assert beyond.gini(torch.tensor([[0, 1], [2, 3]]), 4) == 0
    assert beyond.gini(torch.tensor([[0], [0]]), 4) == pytest.approx(3 / 4)
    counts = np.array([3, 1, 1, 0, 0, 0])  # mean absolute difference of all pairs over twice the mean
    expected = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean())
    assert beyond.gini(lists, 6) == pytest.approx(expected)
    assert math.isnan(beyond.gini(torch.tensor([[-1]]), 4))
    bits = beyond.novelty(torch.tensor([[0, 1], [2, -1], [-1, -1]]), torch.tensor([0.5, 0.125, 1.0]))
    np.testing.assert_allclose(bits, [2, 0, math.nan])
    np.testing.assert_allclose(calibration(((-1, -1), (0, -1))), [math.nan, 0], atol=1e-12)  # an empty list


@given(st.lists(st.lists(st.integers(-2, 2), min_size=2, max_size=2), min_size=4, max_size=4))
def test_intra_list_diversity_against_a_loop(rows):
    features, expected = torch.tensor(rows, dtype=torch.float64), []
    lists = torch.tensor([[0, 1, 2, 3], [2, 0, -1, -1], [1, -1, -1, -1]])
    for row in lists:
        pairs = features[torch.combinations(row[row >= 0])]  # (n_pairs, 2, d)
        cosines = torch.cosine_similarity(pairs[:, 0], pairs[:, 1]).tolist()
        expected.append(1 - np.mean(cosines) if cosines else math.nan)
    np.testing.assert_allclose(beyond.intra_list_diversity(lists, features), expected, atol=1e-12)


@given(st.lists(st.integers(0, 4), min_size=9, max_size=9), st.sampled_from([0.01, 0.5, 1.0]))
def test_calibration_against_scipy(weights, smoothing):
    kinds = torch.tensor(weights, dtype=torch.float64).reshape(3, 3)
    kinds[0, 0] += 1
    kinds = kinds / kinds.sum(dim=1, keepdim=True).clamp(min=1)  # some rows stay 0: nothing is known
    target, expected = torch.stack([kinds[0], torch.tensor([0.2, 0.8, 0.0])]), []
    for row, p in zip([[0, 1, 2], [0]], target, strict=True):
        q = (1 - smoothing) * kinds[row].mean(dim=0) + smoothing * p
        expected.append(entropy(p.numpy(), q.numpy()) - math.log(q.sum()))  # scipy scales q to a sum of 1
    found = calibration([[0, 1, 2], [0, -1, -1]], kinds, target, smoothing)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found > -1e-12).all()


IMPOSSIBLE = [
    ("k: got 6", [(LIST, RELEVANT, 6)]),
    ("recommended: got", [(lists, RELEVANT, 5) for lists in (LIST + 2, LIST - 2, LIST * 0, LIST[0])]),
    ("relevant", [(LIST, RELEVANT.long(), 5), (LIST, RELEVANT.repeat(2, 1), 5)]),
    ("relevant: got shape", [(LIST, HITS, 3), (LIST.expand(2, 5), HITS, 5)]),
]
BAD = [(metric, message, calls) for metric in RANKING.values() for message, calls in IMPOSSIBLE]
BAD += [
    (ranking.top_k, "scores", [(torch.tensor([[1.0, math.nan, 3.0], [1.0, 2.0, 3.0]]), 1), (torch.zeros(3), 1)]),
    (ranking.top_k, r"k: got 4.* 1\.\.3", [(torch.zeros(1, 3), 4)]),
    (lambda rule: m.average_precision_at_k(LIST, RELEVANT, 5, normalizer=rule), "normalizer", [("mean",)]),
    (m.rmse, "predicted, actual", [(torch.zeros(3, 1), torch.zeros(3)), ([math.nan], [1.0])]),
    (m.mae, "predicted, actual: .*not empty", [([], [])]),
    (m.auc, "labels", [([0.1, 0.2], [1, 1]), ([0.1, 0.2], [1, 2])]),
    (m.log_loss, "labels", [([0.1, 0.2], [1, 0.5])]),
    (m.normalized_entropy, "labels", [([0.1, 0.2], [0, 0])]),
    (beyond.novelty, "popularity", [([[0]], [0.0])]),
    (beyond.gini, "recommended: got codes 7", [([[7]], 3)]),
    (lambda k: calibration(kinds=k), r"^kinds: got rows", [(KINDS * 2,), (-KINDS,)]),
    (lambda t: calibration(target=t), "^target: got", [(TARGET * 0,), (TARGET * math.nan,), (TARGET[:1],)]),
    (lambda a: calibration(smoothing=a), "^smoothing", [(0.0,)]),
    (calibration, "^recommended: got codes", [(((2,), (0,)),)]),
]
test_refusals = refusals(*((said, call, *given) for call, said, calls in BAD for given in calls))


class TestRanks:
    def test_by_hand(self):
        others = torch.tensor([[5.0, 3, 1, -torch.inf], [2.0, 2, 2, 2], [0.0, 0, 9, 9]])
        assert m.rank_among(torch.tensor([3.0, 2, 1]), others).tolist() == [2.5, 3, 3]

    def test_a_model_that_says_nothing_stands_in_the_middle(self):
        rank = m.rank_among(torch.zeros(3), torch.zeros(3, 100))
        assert rank.tolist() == [51] * 3
        assert m.sampled_hit_rate(rank, torch.tensor([100] * 3), 100, 10).tolist() == [0] * 3

    def test_sampled_hit_rate_is_what_draws_give(self):
        rank = torch.tensor([60.0, 100, 150, 200])
        exact = m.sampled_hit_rate(rank, torch.tensor([1600] * 4), 100, 10)
        for place, found in zip((60, 100, 150, 200), exact.tolist(), strict=True):  # place - 1 of 1,600 are better
            ways = (math.comb(place - 1, n) * math.comb(1601 - place, 100 - n) for n in range(10))
            assert found == pytest.approx(sum(ways) / math.comb(1600, 100))
        draw = np.random.default_rng(0)
        drawn = [(draw.permutation(1600)[:100] < 99).sum() < 10 for _ in range(4000)]  # rank 100: 99 are better
        assert np.mean(drawn) == pytest.approx(exact[1].item(), abs=0.015)
        full = m.sampled_hit_rate(torch.tensor([10.0, 10.5, 11]), torch.tensor([50] * 3), 99, 10)
        assert full.tolist() == [1, 0, 0]

    def test_bad_input(self):
        with pytest.raises(ValueError, match="others"):
            m.rank_among(torch.zeros(2), torch.zeros(3, 4))
        with pytest.raises(ValueError, match="others"):
            m.rank_among(torch.full((2,), torch.nan), torch.zeros(2, 4))
