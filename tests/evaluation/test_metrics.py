"""Metrics against hand values, a naive loop over users, and outside referees."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import ranking
from course_utils.errors import InputError
from course_utils.evaluation import beyond_accuracy
from course_utils.evaluation import metrics as m

RANKING = {
    "precision": m.precision_at_k,
    "recall": m.recall_at_k,
    "capped_recall": m.capped_recall_at_k,
    "hit_rate": m.hit_rate_at_k,
    "mrr": m.reciprocal_rank_at_k,
    "ap": m.average_precision_at_k,
    "ndcg": m.ndcg_at_k,
}


def naive(ranked, relevant, k):
    """Every ranking metric of one user, straight from the definitions."""
    n_relevant = sum(relevant)
    if n_relevant == 0:
        return dict.fromkeys(RANKING, math.nan)
    hits, ap, dcg, rr = 0, 0.0, 0.0, 0.0
    for rank, item in enumerate(ranked[:k], start=1):
        if item >= 0 and relevant[item]:
            hits += 1
            ap += hits / rank
            dcg += 1 / math.log2(rank + 1)
            rr = rr or 1 / rank
    best = min(k, n_relevant)
    return {
        "precision": hits / k,
        "recall": hits / n_relevant,
        "capped_recall": hits / best,
        "hit_rate": float(hits > 0),
        "mrr": rr,
        "ap": ap / best,
        "ndcg": dcg / sum(1 / math.log2(rank + 1) for rank in range(1, best + 1)),
    }


@st.composite
def worlds(draw):
    """Scores with many ties and some excluded items, relevance with empty rows, and a k."""
    n_users, n_items = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    score = st.sampled_from([-math.inf, -1.5, 0.0, -0.0, 0.25, 2.0])
    rows = draw(st.lists(score, min_size=n_users * n_items, max_size=n_users * n_items))
    bits = draw(st.lists(st.booleans(), min_size=n_users * n_items, max_size=n_users * n_items))
    scores = torch.tensor(rows).reshape(n_users, n_items)
    return scores, torch.tensor(bits).reshape(n_users, n_items), draw(st.integers(1, n_items))


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_top_k_is_a_stable_sort(world):
    scores, _, k = world
    before = scores.clone()
    lists = ranking.top_k(scores, k)
    for row, found in zip(scores.tolist(), lists.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda item: (-row[item], item))[:k]
        assert found == [item if row[item] > -math.inf else -1 for item in order]
    assert torch.equal(scores, before)


@pytest.mark.parametrize("levels", [2, 50, 10**9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_top_k_on_a_larger_table(levels, dtype):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(levels, (200, 700), generator=generator).to(dtype)
    expected = scores.sort(dim=1, descending=True, stable=True).indices[:, :20]
    assert torch.equal(ranking.top_k(scores, 20), expected)


def test_top_k_refuses_nan_and_a_wrong_k():
    with pytest.raises(InputError, match="nan for 1 user"):
        ranking.top_k(torch.tensor([[1.0, math.nan, 3.0], [1.0, 2.0, 3.0]]), 1)
    for k in (0, 4, 1.0, True):
        with pytest.raises(InputError, match=r"k: got .* 1\.\.3"):
            ranking.top_k(torch.zeros(1, 3), k)
    with pytest.raises(InputError, match="shape"):
        ranking.top_k(torch.zeros(3), 1)


@settings(deadline=None)
@given(worlds())
def test_every_ranking_metric_against_a_loop(world):
    scores, relevant, k = world
    lists = ranking.top_k(scores, k)
    for name, metric in RANKING.items():
        expected = [naive(r, t, k)[name] for r, t in zip(lists.tolist(), relevant.tolist(), strict=True)]
        np.testing.assert_allclose(metric(lists, relevant, k), expected, rtol=1e-12, err_msg=name)


@settings(max_examples=30, deadline=None)
@given(worlds())
def test_hits_found_once_serve_every_metric(world):
    scores, relevant, k = world
    lists = ranking.top_k(scores, k)
    found = m.find_hits(lists, relevant, k)
    for metric in RANKING.values():
        torch.testing.assert_close(
            metric(lists, found, k), metric(lists, relevant, k), rtol=0, atol=0, equal_nan=True
        )


def test_hits_of_other_lists_are_refused():
    found = m.find_hits(LIST, RELEVANT, 5)
    with pytest.raises(InputError, match=r"hits of shape \(1, 5\).*hits of 1 lists of 3"):
        m.recall_at_k(LIST, found, 3)
    with pytest.raises(InputError, match="hits of 2 lists of 5"):
        m.recall_at_k(LIST.expand(2, 5), found, 5)
    with pytest.raises(InputError, match="graded"):
        m.ndcg_at_k(LIST, found, 5, gain="linear")


# Hits at ranks 1 and 3 of 5, three relevant items, computed by hand.
LIST = torch.tensor([[4, 1, 0, 2, 3]])
RELEVANT = torch.tensor([[True, False, False, False, True, True]])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (m.precision_at_k, 2 / 5),
        (m.recall_at_k, 2 / 3),
        (m.capped_recall_at_k, 2 / 3),
        (m.hit_rate_at_k, 1),
        (m.reciprocal_rank_at_k, 1),
        (m.average_precision_at_k, (1 + 2 / 3) / 3),
        (m.ndcg_at_k, 1.5 / (1 + 1 / math.log2(3) + 1 / 2)),
    ],
)
def test_hand_example(metric, expected):
    value = metric(LIST, RELEVANT, 5)
    assert value.shape == (1,)
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(expected)


def test_hand_example_rounded_as_the_chapter_prints_it():
    assert round(m.average_precision_at_k(LIST, RELEVANT, 5).item(), 3) == 0.556
    assert round(m.ndcg_at_k(LIST, RELEVANT, 5).item(), 3) == 0.704
    assert round(m.rmse([0.5, -1, 1.5, -0.5], [0, 0, 0, 0]), 3) == 0.968
    assert m.mae([0.5, -1, 1.5, -0.5], [0, 0, 0, 0]) == 0.875


def test_more_relevant_items_than_a_byte_counts():
    relevant = torch.ones(1, 70_000, dtype=torch.bool)
    assert m.recall_at_k(torch.arange(700)[None], relevant, 700).item() == pytest.approx(0.01)
    assert m.recall_at_k(torch.arange(3)[None], relevant[:, :300], 3).item() == pytest.approx(0.01)


def test_average_precision_has_three_definitions():
    relevant = torch.zeros(1, 20, dtype=torch.bool)
    relevant[0, [0, 2, 10, 11, 12, 13, 14, 15]] = True  # 8 relevant, hits at ranks 1 and 3 of 5
    values = [
        m.average_precision_at_k(torch.arange(5)[None], relevant, 5, normalizer=name).item()
        for name in ("hits", "min", "relevant")
    ]
    assert np.round(values, 3).tolist() == [0.833, 0.333, 0.208]
    with pytest.raises(InputError, match="normalizer"):
        m.average_precision_at_k(LIST, RELEVANT, 5, normalizer="mean")


def test_graded_gain():
    grades, order = torch.tensor([[3.0, 2.0, 0.0, 1.0]]), torch.arange(4)[None]
    assert round(m.ndcg_at_k(order, grades, 4, gain="exponential").item(), 4) == 0.9926
    assert round(m.ndcg_at_k(order, grades, 4, gain="linear").item(), 4) == 0.9854
    binary = m.ndcg_at_k(LIST, RELEVANT, 5)
    for gain in ("linear", "exponential"):
        torch.testing.assert_close(m.ndcg_at_k(LIST, RELEVANT, 5, gain=gain), binary)
    assert m.ndcg_at_k(order, torch.zeros(1, 4), 2, gain="linear").isnan().all()
    with pytest.raises(InputError, match="grade"):
        m.ndcg_at_k(order, -grades, 4, gain="linear")
    with pytest.raises(InputError, match="gain"):
        m.ndcg_at_k(order, grades, 4, gain="log")


def test_impossible_lists_are_refused():
    for metric in RANKING.values():
        with pytest.raises(InputError, match="k: got 6"):
            metric(LIST, RELEVANT, 6)
        with pytest.raises(InputError, match="codes"):
            metric(LIST + 2, RELEVANT, 5)
        with pytest.raises(InputError, match="codes"):
            metric(LIST - 2, RELEVANT, 5)
        with pytest.raises(InputError, match="twice"):
            metric(torch.zeros(1, 5, dtype=torch.long), RELEVANT, 5)
        with pytest.raises(InputError, match="bool"):
            metric(LIST, RELEVANT.long(), 5)
        with pytest.raises(InputError, match="shapes"):
            metric(LIST, RELEVANT.repeat(2, 1), 5)


@pytest.fixture(scope="module")
def world():
    """Scores without ties: 60 users, 40 items, each user with at least one relevant item."""
    generator = torch.Generator().manual_seed(5)
    scores = torch.rand(60, 40, generator=generator, dtype=torch.float64)
    relevant = torch.rand(60, 40, generator=generator) < 0.2
    relevant[:, 0] = True
    return scores, relevant, ranking.top_k(scores, 10)


def test_referee_torchmetrics(world):
    from torchmetrics.functional import retrieval as referee

    scores, relevant, lists = world
    pairs = [
        (m.precision_at_k(lists, relevant, 10), referee.retrieval_precision),
        (m.recall_at_k(lists, relevant, 10), referee.retrieval_recall),
        (m.hit_rate_at_k(lists, relevant, 10), referee.retrieval_hit_rate),
        (m.reciprocal_rank_at_k(lists, relevant, 10), referee.retrieval_reciprocal_rank),
        (m.ndcg_at_k(lists, relevant, 10), referee.retrieval_normalized_dcg),
        (
            m.average_precision_at_k(lists, relevant, 10, normalizer="hits"),
            referee.retrieval_average_precision,
        ),
    ]
    for ours, function in pairs:
        theirs = [function(s, r, top_k=10) for s, r in zip(scores, relevant, strict=True)]
        torch.testing.assert_close(ours, torch.stack(theirs).to(ours), rtol=1e-5, atol=1e-6)


def test_referee_ranx(world, monkeypatch):
    import numba

    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)  # compiling takes minutes, these 60 users a moment
    from ranx import Qrels, Run, evaluate

    scores, relevant, lists = world
    qrels = {f"u{u}": {f"i{i}": 1 for i in row.nonzero()[:, 0].tolist()} for u, row in enumerate(relevant)}
    run = {f"u{u}": {f"i{i}": s for i, s in enumerate(row.tolist())} for u, row in enumerate(scores)}
    names = ["ndcg@10", "map@10", "recall@10", "precision@10", "hit_rate@10", "mrr@10"]
    theirs = evaluate(Qrels(qrels), Run(run), names)
    ours = {
        "ndcg@10": m.ndcg_at_k(lists, relevant, 10),
        "map@10": m.average_precision_at_k(lists, relevant, 10, normalizer="relevant"),
        "recall@10": m.recall_at_k(lists, relevant, 10),
        "precision@10": m.precision_at_k(lists, relevant, 10),
        "hit_rate@10": m.hit_rate_at_k(lists, relevant, 10),
        "mrr@10": m.reciprocal_rank_at_k(lists, relevant, 10),
    }
    for name, value in ours.items():
        assert value.mean().item() == pytest.approx(theirs[name], rel=1e-9), name


def test_referee_scikit_learn(world):
    from sklearn import metrics as referee

    scores, relevant, lists = world
    ours = m.ndcg_at_k(lists, relevant, 10).mean().item()
    assert ours == pytest.approx(referee.ndcg_score(relevant.numpy(), scores.numpy(), k=10))
    grades = (scores * 7).round() % 5
    ours = m.ndcg_at_k(lists, grades, 10, gain="linear").mean().item()
    assert ours == pytest.approx(referee.ndcg_score(grades.numpy(), scores.numpy(), k=10))
    tied, labels = (scores * 5).round().flatten(), relevant.flatten().long()
    assert m.auc(tied, labels) == pytest.approx(referee.roc_auc_score(labels, tied))
    assert m.log_loss(tied - 2, labels) == pytest.approx(referee.log_loss(labels, torch.sigmoid(tied - 2)))


def test_referee_pyg(world):
    from torch_geometric import metrics as referee

    _, relevant, lists = world
    edges = relevant.nonzero().t()
    for name, ours in [
        ("LinkPredPrecision", m.precision_at_k),
        ("LinkPredRecall", m.recall_at_k),
        ("LinkPredNDCG", m.ndcg_at_k),
        ("LinkPredMAP", m.average_precision_at_k),
        ("LinkPredMRR", m.reciprocal_rank_at_k),
    ]:
        metric = getattr(referee, name)(k=10)
        metric.update(lists, edges)
        assert ours(lists, relevant, 10).mean().item() == pytest.approx(float(metric.compute()), rel=1e-5), (
            name
        )


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([-3.0, 0.0, 0.5, 2.0]), st.integers(0, 1)), min_size=2, max_size=30
    ).filter(lambda rows: 0 < sum(label for _, label in rows) < len(rows))
)
def test_click_metrics_against_a_loop(rows):
    logits, labels = zip(*rows, strict=True)
    wins = [(p > n) + 0.5 * (p == n) for p, y in rows if y for n, z in rows if not z]
    assert m.auc(logits, labels) == pytest.approx(sum(wins) / len(wins))
    losses = [math.log1p(math.exp(-s if y else s)) for s, y in rows]
    assert m.log_loss(logits, labels) == pytest.approx(sum(losses) / len(losses))
    rate = sum(labels) / len(labels)
    entropy = -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)
    assert m.normalized_entropy(logits, labels) == pytest.approx(sum(losses) / len(losses) / entropy)


def test_the_base_rate_has_normalized_entropy_one():
    labels = torch.tensor([0, 0, 0, 1])
    assert m.normalized_entropy(torch.full((4,), math.log(1 / 3)), labels) == pytest.approx(1)
    assert m.log_loss(torch.tensor([1e4, -1e4]), torch.tensor([1, 0])) == 0  # no overflow


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: m.rmse(torch.zeros(3, 1), torch.zeros(3)), "same shape"),
        (lambda: m.mae([], []), "not empty"),
        (lambda: m.rmse([math.nan], [1.0]), "nan"),
        (lambda: m.auc([0.1, 0.2], [1, 1]), "one class"),
        (lambda: m.auc([0.1, 0.2], [1, 2]), "0 and 1 only"),
        (lambda: m.log_loss([0.1, 0.2], [1, 0.5]), "0 and 1 only"),
        (lambda: m.normalized_entropy([0.1, 0.2], [0, 0]), "one class"),
        (lambda: beyond_accuracy.novelty([[0]], [0.0]), r"\(0, 1\]"),
        (lambda: beyond_accuracy.gini([[7]], 3), "codes 7"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_auc_of_a_large_float32_input_loses_no_counts():
    scores = torch.zeros(5000, dtype=torch.float32)
    assert m.auc(scores, torch.arange(5000) % 2) == 0.5


def test_coverage_gini_novelty_by_hand():
    lists = torch.tensor([[0, 1], [0, 2], [0, -1]])
    assert beyond_accuracy.catalog_coverage(lists, 6) == 0.5
    assert beyond_accuracy.gini(torch.tensor([[0, 1], [2, 3]]), 4) == 0
    assert beyond_accuracy.gini(torch.tensor([[0], [0]]), 4) == pytest.approx(3 / 4)
    counts = np.array([3, 1, 1, 0, 0, 0])  # mean absolute difference of all pairs over twice the mean
    expected = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean())
    assert beyond_accuracy.gini(lists, 6) == pytest.approx(expected)
    assert math.isnan(beyond_accuracy.gini(torch.tensor([[-1]]), 4))
    bits = beyond_accuracy.novelty(torch.tensor([[0, 1], [2, -1], [-1, -1]]), torch.tensor([0.5, 0.125, 1.0]))
    np.testing.assert_allclose(bits, [2, 0, math.nan])


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-2, 2), min_size=2, max_size=2), min_size=4, max_size=4))
def test_intra_list_diversity_against_a_loop(rows):
    features = torch.tensor(rows, dtype=torch.float64)
    lists = torch.tensor([[0, 1, 2, 3], [2, 0, -1, -1], [1, -1, -1, -1]])
    expected = []
    for row in lists.tolist():
        found = [i for i in row if i >= 0]
        cosines = [
            float(torch.cosine_similarity(features[i], features[j], dim=0))
            for i in found
            for j in found
            if i < j
        ]
        expected.append(1 - np.mean(cosines) if cosines else math.nan)
    np.testing.assert_allclose(beyond_accuracy.intra_list_diversity(lists, features), expected, atol=1e-12)


def test_calibration_by_hand():
    """A history of seven to three; lists of ten with all, nine, five and seven of the first kind."""
    kinds, target = torch.eye(2), torch.tensor([[0.7, 0.3]])
    found = [
        beyond_accuracy.calibration_kl(torch.tensor([[0] * n + [1] * (10 - n)]), kinds, target).item()
        for n in (10, 9, 5, 7)
    ]
    assert np.round(found, 3).tolist() == [1.134, 0.149, 0.081, 0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=9, max_size=9), st.sampled_from([0.01, 0.5, 1.0]))
def test_calibration_against_scipy(weights, smoothing):
    from scipy.stats import entropy

    kinds = torch.tensor(weights, dtype=torch.float64).reshape(3, 3)
    kinds[0, 0] += 1
    kinds = kinds / kinds.sum(dim=1, keepdim=True).clamp(min=1)  # some rows stay 0: nothing is known
    target = torch.stack([kinds[0], torch.tensor([0.2, 0.8, 0.0])])
    lists = torch.tensor([[0, 1, 2], [0, -1, -1]])
    expected = []
    for row, p in zip([[0, 1, 2], [0]], target, strict=True):
        q = (1 - smoothing) * kinds[row].mean(dim=0) + smoothing * p
        short = entropy(p.numpy(), q.numpy()) - math.log(q.sum())  # scipy scales q up to a sum of 1
        expected.append(short)
    found = beyond_accuracy.calibration_kl(lists, kinds, target, smoothing=smoothing)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found > -1e-12).all()


def test_calibration_of_nothing_and_of_no_shares():
    kinds, target = torch.eye(2), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    found = beyond_accuracy.calibration_kl(torch.tensor([[-1, -1], [0, -1]]), kinds, target)
    np.testing.assert_allclose(found, [math.nan, 0], atol=1e-12)
    for change, message in (
        ({"kinds": kinds * 2}, r"^kinds: got rows that sum to 2\.\.2"),
        ({"kinds": -kinds}, "^kinds"),
        ({"target": target * 0}, "^target: got rows that sum to 0"),
        ({"target": target * math.nan}, "^target: got rows that sum to nan"),
        ({"target": target[:1]}, r"^target: got shape \(1, 2\), expected \(2, 2\)"),
        ({"smoothing": 0.0}, "^smoothing"),
        ({"recommended": torch.tensor([[2], [0]])}, "^recommended: got codes"),
    ):
        call = {"recommended": torch.tensor([[0], [1]]), "kinds": kinds, "target": target, "smoothing": 0.1}
        with pytest.raises(InputError, match=message):
            beyond_accuracy.calibration_kl(**(call | change))


@pytest.mark.parametrize(("dtype", "count"), [(torch.float64, 2000.0), (torch.float32, 200.0)])
def test_grades_that_overflow_are_refused(dtype, count):
    torch.set_default_dtype(dtype)
    with pytest.raises(InputError, match="relevant: got grades up to"):
        m.ndcg_at_k(torch.tensor([[0, 1, 2]]), torch.tensor([[count, 1.0, 0.0]]), 2, gain="exponential")
