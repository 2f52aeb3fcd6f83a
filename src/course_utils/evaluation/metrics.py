"""What the book measures, each formula once; taught in chapter 3.

Ranking metrics take two arguments of the same users. ``recommended`` holds item codes, best first, shape
``(n_users, at least k)``; -1 marks a place that stayed empty and never hits. ``relevant`` is a bool table of shape
``(n_users, n_items)``. They return one number a user, ``(n_users,)``, in 0..1, and nan for a user with nothing
relevant: take ``.nanmean()`` over users. They raise ``InputError`` for shapes, codes or ``k`` that cannot be.
Several metrics of the same lists cost less when :func:`find_hits` looks the lists up once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from course_utils.data.interactions import as_codes
from course_utils.errors import InputError
from course_utils.ranking import check_k

# ---- ranking metrics -------------------------------------------------------------------------------------------


def _at_k(recommended: torch.Tensor, table: torch.Tensor, k: int) -> torch.Tensor:
    """The table's entries at the first k places of each list, 0 at empty places: ``(n_users, k)``."""
    recommended = as_codes(recommended, "recommended")
    if recommended.ndim != 2 or table.ndim != 2 or len(recommended) != len(table):
        shapes = f"shapes {tuple(recommended.shape)} and {tuple(table.shape)}"
        raise InputError(
            "recommended, relevant", got=shapes, expected="(n_users, >= k) and (n_users, n_items)"
        )
    check_k(k, recommended.shape[1])
    top = recommended[:, :k]
    if top.numel() == 0:
        return table.new_zeros(top.shape)
    if int(top.min()) < -1 or int(top.max()) >= table.shape[1]:
        found = f"codes {int(top.min())}..{int(top.max())}"
        raise InputError("recommended", got=found, expected=f"item codes below {table.shape[1]}, or -1")
    ordered = top.sort(dim=1).values
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise InputError("recommended", got="an item twice in one list", expected="each item once")
    return table.gather(1, top.clamp(min=0)) * (top >= 0)


class Hits(NamedTuple):
    """What the metrics need to know of lists; each takes it in the place of ``relevant``.

    Attributes:
        hits: 1 where the list hits, 0 elsewhere, ``(n_users, k)``.
        count: number of relevant items, nan for none, ``(n_users,)``.
    """

    hits: torch.Tensor
    count: torch.Tensor


def find_hits(recommended: torch.Tensor, relevant: torch.Tensor | Hits, k: int) -> Hits:
    """Look the first k places of each list up among the relevant items, once for all metrics.

    Args:
        recommended: item codes, best first, ``(n_users, >= k)``.
        relevant: bool, ``(n_users, n_items)``; hits of the same lists and k come back as they are.
        k: length of the lists that counts.
    """
    if isinstance(relevant, Hits):
        if relevant.hits.shape != (len(recommended), k):
            expected = f"hits of {len(recommended)} lists of {k}"
            raise InputError("relevant", got=f"hits of shape {tuple(relevant.hits.shape)}", expected=expected)
        return relevant
    relevant = torch.as_tensor(relevant)
    if relevant.dtype != torch.bool:
        raise InputError("relevant", got=f"dtype {relevant.dtype}", expected="bool")
    dtype = torch.get_default_dtype()
    hits = _at_k(recommended, relevant, k).to(dtype)
    # Bytes added up in the smallest type that can hold the sum: 60 times faster than torch's sum of bools.
    count = relevant.cpu().numpy().view(np.uint8).sum(axis=1, dtype=np.min_scalar_type(relevant.shape[1]))
    count = torch.from_numpy(count).to(dtype)
    return Hits(hits, count.masked_fill(count == 0, torch.nan))


def precision_at_k(recommended: torch.Tensor, relevant: torch.Tensor | Hits, k: int) -> torch.Tensor:
    """Share of the first k places that hit: hits / k."""
    hits, count = find_hits(recommended, relevant, k)
    return _defined(hits.sum(dim=1) / k, count)


