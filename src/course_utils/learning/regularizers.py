"""Terms to add to a training loss, each a tensor of shape ``()`` with a gradient.

Those of chapter 12 take ``scores``, ``(n_users, n_candidates)``; ``-inf`` marks a candidate that a user must not get. A
``temperature`` T above 0 is in units of the scores. Those of chapter 13 take rows of predicted pairs, ``(n,)``, and
``groups``, ``user_groups[users]``, whole numbers from 0. With fewer than two of them a term is 0, still in the graph.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softmax

from course_utils.errors import InputError, check_choice, check_range, check_shape, refuse
from course_utils.ranking import check_scores, check_shares


def score_variance(scores: Tensor) -> Tensor:
    """The population variance of all scores at once; taught in chapter 12, as a term that does *not* diversify."""
    return scores[_candidates(scores)].var(correction=0)


def soft_exposure(scores: Tensor, *, temperature: float = 1.0) -> Tensor:
    r"""The share of attention that each item gets, ``(n_candidates,)``, with a gradient; taught in chapter 12.

    The mean over users, :math:`\bar\phi`, of the softmax over a user's candidates, :math:`\phi_u`, of scores / T.
    """
    return _attention(scores, temperature).mean(dim=0)


def exposure_concentration(scores: Tensor, *, temperature: float = 1.0) -> Tensor:
    r"""How far the exposure of items is from equal, as a Kullback-Leibler divergence; taught in chapter 12.

    :math:`\mathrm{KL}(\bar\phi, \mathrm{uniform}) = \ln n + \sum_i \bar\phi_i \ln \bar\phi_i` with the
    :func:`soft_exposure` :math:`\bar\phi` of n candidates: from 0 (all items alike) to ln n (one item takes all).
    """
    exposure = soft_exposure(scores, temperature=temperature)
    tiny = torch.finfo(exposure.dtype).tiny  # keeps the logarithm finite where the softmax underflows
    return math.log(len(exposure)) - torch.special.entr(exposure.clamp(min=tiny)).sum()


def popularity_correlation(scores: Tensor, popularity: Tensor) -> Tensor:
    """Pearson correlation of a user's scores with the log of popularity, mean over users; taught in chapter 12.

    After Abdollahpouri et al. (2017). ``popularity``, ``(n_candidates,)``, is above 0. A user with equal ones counts 0.
    """
    allowed = _candidates(scores)
    check_shape(scores.shape[1], popularity=popularity)
    check_range("above 0", popularity=popularity)
    x = _centred(scores, allowed)
    y = _centred(popularity.to(scores.dtype).log().expand_as(scores), allowed)
    product = x.square().sum(dim=1) * y.square().sum(dim=1)
    size = torch.where(allowed, scores, 0.0).abs().amax(dim=1)
    equal = x.abs().amax(dim=1) <= 4 * torch.finfo(scores.dtype).eps * size  # what is left is rounding
    defined = (product > 0) & ~equal
    correlation = (x * y).sum(dim=1) / torch.where(defined, product, 1.0).sqrt()
    return (correlation * defined).sum() / allowed.any(dim=1).sum()


def intra_list_similarity(scores: Tensor, similarity: Tensor, *, temperature: float = 1.0) -> Tensor:
    r"""Expected similarity of two different items that a user is shown, mean over users; taught in chapter 12.

    :math:`\sum_{i \ne j} \phi_{ui} \phi_{uj} w_{ij} / \sum_{i \ne j} \phi_{ui} \phi_{uj}`, with :math:`\phi_u` of
    :func:`soft_exposure` and ``similarity`` w, ``(n_candidates, n_candidates)``. A user with one candidate counts 0.
    """
    attention = _attention(scores, temperature)
    check_shape(scores.shape[1], scores.shape[1], similarity=similarity)
    refuse(not bool(similarity.isfinite().all()), "similarity", "nan or infinite values", "numbers")
    others = similarity.to(scores.dtype) * (1 - torch.eye(len(similarity), dtype=scores.dtype))
    alike = ((attention @ others) * attention).sum(dim=1)
    most = attention > 0.9  # one item at most; 1 minus its attention would be rounding alone
    rest = torch.where(most, attention.masked_fill(most, 0.0).sum(dim=1, keepdim=True), 1 - attention)
    differ = (attention * rest).sum(dim=1)
    limits = torch.finfo(differ.dtype)
    least = limits.tiny / limits.eps  # below it the softmax has underflown: as if there were one candidate
    return torch.where(differ > least, alike / differ.clamp(min=least), 0.0).mean()


def _candidates(scores: Tensor) -> Tensor:
    """True where a score is a candidate, after the checks that all terms share."""
    check_scores(scores)
    allowed = scores > -torch.inf
    refuse(not bool(allowed.any()), "scores", "no candidate for any user", "at least one")
    return allowed


def _attention(scores: Tensor, temperature: float) -> Tensor:
    """The softmax of each user who has a candidate: ``(users with one, n_candidates)``."""
    allowed = _candidates(scores)
    check_range("above 0", temperature=temperature)
    return softmax(scores[allowed.any(dim=1)] / temperature, dim=1)


def _centred(values: Tensor, allowed: Tensor) -> Tensor:
    """Values minus the mean over the user's candidates, 0 where there is none."""
    kept = torch.where(allowed, values, 0.0)
    mean = kept.sum(dim=1, keepdim=True) / allowed.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(allowed, values - mean, 0.0)


