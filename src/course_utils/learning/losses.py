"""Losses that ask for an order: pairwise, triplet and listwise; taught in chapter 10.

Each gives a tensor of shape ``()``, 0 or more. Without a pair, list or negative it is a 0 that belongs to the graph. A
nan among the scores gives nan. Pairs are ``positive`` and ``negative`` scores of the same shape, an entry of each is of
one user; a ``margin`` γ is the wanted lead, 0 or more. Lists are ``scores`` and ``relevance``, ``(B, slate)``,
relevances finite, binary or graded, and a bool ``mask``, True where an entry is real (all are when left out). Padding
has no influence, and a list without a real entry, or with one, costs 0.
"""

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid, relu, softmax

from course_utils.errors import InputError, check_counts, check_range, check_shape, refuse


def hinge_loss(positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    r"""Mean of :math:`\max(0, \gamma - (s^+ - s^-))`, RankSVM's loss (Joachims 2002); taught in chapter 10."""
    check_shape(*positive.shape, negative=negative)  # broadcasting would pair everything with everything
    check_range("0 or more", margin=margin)
    return _mean(relu(margin - (positive - negative)))


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    r"""Mean of :math:`-\ln \sigma(s^+ - s^-)` (Rendle et al. 2009, section 4.1); taught in chapter 10."""
    check_shape(*positive.shape, negative=negative)
    return _mean(-logsigmoid(positive - negative))


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    r"""Mean of :math:`\max(0, \gamma + |a - p|^2 - |a - n|^2)` of embeddings ``(B, d)``; taught in chapters 10 and 11.

    FaceNet's, with squared distances (Schroff et al. 2015, section 3.1); torch's ``TripletMarginLoss`` has plain ones.
    """
    check_shape("B", "d", anchor=anchor)
    check_shape(*anchor.shape, positive=positive, negative=negative)
    check_range("0 or more", margin=margin)
    near, far = (anchor - positive).square().sum(-1), (anchor - negative).square().sum(-1)  # (B,)
    return _mean(relu(margin + near - far))


def warp_loss(positive: Tensor, negatives: Tensor, n_items: int, margin: float = 1.0) -> Tensor:
    r"""Weighted approximate-rank pairwise loss, mean over the rows; taught in chapter 10.

    WSABIE (Weston et al. 2011, algorithm 1). A row's negatives, ``(B, trials)``, are tried in their order until one
    comes within the margin of its positive, ``(B,)``, at trial N. The rank of the positive is estimated by
    :math:`\lfloor (n - 1) / N \rfloor`, n = ``n_items`` above the number of trials. The row costs :math:`(1 + \frac12 +
    \dots + \frac1{\text{rank}}) \cdot \max(0, \gamma - s^+ + s^-)`; the weight is a constant for the gradient.
    """
    check_shape("B", positive=positive)
    check_shape(len(positive), "trials", negatives=negatives)
    check_range("0 or more", margin=margin)
    trials = negatives.shape[1]
    refuse(n_items < trials + 1, "n_items", n_items, f"more than the {trials} trials")
    if negatives.numel() == 0:
        return positive.sum() * 0 + negatives.sum()
    violation = relu(margin - (positive[:, None] - negatives))  # (B, trials)
    found = violation.detach() != 0  # nan counts as found, so that it shows in the loss
    first = found.long().argmax(1)  # 0 where nothing is found, whose violation is 0
    harmonic = torch.arange(1, n_items, dtype=positive.dtype, device=positive.device).reciprocal().cumsum(0)
    weight = harmonic[(n_items - 1) // (first + 1) - 1]
    return (weight * violation.gather(1, first[:, None])[:, 0]).mean()


def sampled_softmax_loss(positive: Tensor, negative: Tensor, *, negative_log_q: Tensor | None = None) -> Tensor:
    r"""Mean of :math:`-\ln \frac{e^{s^+}}{e^{s^+} + \sum_j e^{s_j}}`; taught in chapters 10 and 11.

    ``positive`` has the scores of the chosen items, ``(B,)``, ``negative`` those of the others, ``(B, n)``; ``-inf``
    leaves an entry out. With all other items it is the full softmax, the cross entropy of one choice. With sampled
    ones, subtract :math:`\ln q` from a score, q the expected number of times that its item is drawn for the row: that
    takes out how often the sampler offers it (Yi et al. 2019).
    """
    check_shape("B", positive=positive)
    check_shape(len(positive), "n", negative=negative)
    if negative_log_q is not None:
        check_shape(*negative.shape, negative_log_q=negative_log_q)
        negative = negative - negative_log_q
    return _mean(torch.cat([positive[:, None], negative], dim=1).logsumexp(1) - positive)


def listnet_loss(scores: Tensor, relevance: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Cross entropy of softmax(relevance) and softmax(scores), mean over the lists; taught in chapter 10.

    ListNet's top-one form (Cao et al. 2007). Least where scores equal relevances up to a constant: their scale matters.
    """
    scores, relevance, mask = _lists(scores, relevance, mask)
    low = torch.finfo(scores.dtype).min  # finite, so that a list of padding alone gives no nan
    target = softmax(relevance.masked_fill(~mask, low), dim=1)
    found = log_softmax(scores.masked_fill(~mask, low), dim=1)
    return _mean(-(target * found).masked_fill(~mask, 0).sum(1))


def listmle_loss(scores: Tensor, relevance: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Minus the log likelihood of the order by relevance, mean over the lists; taught in chapter 10.

    Xia et al. (2008), Plackett-Luce: a place is drawn by softmax of the scores left; equal relevances keep their order.
    """
    scores, relevance, mask = _lists(scores, relevance, mask)
    # from the last place to the first, so that a running sum holds what is left; padding comes after all of it
    order = relevance.masked_fill(~mask, torch.inf).flip(1).sort(dim=1, stable=True).indices
    scores, mask = scores.flip(1).gather(1, order), mask.flip(1).gather(1, order)
    return _mean((scores.logcumsumexp(1) - scores).masked_fill(~mask, 0).sum(1))


def lambdarank_loss(
    scores: Tensor, relevance: Tensor, mask: Tensor | None = None, *, k: int | None = None, sigma: float = 1.0
) -> Tensor:
    r"""RankNet's pairs, each weighted by the change of NDCG when the two swap places; taught in chapter 10.

    Burges (2010), section 4: the sum over pairs with :math:`y_i > y_j` of :math:`|\Delta\text{NDCG}_{ij}| \ln(1 +
    e^{-\sigma (s_i - s_j)})`, mean over the lists. The weight is a constant for the gradient. Gains are
    :math:`2^y - 1` of relevances of 0 or more, discounts :math:`1 / \log_2(1 + \text{rank})`, 0 beyond rank ``k``.
    """
    scores, relevance, mask = _lists(scores, relevance, mask)
    if (relevance < 0).any():
        raise InputError("relevance", got=f"{relevance.min().item()}", expected="0 or more")
    check_counts(k=1 if k is None else k)
    check_range("above 0", sigma=sigma)
    places = torch.arange(scores.shape[1], dtype=scores.dtype, device=scores.device)
    discounts = 1 / torch.log2(places + 2)  # (slate,), by rank
    if k is not None:
        discounts[k:] = 0
    gains = torch.exp2(relevance) - 1  # 0 for padding
    if not bool((gains.sum(1) < torch.inf).all()):
        got = f"grades up to {relevance.max().item():.4g}"
        raise InputError("relevance", got=got, expected="smaller ones, such as log1p of counts: 2^y overflows")
    ideal = (gains.sort(dim=1, descending=True).values * discounts).sum(1)  # (B,)
    low = scores.detach().masked_fill(~mask, -torch.inf)
    rank = low.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    change = _differences(gains).abs() * _differences(discounts[rank]).abs()  # (B, slate, slate)
    change = change / ideal.clamp(min=torch.finfo(scores.dtype).tiny)[:, None, None]
    wanted = (_differences(relevance) > 0) & mask[:, :, None] & mask[:, None, :]  # row i above column j
    pairs = change * -logsigmoid(sigma * _differences(scores))
    return _mean(pairs.masked_fill(~wanted, 0).sum((1, 2)))


def _differences(values: Tensor) -> Tensor:
    """Entry i minus entry j of each list, ``(B, slate)`` to ``(B, slate, slate)``."""
    return values[:, :, None] - values[:, None, :]


def _mean(losses: Tensor) -> Tensor:
    """The mean, and for nothing at all a 0 that a backward pass goes through."""
    return losses.mean() if losses.numel() else losses.sum()


def _lists(scores: Tensor, relevance: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Checked lists with zeros in place of padding, relevance in the dtype of the scores."""
    mask = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
    check_shape("B", "slate", scores=scores)
    check_shape(*scores.shape, relevance=relevance, mask=mask)
    refuse(mask.dtype != torch.bool, "mask", mask.dtype, "torch.bool, True where an entry is real")
    relevance = relevance.to(scores.dtype).masked_fill(~mask, 0)
    refuse(not relevance.isfinite().all(), "relevance", "nan or infinity", "finite numbers")
    return scores.masked_fill(~mask, 0), relevance, mask
