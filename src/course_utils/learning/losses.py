"""Losses that ask for an order: pairwise, triplet and listwise.

The pointwise ones are in torch: ``mse_loss`` and ``binary_cross_entropy_with_logits``. Here as there a smaller loss is
better, and the result is a tensor of shape ``()``. All of them keep these rules:

- No pair, no list or no negative at all: the loss is a 0 that still belongs to the graph, so that one quiet batch adds
  nothing. The mean of nothing would be nan.
- A nan among the scores that count gives a nan loss, and ``loop.fit`` then names the batch. A nan among relevances
  is an error of the data and is refused.
- Scores far apart stay finite: nothing is exponentiated before its maximum is taken out.
"""

from __future__ import annotations

import torch
from torch.nn.functional import log_softmax, logsigmoid, relu, softmax

from course_utils.errors import InputError, check_counts


def hinge_loss(positive: torch.Tensor, negative: torch.Tensor, margin: float = 1.0) -> torch.Tensor:
    r"""Mean of :math:`\max(0, \gamma - (s^+ - s^-))`; taught in chapter 10.

    RankSVM's loss (Joachims 2002). A pair costs nothing when the positive leads by the margin; a right order with a
    smaller lead still costs. Equal scores cost the margin.

    Args:
        positive: scores of the items that should lead, any shape.
        negative: scores of their partners, the same shape: an entry is a pair, of one user.
        margin: γ, the wanted lead, in units of the scores, 0 or more.

    Returns:
        0 or more; 0 without pairs.

    Raises:
        InputError: the shapes differ, or the margin is negative.
    """
    _same_shape("negative", negative, "positive", positive)
    _not_negative("margin", margin)
    return _mean(relu(margin - (positive - negative)))