def demographic_parity(scores: Tensor, groups: Tensor) -> Tensor:
    r"""How far the mean scores of groups are apart, in squared units of the scores; taught in chapter 13.

    :math:`\frac{1}{|G|} \sum_a (\bar s_a - \bar s)^2`, the group means around their mean, whatever a group's size.
    """
    check_rows(groups, scores=scores)
    return _parity(scores, groups)[0]


def equal_opportunity(scores: Tensor, relevant: Tensor, groups: Tensor) -> Tensor:
    """:func:`demographic_parity` among the ``relevant`` rows (after Hardt et al. 2016); taught in chapter 13."""
    check_rows(groups, scores=scores, relevant=relevant)
    if not bool(((relevant == 0) | (relevant == 1)).all()):
        raise InputError("relevant", got="other values", expected="True and False, or 1 and 0")
    return _parity(scores[relevant.bool()], groups[relevant.bool()])[0]


def error_parity(predicted: Tensor, actual: Tensor, groups: Tensor) -> Tensor:
    """:func:`demographic_parity` of the squared errors: how far the groups' MSEs are apart; taught in chapter 13."""
    check_rows(groups, predicted=predicted, actual=actual)
    return _parity((predicted - actual).square(), groups)[0]


def estimation_gap(predicted: Tensor, actual: Tensor, items: Tensor, groups: Tensor, kind: str = "value") -> Tensor:
    r"""How differently two groups' ratings of the same item are missed (Yao and Huang 2017); taught in chapter 13.

    With :math:`\bar e_{ai}` the mean of predicted minus actual over the rows of group a and item i, the mean of
    :math:`|h(\bar e_{0i}) - h(\bar e_{1i})|`, in rating units, over items with rows of both groups, 0 and 1, or 0.
    The ``kind`` of h(e) is ``"value"``, e; ``"absolute"``, its size; ``"under"``, max(0, -e); ``"over"``, max(0, e).
    """
    check_rows(groups, predicted=predicted, actual=actual, items=items)
    check_choice(_KINDS, kind=kind)
    return _estimation(predicted, actual, items, groups, kind)[0]


def exposure_parity(scores: Tensor, groups: Tensor, target: Tensor, *, temperature: float = 1.0) -> Tensor:
    r"""How far the exposure of groups of *items* is from what they are to get, 0 to 1; taught in chapter 13.

    :math:`\frac{1}{|G|} \sum_a (\bar\phi_a - t_a)^2` with :math:`\bar\phi_a` the :func:`soft_exposure` of group a's
    items together, ``groups`` that of each candidate, and the shares :math:`t_a` in ``target``, ``(n_groups,)``.
    """
    share = soft_exposure(scores, temperature=temperature)
    check_shape(len(share), groups=groups)
    check_rows(groups)
    if int(groups.max()) >= len(target):
        raise InputError("groups", got=f"a group {int(groups.max())}", expected=f"those of {len(target)} targets")
    target = target.to(share.dtype)
    check_shares(target, "target")
    return (share.new_zeros(len(target)).index_add(0, groups, share) - target).square().mean()