def recall_at_k(recommended: torch.Tensor, relevant: torch.Tensor | Hits, k: int) -> torch.Tensor:
    """Share of the relevant items among the first k places: hits / relevant."""
    hits, count = find_hits(recommended, relevant, k)
    return hits.sum(dim=1) / count


def capped_recall_at_k(recommended: torch.Tensor, relevant: torch.Tensor | Hits, k: int) -> torch.Tensor:
    """Hits / min(k, relevant), so that a perfect list scores 1 (Liang et al. 2018, "Recall@R")."""
    hits, count = find_hits(recommended, relevant, k)
    return hits.sum(dim=1) / count.clamp(max=k)


def hit_rate_at_k(recommended: torch.Tensor, relevant: torch.Tensor | Hits, k: int) -> torch.Tensor:
    """1 for a user with at least one hit among the first k places, 0 for one without."""
    hits, count = find_hits(recommended, relevant, k)
    return _defined(hits.amax(dim=1), count)


def reciprocal_rank_at_k(recommended: torch.Tensor, relevant: torch.Tensor | Hits, k: int) -> torch.Tensor:
    """1 / rank of the first hit, 0 without a hit among the first k places; its mean is MRR@k."""
    hits, count = find_hits(recommended, relevant, k)
    return _defined((hits / _ranks(k)).amax(dim=1), count)


def average_precision_at_k(
    recommended: torch.Tensor, relevant: torch.Tensor | Hits, k: int, *, normalizer: str = "min"
) -> torch.Tensor:
    """Precision at the rank of each hit, added up and divided; its mean over users is MAP@k.

    Args:
        recommended: item codes, best first, ``(n_users, >= k)``.
        relevant: bool, ``(n_users, n_items)``.
        k: length of the list that counts.
        normalizer: what the sum is divided by. ``"min"``: min(k, relevant), the book's choice. ``"relevant"``:
            the number of relevant items (ranx). ``"hits"``: the hits among the first k places (torchmetrics).
    """
    hits, count = find_hits(recommended, relevant, k)
    divisors = {"min": count.clamp(max=k), "relevant": count, "hits": hits.sum(dim=1).clamp(min=1)}
    if normalizer not in divisors:
        raise InputError("normalizer", got=repr(normalizer), expected=f"one of {', '.join(divisors)}")
    total = (hits * hits.cumsum(dim=1) / _ranks(k)).sum(dim=1)
    return _defined(total / divisors[normalizer], count)


def ndcg_at_k(
    recommended: torch.Tensor, relevant: torch.Tensor | Hits, k: int, *, gain: str = "binary"
) -> torch.Tensor:
    """Discounted gain of the list over that of the best possible list of k (Järvelin and Kekäläinen 2002).

    The discount is 1 / log2(rank + 1). The ideal list is cut at k.

    Args:
        recommended: item codes, best first, ``(n_users, >= k)``.
        relevant: bool, ``(n_users, n_items)``; with a graded gain the grades, 0 or more, 0 for not relevant.
        k: length of the list that counts.
        gain: ``"binary"``, the book's choice: 1 for a hit. ``"linear"``: the grade. ``"exponential"``:
            2^grade - 1 (Burges et al. 2005).
    """
    check_k(k, torch.as_tensor(recommended).shape[-1])
    discount = 1 / torch.log2(_ranks(k) + 1)
    if gain == "binary":
        hits, count = find_hits(recommended, relevant, k)
        ideal = discount.cumsum(0)[count.nan_to_num(1).clamp(max=k).long() - 1]
        return _defined(hits @ discount / ideal, count)
    if gain not in ("linear", "exponential"):
        raise InputError("gain", got=repr(gain), expected="one of binary, linear, exponential")
    if isinstance(relevant, Hits):
        raise InputError("relevant", got="hits", expected=f"a table of grades: the gain is graded ({gain})")
    grades = torch.as_tensor(relevant).to(torch.get_default_dtype())
    if not bool((grades >= 0).all()):
        raise InputError("relevant", got="a negative or nan grade", expected="grades of 0 or more")
    gains = grades if gain == "linear" else torch.exp2(grades) - 1
    if not bool((gains.sum(dim=1) < torch.inf).all()):
        got = f"grades up to {float(grades.max()):.4g}, whose gains overflow"
        raise InputError("relevant", got=got, expected="smaller grades (log1p of counts, say)")
    best = gains.topk(min(k, gains.shape[1]), dim=1).values
    ideal = best @ discount[: best.shape[1]]
    return _at_k(recommended, gains, k) @ discount / ideal.masked_fill(ideal == 0, torch.nan)


