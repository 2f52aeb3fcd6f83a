"""Terms to add to a training loss, each with a gradient, and what each of them moves.

The terms of chapter 12 take a table of scores, ``(n_users, n_candidates)``, higher is better; ``-inf`` marks a
candidate that a user must not get, such as a film that was seen. They give a tensor of shape ``()``. A user with no
candidate counts for nothing. The terms of chapter 13 take rows of predicted pairs and the group of each row.
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import softmax

from course_utils.errors import InputError

# ---- diversity -------------------------------------------------------------------------------------------------


def score_variance(scores: torch.Tensor) -> torch.Tensor:
    r"""The population variance of all scores at once; taught in chapter 12, as a term that does *not* diversify.

    It knows no item and no user. Minimised beside a squared error with weight λ it gives
    :math:`(y + \lambda \bar y) / (1 + \lambda)`: smaller differences, the same order, so the same lists.

    Args:
        scores: ``(n_users, n_candidates)``, ``-inf`` for no candidate.

    Returns:
        A tensor of shape ``()``, 0 or more, in squared units of the scores; one score alone has variance 0.

    Raises:
        InputError: a score is nan or ``+inf``, the table is not two-dimensional, or no user has a candidate.
    """
    allowed = _candidates(scores)
    return scores[allowed].var(correction=0)


def soft_exposure(scores: torch.Tensor, *, temperature: float = 1.0) -> torch.Tensor:
    r"""The share of attention that each item gets, with a gradient; taught in chapter 12.

    Each user's attention is a softmax over the candidates, :math:`\phi_{ui} \propto \exp(s_{ui} / T)`. The mean over
    users is the exposure :math:`\bar\phi_i`. As T falls it approaches the share of users whose best item is i.

    Args:
        scores: ``(n_users, n_candidates)``, ``-inf`` for no candidate.
        temperature: T above 0, in units of the scores.

    Returns:
        Shares ``(n_candidates,)``, 0 or more, which sum to 1.

    Raises:
        InputError: as in :func:`score_variance`, or ``temperature`` is not above 0.
    """
    return _attention(scores, temperature).mean(dim=0)


def exposure_concentration(scores: torch.Tensor, *, temperature: float = 1.0) -> torch.Tensor:
    r"""How far the exposure of items is from equal, as a Kullback-Leibler divergence; taught in chapter 12.

    :math:`\mathrm{KL}(\bar\phi, \mathrm{uniform}) = \ln n + \sum_i \bar\phi_i \ln \bar\phi_i` with the
    :func:`soft_exposure` :math:`\bar\phi` of n candidates. To lower it a model has to change *which* items users get,
    not how large the scores are.

    Args:
        scores: ``(n_users, n_candidates)``, ``-inf`` for no candidate.
        temperature: T above 0, in units of the scores.

    Returns:
        A tensor of shape ``()``, from 0 (all items alike) to ln n (one item takes all), in nats.

    Raises:
        InputError: as in :func:`soft_exposure`.
    """
    exposure = soft_exposure(scores, temperature=temperature)
    tiny = torch.finfo(exposure.dtype).tiny  # keeps the logarithm finite where the softmax underflows
    return math.log(len(exposure)) - torch.special.entr(exposure.clamp(min=tiny)).sum()


def popularity_correlation(scores: torch.Tensor, popularity: torch.Tensor) -> torch.Tensor:
    """Pearson correlation of a user's scores with the log of popularity, mean over users; taught in chapter 12.

    Abdollahpouri et al. (2017) put a popularity term into the loss in the same spirit. Add it to a loss to push scores
    away from popularity, or its square to make them independent of it.

    Args:
        scores: ``(n_users, n_candidates)``, ``-inf`` for no candidate.
        popularity: ``(n_candidates,)``, above 0, such as the number of training users plus 1.

    Returns:
        A tensor of shape ``()`` in -1..1. A user with equal scores, or whose candidates are equally popular, counts 0.

    Raises:
        InputError: as in :func:`score_variance`, or ``popularity`` has another length or is not above 0.
    """
    allowed = _candidates(scores)
    popularity = torch.as_tensor(popularity)
    if popularity.shape != scores.shape[1:]:
        raise InputError("popularity", got=f"shape {tuple(popularity.shape)}", expected="one a candidate")
    if not bool(((popularity > 0) & popularity.isfinite()).all()):
        raise InputError("popularity", got=f"values down to {float(popularity.min())}", expected="above 0")
    x = _centred(scores, allowed)
    y = _centred(popularity.to(scores.dtype).log().expand_as(scores), allowed)
    product = x.square().sum(dim=1) * y.square().sum(dim=1)
    size = torch.where(allowed, scores, 0.0).abs().amax(dim=1)
    equal = x.abs().amax(dim=1) <= 4 * torch.finfo(scores.dtype).eps * size  # what is left is rounding
    defined = (product > 0) & ~equal
    correlation = (x * y).sum(dim=1) / torch.where(defined, product, 1.0).sqrt()
    return (correlation * defined).sum() / allowed.any(dim=1).sum()


def intra_list_similarity(
    scores: torch.Tensor, similarity: torch.Tensor, *, temperature: float = 1.0
) -> torch.Tensor:
    r"""Expected similarity of two different items that a user is shown, mean over users; taught in chapter 12.

    Two items are drawn from the attention :math:`\phi_u` of :func:`soft_exposure`, and it counts only when they
    differ: :math:`\sum_{i \ne j} \phi_{ui} \phi_{uj} w_{ij} / \sum_{i \ne j} \phi_{ui} \phi_{uj}`. Where the attention
    is equal on k items and 0 elsewhere, this is 1 minus the intra-list diversity of that list (Ziegler et al. 2005).

    Args:
        scores: ``(n_users, n_candidates)``, ``-inf`` for no candidate.
        similarity: ``(n_candidates, n_candidates)``; its diagonal plays no part.
        temperature: T above 0, in units of the scores.

    Returns:
        A tensor of shape ``()``, within the range of the similarities. A user with one candidate counts 0, and so
        does one whose other candidates have no attention left that the floating type can hold.

    Raises:
        InputError: as in :func:`soft_exposure`, or ``similarity`` has another shape or is not finite.
    """
    attention = _attention(scores, temperature)
    similarity = torch.as_tensor(similarity)
    if similarity.shape != (scores.shape[1],) * 2:
        raise InputError(
            "similarity", got=f"shape {tuple(similarity.shape)}", expected="one row and column a candidate"
        )
    if not bool(similarity.isfinite().all()):
        raise InputError("similarity", got="nan or infinite values", expected="numbers")
    others = similarity.to(scores.dtype) * (1 - torch.eye(len(similarity), dtype=scores.dtype))
    alike = ((attention @ others) * attention).sum(dim=1)
    most = attention > 0.9  # one item at most; 1 minus its attention would be rounding alone
    rest = torch.where(most, attention.masked_fill(most, 0.0).sum(dim=1, keepdim=True), 1 - attention)
    differ = (attention * rest).sum(dim=1)
    limits = torch.finfo(differ.dtype)
    least = limits.tiny / limits.eps  # below it the softmax has underflown: as if there were one candidate
    return torch.where(differ > least, alike / differ.clamp(min=least), 0.0).mean()


def _candidates(scores: torch.Tensor) -> torch.Tensor:
    """True where a score is a candidate, after the checks that all terms share."""
    if scores.ndim != 2:
        raise InputError("scores", got=f"shape {tuple(scores.shape)}", expected="(n_users, n_candidates)")
    bad = int((scores.isnan() | (scores == torch.inf)).sum())
    if bad:
        raise InputError("scores", got=f"{bad} nan or +inf", expected="numbers, or -inf for no candidate")
    allowed = scores > -torch.inf
    if not bool(allowed.any()):
        raise InputError("scores", got="no candidate for any user", expected="at least one")
    return allowed


def _attention(scores: torch.Tensor, temperature: float) -> torch.Tensor:
    """The softmax of each user who has a candidate: ``(users with one, n_candidates)``."""
    allowed = _candidates(scores)
    if not 0 < temperature < math.inf:
        raise InputError("temperature", got=temperature, expected="a number above 0")
    return softmax(scores[allowed.any(dim=1)] / temperature, dim=1)


def _centred(values: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Values minus the mean over the user's candidates, 0 where there is none."""
    kept = torch.where(allowed, values, 0.0)
    mean = kept.sum(dim=1, keepdim=True) / allowed.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(allowed, values - mean, 0.0)


