"""What the book measures, each formula once; taught in chapter 3.

Ranking metrics take ``recommended``, item codes, best first, ``(n_users, at least k)``, where -1 marks a place that
stayed empty and never hits, and ``relevant``, a bool table ``(n_users, n_items)``. They return one number a user,
``(n_users,)``, in 0..1, and nan for a user with nothing relevant: take ``.nanmean()`` over users. Metrics of ratings
and clicks take two arguments of shape ``(n,)`` and return one number.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import hypergeom
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils.data.interactions import as_codes
from course_utils.errors import InputError, check_choice, check_counts, check_shape, refuse


class Hits(NamedTuple):
    """What the metrics need to know of lists: each takes it in the place of ``relevant``, to look them up once."""

    hits: Tensor  # (n_users, k), 1 or 0; nan for a user with nothing relevant
    count: Tensor  # (n_users,), how many are relevant; nan for none


def find_hits(recommended: Tensor, relevant: Tensor | Hits, k: int) -> Hits:
    """Look the first k places of each list up among the relevant items; found hits come back as they are."""
    check_counts(k=k)
    if isinstance(relevant, Hits):
        check_shape(len(recommended), k, relevant=relevant.hits)
        return relevant
    relevant = torch.as_tensor(relevant)
    refuse(relevant.dtype != torch.bool, "relevant", f"dtype {relevant.dtype}", "bool")
    codes = as_codes(recommended, "recommended")
    check_shape("n_users", "at least k", recommended=codes)
    check_shape(len(codes), "n_items", relevant=relevant)
    check_counts(1, codes.shape[1], k=k)
    top = check_lists(codes[:, :k], relevant.shape[1])
    ordered = top.sort(dim=1).values
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise InputError("recommended", got="an item twice in one list", expected="each item once")
    hits = relevant.gather(1, top.clamp(min=0)) & (top >= 0)
    # Bytes added up in the smallest type that can hold the sum: 60 times faster than torch's sum of bools.
    count = relevant.cpu().numpy().view(np.uint8).sum(axis=1, dtype=np.min_scalar_type(relevant.shape[1]))
    hits, count = (x.to(torch.get_default_dtype()) for x in (hits, torch.from_numpy(count)))
    nothing = count == 0
    return Hits(hits.masked_fill(nothing[:, None], torch.nan), count.masked_fill(nothing, torch.nan))


def precision_at_k(recommended: Tensor, relevant: Tensor | Hits, k: int) -> Tensor:
    """Share of the first k places that hit: hits / k."""
    return find_hits(recommended, relevant, k).hits.sum(dim=1) / k


def recall_at_k(recommended: Tensor, relevant: Tensor | Hits, k: int) -> Tensor:
    """Share of the relevant items among the first k places: hits / relevant."""
    hits, count = find_hits(recommended, relevant, k)
    return hits.sum(dim=1) / count


def capped_recall_at_k(recommended: Tensor, relevant: Tensor | Hits, k: int) -> Tensor:
    """Hits / min(k, relevant), so that a perfect list scores 1 (Liang et al. 2018, "Recall@R")."""
    hits, count = find_hits(recommended, relevant, k)
    return hits.sum(dim=1) / count.clamp(max=k)


def hit_rate_at_k(recommended: Tensor, relevant: Tensor | Hits, k: int) -> Tensor:
    """1 for a user with at least one hit among the first k places, 0 for one without."""
    return find_hits(recommended, relevant, k).hits.amax(dim=1)


def reciprocal_rank_at_k(recommended: Tensor, relevant: Tensor | Hits, k: int) -> Tensor:
    """1 / rank of the first hit, 0 without a hit among the first k places; its mean is MRR@k."""
    hits, _ = find_hits(recommended, relevant, k)
    return (hits / torch.arange(1, k + 1)).amax(dim=1)


def average_precision_at_k(recommended: Tensor, relevant: Tensor | Hits, k: int, *, normalizer: str = "min") -> Tensor:
    """Precision at the rank of each hit, summed and divided by ``normalizer``; its mean over users is MAP@k.

    ``"min"`` is min(k, relevant), ``"relevant"`` all relevant items (as in ranx), ``"hits"`` the hits (torchmetrics).
    """
    hits, count = find_hits(recommended, relevant, k)
    divisors = {"min": count.clamp(max=k), "relevant": count, "hits": hits.sum(dim=1).clamp(min=1)}
    check_choice(divisors, normalizer=normalizer)
    precision = hits.cumsum(dim=1) / torch.arange(1, k + 1)  # at each rank, (n_users, k)
    return (hits * precision).sum(dim=1) / divisors[normalizer]


def ndcg_at_k(recommended: Tensor, relevant: Tensor | Hits, k: int) -> Tensor:
    """Hits over log2(rank + 1), summed, over the same of the best list of k (Järvelin and Kekäläinen 2002)."""
    hits, count = find_hits(recommended, relevant, k)
    discount = 1 / torch.log2(torch.arange(2, k + 2))
    ideal = discount.cumsum(0)[count.nan_to_num(1).clamp(max=k).long() - 1]
    return hits @ discount / ideal


def rank_among(positive: Tensor, others: Tensor) -> Tensor:
    """Rank of each score ``(n,)`` among those of other items ``(n, m)``, 1 the best, an equal one counted half.

    ``-inf`` leaves an entry of ``others`` out. A model whose scores are all equal stands in the middle; a rank that
    counts the better ones alone would put it first. Taught in chapter 17.
    """
    positive, others = torch.as_tensor(positive), torch.as_tensor(others)
    check_shape("n", positive=positive)
    check_shape(len(positive), "m", others=others)
    refuse(positive.isnan().any() or others.isnan().any(), "positive, others", "nan", "numbers")
    better, equal = (others > positive[:, None]).sum(1), (others == positive[:, None]).sum(1)
    return 1 + better + equal / 2


def sampled_hit_rate(rank: Tensor, n_others: Tensor, sampled: int, k: int) -> Tensor:
    """Chance that an item of this rank among ``n_others`` is in the first k when few of them are drawn, 0..1, ``(n,)``.

    Without replacement, so that the number of better ones drawn is hypergeometric; half a rank is rounded up. With
    ``sampled`` equal to ``n_others`` it is 1 for ranks up to k, else 0. Taught in chapter 17.
    """
    check_counts(sampled=sampled, k=k)
    better, total = np.ceil(np.asarray(rank, float) - 1), np.asarray(n_others)
    return torch.tensor(hypergeom.cdf(k - 1, total, better, np.minimum(sampled, total)))


def check_lists(recommended: Tensor, n_items: int) -> Tensor:
    """Item codes of lists as ``torch.long``: each below ``n_items``, or -1 for an empty place."""
    codes = as_codes(recommended, "recommended")
    if codes.numel() and not (int(codes.min()) >= -1 and int(codes.max()) < n_items):
        found = f"codes {int(codes.min())}..{int(codes.max())}"
        raise InputError("recommended", got=found, expected=f"item codes below {n_items}, or -1")
    return codes


def rmse(predicted: Tensor, actual: Tensor) -> float:
    """Root of the mean squared error over all pairs at once, in rating units, 0 or more."""
    predicted, actual = _pair(predicted=predicted, actual=actual)
    return math.sqrt((predicted - actual).square().mean())


def mae(predicted: Tensor, actual: Tensor) -> float:
    """Mean absolute error over all pairs at once, in rating units, 0 or more."""
    predicted, actual = _pair(predicted=predicted, actual=actual)
    return float((predicted - actual).abs().mean())


def auc(scores: Tensor, labels: Tensor) -> float:
    """Chance that a random positive (label 1) scores above a random negative (0), half for a tie: 0..1."""
    scores, positive = _pair(scores=scores, labels=labels)
    _check_labels(positive, both=True)
    _, inverse, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = counts.cumsum(0) - (counts - 1) / 2  # of the scores equal to it
    n_positive = positive.sum()
    wins = mean_rank.double()[inverse] @ positive - n_positive * (n_positive + 1) / 2
    return float(wins / (n_positive * (len(positive) - n_positive)))


def log_loss(logits: Tensor, labels: Tensor) -> float:
    """Mean binary cross entropy in nats, 0 or more; logits are before the sigmoid, labels 0 or 1."""
    logits, labels = _pair(logits=logits, labels=labels)
    _check_labels(labels)
    return float(binary_cross_entropy_with_logits(logits, labels))


def normalized_entropy(logits: Tensor, labels: Tensor) -> float:
    """Log loss over that of always predicting the mean label (He et al. 2014, equation 1): below 1 is useful."""
    labels = torch.as_tensor(labels).double()
    _check_labels(labels, both=True)
    return log_loss(logits, labels) / float(torch.special.entr(torch.stack([labels.mean(), 1 - labels.mean()])).sum())


def _pair(**both: Tensor) -> tuple[Tensor, Tensor]:
    """Both as detached float64, refused when their shapes differ (they would broadcast) or a value is nan."""
    first, second = (torch.as_tensor(x).detach().double() for x in both.values())
    shapes = f"shapes {tuple(first.shape)} and {tuple(second.shape)}"
    refuse(first.shape != second.shape or first.numel() == 0, ", ".join(both), shapes, "the same shape, not empty")
    refuse(first.isnan().any() or second.isnan().any(), ", ".join(both), "nan", "numbers")
    return first.flatten(), second.flatten()


def _check_labels(labels: Tensor, *, both: bool = False) -> None:
    refuse(not bool(((labels == 0) | (labels == 1)).all()), "labels", "other values", "0 and 1 only")
    refuse(both and not 0 < float(labels.mean()) < 1, "labels", "one class", "both 0 and 1")