def _ranks(k: int) -> torch.Tensor:
    return torch.arange(1, k + 1, dtype=torch.get_default_dtype())


def _defined(values: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Nan for users with nothing relevant."""
    return values.masked_fill(count.isnan(), torch.nan)


# ---- ratings and clicks ----------------------------------------------------------------------------------------


def rmse(predicted: torch.Tensor, actual: torch.Tensor) -> float:
    """Root of the mean squared error over all pairs at once, in rating units, 0 or more.

    Args:
        predicted: ``(n,)``.
        actual: ``(n,)``.
    """
    return math.sqrt(_errors(predicted, actual).square().mean())


def mae(predicted: torch.Tensor, actual: torch.Tensor) -> float:
    """Mean absolute error over all pairs at once, in rating units, 0 or more.

    Args:
        predicted: ``(n,)``.
        actual: ``(n,)``.
    """
    return float(_errors(predicted, actual).abs().mean())


def auc(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Chance that a random positive scores above a random negative, half for a tie: 0..1, 0.5 for guessing.

    Args:
        scores: ``(n,)``, higher means more likely positive.
        labels: ``(n,)``, 0 or 1, both present.
    """
    scores, positive = _pair(scores, labels, "scores, labels")
    _check_labels(positive, both=True)
    _, inverse, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = counts.cumsum(0) - (counts - 1) / 2  # of the scores equal to it
    n_positive = positive.sum()
    wins = mean_rank.double()[inverse] @ positive - n_positive * (n_positive + 1) / 2
    return float(wins / (n_positive * (len(positive) - n_positive)))


def log_loss(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Mean binary cross entropy in nats, 0 or more.

    Args:
        logits: ``(n,)``, before the sigmoid.
        labels: ``(n,)``, 0 or 1.
    """
    logits, labels = _pair(logits, labels, "logits, labels")
    _check_labels(labels)
    return float(F.binary_cross_entropy_with_logits(logits, labels))


def normalized_entropy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Log loss over that of always predicting the mean label (He et al. 2014, equation 1): below 1 is useful.

    Args:
        logits: ``(n,)``, before the sigmoid.
        labels: ``(n,)``, 0 or 1, both present.
    """
    labels = torch.as_tensor(labels).double()
    _check_labels(labels, both=True)
    return log_loss(logits, labels) / float(
        torch.special.entr(torch.stack([labels.mean(), 1 - labels.mean()])).sum()
    )


def _errors(predicted: torch.Tensor, actual: torch.Tensor) -> torch.Tensor:
    predicted, actual = _pair(predicted, actual, "predicted, actual")
    return predicted - actual


def _pair(first: torch.Tensor, second: torch.Tensor, names: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Both as detached float64, refused when their shapes differ (they would broadcast) or a value is nan."""
    first, second = (torch.as_tensor(x).detach().double() for x in (first, second))
    if first.shape != second.shape or first.numel() == 0:
        shapes = f"shapes {tuple(first.shape)} and {tuple(second.shape)}"
        raise InputError(names, got=shapes, expected="the same shape, not empty")
    if first.isnan().any() or second.isnan().any():
        raise InputError(names, got="nan", expected="numbers")
    return first.flatten(), second.flatten()


def _check_labels(labels: torch.Tensor, *, both: bool = False) -> None:
    if not bool(((labels == 0) | (labels == 1)).all()):
        raise InputError("labels", got="other values", expected="0 and 1 only")
    if both and not 0 < float(labels.double().mean()) < 1:
        raise InputError("labels", got="one class", expected="both 0 and 1")