# ---- fairness --------------------------------------------------------------------------------------------------
# Rows are predicted pairs and ``groups`` holds the group of each row: ``user_groups[users]``. A group without a row
# takes no part. With fewer than two groups there is nothing to compare, and a term is 0, connected to the graph.


def demographic_parity(scores: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    r"""How far the mean scores of groups are apart; taught in chapter 13.

    :math:`\frac{1}{|G|} \sum_a (\bar s_a - \bar s)^2`, the group means around the mean of the group means: each group
    counts alike, whatever its size. For two groups it is a quarter of their squared gap. It knows no error, and a
    constant added to all scores of a group brings it to 0 without changing a list.

    Args:
        scores: ``(n,)``, ratings or log odds.
        groups: group of each row, ``(n,)``, whole numbers from 0.

    Returns:
        A tensor of shape ``()``, 0 or more, in squared units of the scores.

    Raises:
        InputError: the lengths differ, a score is nan or infinite, or a group is no whole number from 0.
    """
    _check_rows(groups, scores=scores)
    return _parity(scores, groups)[0]


def equal_opportunity(scores: torch.Tensor, relevant: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """:func:`demographic_parity` among the relevant rows (after Hardt, Price and Srebro 2016); taught in chapter 13.

    What people like shall score equally high in every group; what they do not like plays no part.

    Args:
        scores: ``(n,)``, ratings or log odds.
        relevant: whether a row is relevant, ``(n,)``, True and False or 1 and 0.
        groups: group of each row, ``(n,)``, whole numbers from 0.

    Returns:
        A tensor of shape ``()``, 0 or more; 0 too when fewer than two groups have a relevant row.

    Raises:
        InputError: as in :func:`demographic_parity`, or ``relevant`` holds another value.
    """
    _check_rows(groups, scores=scores, relevant=relevant)
    return _opportunity(scores, relevant, groups)[0]


def error_parity(predicted: torch.Tensor, actual: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """:func:`demographic_parity` of the squared errors: how far the groups' MSEs are apart; taught in chapter 13.

    Args:
        predicted: ``(n,)``, in rating units.
        actual: ``(n,)``.
        groups: group of each row, ``(n,)``, whole numbers from 0.

    Returns:
        A tensor of shape ``()``, 0 or more, in rating units to the fourth power.

    Raises:
        InputError: as in :func:`demographic_parity`.
    """
    _check_rows(groups, predicted=predicted, actual=actual)
    return _parity((predicted - actual).square(), groups)[0]


def estimation_gap(
    predicted: torch.Tensor,
    actual: torch.Tensor,
    items: torch.Tensor,
    groups: torch.Tensor,
    kind: str = "value",
) -> torch.Tensor:
    r"""How differently two groups' ratings of the same item are missed (Yao and Huang 2017); taught in chapter 13.

    With :math:`\bar e_{ai}` the mean of predicted minus actual over the rows of group a and item i, the mean over
    items of :math:`|h(\bar e_{0i}) - h(\bar e_{1i})|`, where h says what counts:

    - ``"value"``: :math:`h(e) = e`, the signed error;
    - ``"absolute"``: :math:`h(e) = |e|`, its size;
    - ``"under"``: :math:`h(e) = \max(0, -e)`, underestimation alone;
    - ``"over"``: :math:`h(e) = \max(0, e)`, overestimation alone.

    The mean runs over items with rows of both groups. Where an absolute value has a kink the gradient is 0.

    Args:
        predicted: ``(n,)``, in rating units.
        actual: ``(n,)``.
        items: item code of each row, ``(n,)``.
        groups: group of each row, ``(n,)``, 0 or 1.
        kind: which errors count.

    Returns:
        A tensor of shape ``()``, 0 or more, in rating units; 0 too when no item has rows of both groups.

    Raises:
        InputError: as in :func:`demographic_parity`, an unknown ``kind``, or a group beyond 1.
    """
    _check_rows(groups, predicted=predicted, actual=actual, items=items)
    return _estimation(predicted, actual, items, groups, kind)[0]


def exposure_parity(
    scores: torch.Tensor, groups: torch.Tensor, target: torch.Tensor, *, temperature: float = 1.0
) -> torch.Tensor:
    r"""How far the exposure of groups of *items* is from what they are to get; taught in chapter 13.

    :math:`\frac{1}{|G|} \sum_a (\bar\phi_a - t_a)^2` with :math:`\bar\phi_a` the :func:`soft_exposure` of group a's
    items together and :math:`t_a` its target: its share of all interactions, say, when merit shall be paid in
    attention.

    Args:
        scores: ``(n_users, n_candidates)``, ``-inf`` for no candidate.
        groups: group of each candidate, ``(n_candidates,)``, whole numbers from 0.
        target: the share of each group, ``(n_groups,)``, 0 or more and together 1.
        temperature: T above 0, in units of the scores.

    Returns:
        A tensor of shape ``()``, from 0 to 1. A group without a candidate has exposure 0.

    Raises:
        InputError: as in :func:`soft_exposure`; ``groups`` has another length, or a group beyond the targets;
            ``target`` does not sum to 1.
    """
    share = soft_exposure(scores, temperature=temperature)
    if groups.shape != share.shape:
        got = f"shape {tuple(groups.shape)} beside {len(share)} candidates"
        raise InputError("groups", got=got, expected="one group a candidate")
    _check_rows(groups)
    if int(groups.max()) >= len(target):
        got = f"a group {int(groups.max())} and {len(target)} targets"
        raise InputError("groups", got=got, expected="a target for each group")
    target = target.to(share.dtype)
    if not bool((target >= 0).all()) or abs(float(target.sum()) - 1) > 1e-6:
        raise InputError("target", got=target.tolist(), expected="shares from 0 that sum to 1")
    return (share.new_zeros(len(target)).index_add(0, groups, share) - target).square().mean()


class FairnessTerm:
    """One fairness criterion for a training loop, which counts the batches that it cannot judge; taught in chapter 13.

    A batch with rows of one group alone, with relevant rows of one group alone, or without an item that both groups
    rated has nothing to compare. The term is 0 there, connected to the graph, and ``quiet`` goes up by one.

    Args:
        criterion: ``"demographic_parity"``, ``"equal_opportunity"``, ``"error_parity"``, or a kind of
            :func:`estimation_gap`: ``"value"``, ``"absolute"``, ``"under"``, ``"over"``.
        user_groups: group of each *user* code, ``(n_users,)``, whole numbers from 0.
        relevant_from: a row is relevant for ``"equal_opportunity"`` when ``actual`` is at least this: 1 for clicks
            against negatives, 4 for stars.

    Attributes:
        batches: number of calls so far.
        quiet: how many of them had nothing to compare.

    Raises:
        InputError: an unknown criterion, or a group is no whole number from 0.
    """

    def __init__(self, criterion: str, user_groups: torch.Tensor, *, relevant_from: float = 1.0) -> None:
        known = ("demographic_parity", "equal_opportunity", "error_parity", *_KINDS)
        if criterion not in known:
            raise InputError("criterion", got=repr(criterion), expected=f"one of {', '.join(known)}")
        self.criterion, self.relevant_from = criterion, relevant_from
        self.user_groups = torch.as_tensor(user_groups)
        _check_rows(self.user_groups)
        self.batches = self.quiet = 0

    def __call__(
        self, predicted: torch.Tensor, actual: torch.Tensor, users: torch.Tensor, items: torch.Tensor
    ) -> torch.Tensor:
        """The term of a batch, a tensor of shape ``()``.

        Args:
            predicted: ``(B,)``, or ``(B, n)`` with n items a user.
            actual: ratings, or 1 for a click and 0 for a negative, shaped as ``predicted``.
            users: user codes; their shape broadcasts to that of ``predicted``, ``(B, 1)`` for ``(B, n)``.
            items: item codes, likewise.
        """
        users, items = (codes.expand_as(predicted).flatten() for codes in (users, items))
        groups, predicted, actual = self.user_groups[users], predicted.flatten(), actual.flatten()
        _check_rows(groups, predicted=predicted, actual=actual, items=items)
        if self.criterion == "demographic_parity":
            value, judged = _parity(predicted, groups)
        elif self.criterion == "equal_opportunity":
            value, judged = _opportunity(predicted, actual >= self.relevant_from, groups)
        elif self.criterion == "error_parity":
            value, judged = _parity((predicted - actual).square(), groups)
        else:
            value, judged = _estimation(predicted, actual, items, groups, self.criterion)
        self.batches += 1
        self.quiet += not judged
        return value


_KINDS = {
    "value": lambda error: error,
    "absolute": torch.abs,
    "under": lambda error: (-error).relu(),
    "over": torch.relu,
}


def _parity(values: torch.Tensor, groups: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """Population variance of the group means, and whether there were two to compare."""
    place = groups.unique(return_inverse=True)[1]
    count = torch.bincount(place)
    means = values.new_zeros(len(count)).index_add(0, place, values) / count
    if len(means) < 2:
        return values.sum() * 0.0, False
    return means.var(correction=0), True


def _opportunity(
    scores: torch.Tensor, relevant: torch.Tensor, groups: torch.Tensor
) -> tuple[torch.Tensor, bool]:
    if not bool(((relevant == 0) | (relevant == 1)).all()):
        raise InputError("relevant", got="other values", expected="True and False, or 1 and 0")
    kept = relevant.bool()
    return _parity(scores[kept], groups[kept])


def _estimation(
    predicted: torch.Tensor, actual: torch.Tensor, items: torch.Tensor, groups: torch.Tensor, kind: str
) -> tuple[torch.Tensor, bool]:
    if kind not in _KINDS:
        raise InputError("kind", got=repr(kind), expected=f"one of {', '.join(_KINDS)}")
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


def _check_rows(groups: torch.Tensor, **columns: torch.Tensor) -> None:
    """One group a row, whole numbers from 0, and columns of numbers as long."""
    whole = not (groups.is_floating_point() or groups.is_complex())
    if groups.ndim != 1 or not whole or (len(groups) and int(groups.min()) < 0):
        got = f"{groups.dtype} of shape {tuple(groups.shape)}, from {groups.min() if groups.numel() else 'nothing'}"
        raise InputError("groups", got=got, expected="one whole number from 0 a row")
    for name, column in columns.items():
        if column.shape != groups.shape:
            got = f"shape {tuple(column.shape)} beside groups {tuple(groups.shape)}"
            raise InputError(name, got=got, expected="one group a row, as user_groups[users]")
        if not bool(column.isfinite().all()):
            raise InputError(name, got="nan or infinite values", expected="numbers")