class FairnessTerm:
    """One fairness criterion for a training loop, which counts the batches that it cannot judge; taught in chapter 13.

    The ``criterion`` is ``"demographic_parity"``, ``"equal_opportunity"``, ``"error_parity"``, or a kind of
    :func:`estimation_gap`; ``user_groups`` has the group of each *user* code, ``(n_users,)``. A row is relevant for
    ``"equal_opportunity"`` when ``actual`` is at least ``relevant_from``: 1 for clicks against negatives, 4 for stars.
    Where there is nothing to compare the term is 0, and ``quiet`` of the ``batches`` so far goes up by one.
    """

    def __init__(self, criterion: str, user_groups: Tensor, *, relevant_from: float = 1.0) -> None:
        known = ("demographic_parity", "equal_opportunity", "error_parity", *_KINDS)
        refuse(criterion not in known, "criterion", repr(criterion), f"one of {', '.join(known)}")
        self.criterion, self.relevant_from = criterion, relevant_from
        self.user_groups = torch.as_tensor(user_groups)
        check_rows(self.user_groups)
        self.batches = self.quiet = 0

    def __call__(self, predicted: Tensor, actual: Tensor, users: Tensor, items: Tensor) -> Tensor:
        """The term of pairs, ``(B,)`` or ``(B, n)``; ``users`` and ``items`` broadcast to that shape."""
        users, items = (codes.expand_as(predicted).flatten() for codes in (users, items))
        groups, predicted, actual = self.user_groups[users], predicted.flatten(), actual.flatten()
        check_rows(groups, predicted=predicted, actual=actual, items=items)
        if self.criterion in _KINDS:
            value, judged = _estimation(predicted, actual, items, groups, self.criterion)
        else:
            kept = actual >= self.relevant_from if self.criterion == "equal_opportunity" else slice(None)
            values = (predicted - actual).square() if self.criterion == "error_parity" else predicted
            value, judged = _parity(values[kept], groups[kept])
        self.batches += 1
        self.quiet += not judged
        return value


_KINDS = {"value": lambda e: e, "absolute": torch.abs, "under": lambda e: (-e).relu(), "over": torch.relu}


def _parity(values: Tensor, groups: Tensor) -> tuple[Tensor, bool]:
    """Population variance of the group means, and whether there were two to compare."""
    place = groups.unique(return_inverse=True)[1]
    count = torch.bincount(place)
    means = values.new_zeros(len(count)).index_add(0, place, values) / count
    if len(means) < 2:
        return values.sum() * 0.0, False
    return means.var(correction=0), True


def _estimation(predicted: Tensor, actual: Tensor, items: Tensor, groups: Tensor, kind: str) -> tuple:
    """The estimation gap, and whether there was an item of both groups."""
    if len(groups) and int(groups.max()) > 1:
        raise InputError("groups", got=f"codes up to {int(groups.max())}", expected="two groups, 0 and 1")
    known, place = items.unique(return_inverse=True)
    cell = 2 * place + groups  # an item's rows of group 0, then those of group 1
    count = torch.bincount(cell, minlength=2 * len(known)).view(-1, 2)
    total = predicted.new_zeros(2 * len(known)).index_add(0, cell, predicted - actual).view(-1, 2)
    both = (count > 0).all(dim=1)
    if not bool(both.any()):
        return predicted.sum() * 0.0, False
    counted = _KINDS[kind](total[both] / count[both])  # (items of both groups, 2)
    return (counted[:, 0] - counted[:, 1]).abs().mean(), True


def check_rows(groups: Tensor, **columns: Tensor) -> None:
    """Refuse what is not one group a row, whole numbers from 0, and columns of numbers as long."""
    whole = not (groups.is_floating_point() or groups.is_complex())
    if groups.ndim != 1 or not whole or (len(groups) and int(groups.min()) < 0):
        got = f"{groups.dtype} of shape {tuple(groups.shape)}"
        raise InputError("groups", got=got, expected="whole numbers from 0")
    for name, column in columns.items():
        got = f"shape {tuple(column.shape)} beside groups {tuple(groups.shape)}"
        refuse(column.shape != groups.shape, name, got, "one group a row, as user_groups[users]")
        refuse(not bool(column.isfinite().all()), name, "nan or infinite values", "numbers")