def bpr_loss(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    r"""Mean of :math:`-\ln \sigma(s^+ - s^-)`, σ the logistic function; taught in chapter 10.

    Rendle et al. (2009), section 4.1, without its regularization; RankNet's pair loss too (Burges et al. 2005).
    Equal scores cost ln 2.

    Args:
        positive: scores of the items that should lead, any shape.
        negative: scores of their partners, the same shape: an entry is a pair, of one user.

    Returns:
        0 or more; 0 without pairs.

    Raises:
        InputError: the shapes differ.
    """
    _same_shape("negative", negative, "positive", positive)
    return _mean(-logsigmoid(positive - negative))


def triplet_loss(
    anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, margin: float = 1.0
) -> torch.Tensor:
    r"""Mean of :math:`\max(0, \gamma + |a - p|^2 - |a - n|^2)`; taught in chapters 10 and 11.

    FaceNet's form with squared Euclidean distances (Schroff et al. 2015, section 3.1). ``torch``'s
    ``TripletMarginLoss`` takes plain distances, which is another loss.

    Args:
        anchor: embeddings, ``(B, d)``: a user, or an item.
        positive: embeddings that should be near it, ``(B, d)``.
        negative: embeddings that should be farther, ``(B, d)``.
        margin: γ, in squared units of the embeddings, 0 or more.

    Returns:
        0 or more; 0 without triplets.

    Raises:
        InputError: an argument is not ``(B, d)``, the shapes differ, or the margin is negative.
    """
    if anchor.ndim != 2:
        raise InputError("anchor", got=f"shape {tuple(anchor.shape)}", expected="(B, d)")
    _same_shape("positive", positive, "anchor", anchor)
    _same_shape("negative", negative, "anchor", anchor)
    _not_negative("margin", margin)
    near, far = (anchor - positive).square().sum(-1), (anchor - negative).square().sum(-1)
    return _mean(relu(margin + near - far))


def warp_loss(
    positive: torch.Tensor, negatives: torch.Tensor, n_items: int, margin: float = 1.0
) -> torch.Tensor:
    r"""Weighted approximate-rank pairwise loss; taught in chapter 10.

    WSABIE (Weston, Bengio and Usunier 2011, algorithm 1). Negatives are tried one after the other until one comes
    within the margin: the violator, found at trial N. Many trials mean that few items stand above the positive:
    its rank is estimated by :math:`\lfloor (n - 1) / N \rfloor`, n the number of items. The row costs
    :math:`(1 + \frac12 + \dots + \frac1{\text{rank}}) \cdot \max(0, \gamma - s^+ + s^-)` with that violator, and 0 when
    no trial finds one. The weight is a constant for the gradient.

    Args:
        positive: scores of the items that should lead, ``(B,)``.
        negatives: scores of the items tried, ``(B, trials)``, in the order in which they were drawn.
        n_items: n, at least as large as the number of trials plus one, so that a rank is at least 1.
        margin: γ, the wanted lead, 0 or more.

    Returns:
        The mean over the rows, 0 or more; 0 without rows or trials.

    Raises:
        InputError: the shapes do not fit, there are more trials than other items, or the margin is negative.
    """
    _one_against_many(positive, negatives, "negatives")
    _not_negative("margin", margin)
    trials = negatives.shape[1]
    if n_items < trials + 1:
        raise InputError("n_items", got=n_items, expected=f"more than the {trials} trials")
    if negatives.numel() == 0:
        return positive.sum() * 0 + negatives.sum()
    violation = relu(margin - (positive[:, None] - negatives))  # (B, trials)
    found = violation.detach() != 0  # nan counts as found, so that it shows in the loss
    first = found.long().argmax(1)  # 0 where nothing is found, whose violation is 0
    harmonic = torch.arange(1, n_items, dtype=positive.dtype, device=positive.device).reciprocal().cumsum(0)
    weight = harmonic[(n_items - 1) // (first + 1) - 1]
    return (weight * violation.gather(1, first[:, None])[:, 0]).mean()


def sampled_softmax_loss(
    positive: torch.Tensor,
    negative: torch.Tensor,
    *,
    positive_log_q: torch.Tensor | None = None,
    negative_log_q: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""Mean of :math:`-\ln \frac{e^{s^+}}{e^{s^+} + \sum_j e^{s_j}}`; taught in chapters 10 and 11.

    With all other items as negatives it is the full softmax, the cross entropy of one choice. With sampled ones,
    subtracting :math:`\ln q` from a score, q the expected number of times that its item is drawn for the row, takes out
    how often the sampler offers it (Yi et al. 2019).

    Args:
        positive: scores of the chosen items, ``(B,)``.
        negative: scores of the others, ``(B, n)``; ``-inf`` leaves an entry out.
        positive_log_q: ln q of the chosen items, ``(B,)``; None subtracts nothing.
        negative_log_q: ln q of the others, ``(B, n)``; None subtracts nothing.

    Returns:
        0 or more; 0 without rows or negatives.

    Raises:
        InputError: the shapes do not fit.
    """
    _one_against_many(positive, negative, "negative")
    if positive_log_q is not None:
        _same_shape("positive_log_q", positive_log_q, "positive", positive)
        positive = positive - positive_log_q
    if negative_log_q is not None:
        _same_shape("negative_log_q", negative_log_q, "negative", negative)
        negative = negative - negative_log_q
    return _mean(torch.cat([positive[:, None], negative], dim=1).logsumexp(1) - positive)


def listnet_loss(
    scores: torch.Tensor, relevance: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    r"""Cross entropy of softmax(relevance) and softmax(scores), mean over the lists; taught in chapter 10.

    ListNet's top-one form (Cao et al. 2007). Its least value is not 0 but the entropy of
    softmax(relevance), reached when scores equal relevances up to a constant.

    Args:
        scores: scores, ``(B, slate)``.
        relevance: how good each entry is, ``(B, slate)``, any finite numbers, binary or graded. Their scale
            matters: (1, 0, 0) asks for shares (0.58, 0.21, 0.21), not for (1, 0, 0).
        mask: True where an entry is real, ``(B, slate)``; all are when left out. Padding has no influence.

    Returns:
        0 or more. A list without a real entry, or with one, costs 0.

    Raises:
        InputError: the shapes differ, a relevance is nan or infinite, or the mask is not boolean.
    """
    scores, relevance, mask = _lists(scores, relevance, mask)
    low = torch.finfo(scores.dtype).min  # finite, so that a list of padding alone gives no nan
    target = softmax(relevance.masked_fill(~mask, low), dim=1)
    found = log_softmax(scores.masked_fill(~mask, low), dim=1)
    return _mean(-(target * found).masked_fill(~mask, 0).sum(1))


def listmle_loss(
    scores: torch.Tensor, relevance: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    r"""Minus the log likelihood of the order by relevance, mean over the lists; taught in chapter 10.

    ListMLE (Xia et al. 2008) with the Plackett-Luce model: draw the first place by softmax of the scores,
    the second by softmax of those that are left, and so on.

    Args:
        scores: scores, ``(B, slate)``.
        relevance: how good each entry is, ``(B, slate)``, any finite numbers; only their order matters. Among
            equals the entry that stands first comes first, so shuffle the slate when that order means nothing.
        mask: True where an entry is real, ``(B, slate)``; all are when left out. Padding has no influence.

    Returns:
        0 or more. A list without a real entry, or with one, costs 0.

    Raises:
        InputError: the shapes differ, a relevance is nan or infinite, or the mask is not boolean.
    """
    scores, relevance, mask = _lists(scores, relevance, mask)
    # from the last place to the first, so that a running sum holds what is left; padding comes after all of it
    order = relevance.masked_fill(~mask, torch.inf).flip(1).sort(dim=1, stable=True).indices
    scores, mask = scores.flip(1).gather(1, order), mask.flip(1).gather(1, order)
    return _mean((scores.logcumsumexp(1) - scores).masked_fill(~mask, 0).sum(1))


def lambdarank_loss(
    scores: torch.Tensor,
    relevance: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    k: int | None = None,
    sigma: float = 1.0,
) -> torch.Tensor:
    r"""RankNet's pairs, each weighted by the change of NDCG when the two swap places; taught in chapter 10.

    Burges (2010), section 4: the sum over pairs with :math:`y_i > y_j` of
    :math:`|\Delta\text{NDCG}_{ij}| \ln(1 + e^{-\sigma (s_i - s_j)})`, mean over the lists. The weight is a constant
    for the gradient, so the gradient is the sum of the paper's lambdas. Gains are :math:`2^y - 1`, discounts
    :math:`1 / \log_2(1 + \text{rank})`, ranks those of a stable sort: among equal scores the first entry leads.

    Args:
        scores: scores, ``(B, slate)``.
        relevance: how good each entry is, ``(B, slate)``, finite and 0 or more, binary or graded.
        mask: True where an entry is real, ``(B, slate)``; all are when left out. Padding has no influence.
        k: ranks beyond it have discount 0, and the ideal list ends there; no cut when left out.
        sigma: steepness of the pair loss, above 0.

    Returns:
        0 or more. A list without two entries of different relevance costs 0.

    Raises:
        InputError: the shapes differ, a relevance is nan, infinite or negative, the mask is not boolean, or ``k`` or
            ``sigma`` is out of range.
    """
    scores, relevance, mask = _lists(scores, relevance, mask)
    if (relevance < 0).any():
        raise InputError("relevance", got=f"{relevance.min().item()}", expected="0 or more")
    check_counts(k=1 if k is None else k)
    if not sigma > 0:
        raise InputError("sigma", got=sigma, expected="a number above 0")
    places = torch.arange(scores.shape[1], dtype=scores.dtype, device=scores.device)
    discounts = 1 / torch.log2(places + 2)  # (slate,), by rank
    if k is not None:
        discounts[k:] = 0
    gains = torch.exp2(relevance) - 1  # 0 for padding
    if not bool((gains.sum(1) < torch.inf).all()):
        got = f"grades up to {relevance.max().item():.4g}, whose gains 2^y - 1 overflow"
        raise InputError("relevance", got=got, expected="smaller grades (log1p of counts, say)")
    ideal = (gains.sort(dim=1, descending=True).values * discounts).sum(1)  # (B,)
    low = scores.detach().masked_fill(~mask, -torch.inf)
    rank = low.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    change = _differences(gains).abs() * _differences(discounts[rank]).abs()  # (B, slate, slate)
    change = change / ideal.clamp(min=torch.finfo(scores.dtype).tiny)[:, None, None]
    wanted = (_differences(relevance) > 0) & mask[:, :, None] & mask[:, None, :]  # row i above column j
    pairs = change * -logsigmoid(sigma * _differences(scores))
    return _mean(pairs.masked_fill(~wanted, 0).sum((1, 2)))


def _differences(values: torch.Tensor) -> torch.Tensor:
    """Entry i minus entry j of each list, ``(B, slate)`` to ``(B, slate, slate)``."""
    return values[:, :, None] - values[:, None, :]


def _mean(losses: torch.Tensor) -> torch.Tensor:
    """The mean, and for nothing at all a 0 that a backward pass goes through."""
    return losses.mean() if losses.numel() else losses.sum()


def _lists(
    scores: torch.Tensor, relevance: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Checked lists with zeros in place of padding, relevance in the dtype of the scores."""
    if scores.ndim != 2:
        raise InputError("scores", got=f"shape {tuple(scores.shape)}", expected="(B, slate)")
    _same_shape("relevance", relevance, "scores", scores)
    if mask is None:
        mask = torch.ones_like(scores, dtype=torch.bool)
    _same_shape("mask", mask, "scores", scores)
    if mask.dtype != torch.bool:
        raise InputError("mask", got=mask.dtype, expected="torch.bool, True where an entry is real")
    relevance = relevance.to(scores.dtype).masked_fill(~mask, 0)
    if not relevance.isfinite().all():
        raise InputError("relevance", got="nan or infinity", expected="finite numbers")
    return scores.masked_fill(~mask, 0), relevance, mask


def _one_against_many(positive: torch.Tensor, negatives: torch.Tensor, name: str) -> None:
    if positive.ndim != 1:
        raise InputError("positive", got=f"shape {tuple(positive.shape)}", expected="(B,)")
    if negatives.ndim != 2 or len(negatives) != len(positive):
        expected = f"({len(positive)}, n), a row for each positive"
        raise InputError(name, got=f"shape {tuple(negatives.shape)}", expected=expected)


def _same_shape(name: str, tensor: torch.Tensor, other: str, reference: torch.Tensor) -> None:
    if tensor.shape != reference.shape:  # broadcasting would pair everything with everything
        expected = f"{tuple(reference.shape)}, the shape of {other}"
        raise InputError(name, got=f"shape {tuple(tensor.shape)}", expected=expected)


def _not_negative(name: str, value: float) -> None:
    if not value >= 0:
        raise InputError(name, got=value, expected="0 or more")
