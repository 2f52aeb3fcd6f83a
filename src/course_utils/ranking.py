"""From scores to lists: the best k, and lists chosen one item at a time for all users at once; chapter 12.

Each re-ranker takes ``scores`` of shape ``(n_users, n_candidates)``, ``-inf`` for a candidate that a user must not
get, and gives **positions** among the candidates, best first, ``(n_users, k)``; -1 where a user has no candidate
left. Of equally good candidates the lower position wins. All are greedy: each item is the best next one, and the
list need not be the best of its length. ``trade_off`` in 0..1 weighs relevance: 1 is the order of the scores.

    items, scores = shortlist(model.score(users), 200)
    lists = items.gather(1, mmr(scores, similarity[items[:, :, None], items[:, None, :]], k=10))
"""

from __future__ import annotations

import numpy as np
import torch

from course_utils.errors import InputError, check_counts

# ---- from scores to lists --------------------------------------------------------------------------------------


def top_k(scores: torch.Tensor, k: int) -> torch.Tensor:
    """The k best items of each user, best first; of equal scores, the lower item code first.

    The same as a stable sort by (-score, item code) cut at k, at about the price of ``torch.topk``, which leaves
    the order of equal scores open.

    Args:
        scores: ``(n_users, n_items)``, higher is better; ``-inf`` means: never recommend.
        k: length of the lists, in 1..n_items.

    Returns:
        Item codes, ``(n_users, k)``, ``torch.long``; -1 where a user has no item left.

    Raises:
        InputError: ``k`` is out of range, a score is nan, or ``scores`` has another number of dimensions.
    """
    if scores.ndim != 2:
        raise InputError("scores", got=f"shape {tuple(scores.shape)}", expected="shape (n_users, n_items)")
    n_items = scores.shape[1]
    check_k(k, n_items)
    values, items = scores.topk(min(k + 1, n_items), dim=1)  # one more, to see a tie across the cut
    if values[:, 0].isnan().any():  # torch.topk puts nan first
        raise InputError(
            "scores", got=f"nan for {int(values[:, 0].isnan().sum())} user(s)", expected="no nan"
        )
    equal = values[:, 1:] == values[:, :-1]  # (n_users, k)
    inside = equal.any(dim=1).nonzero().squeeze(1)
    if len(inside):  # sort by code, then by score, which keeps the code order of equal scores
        codes, order = items[inside].sort(dim=1)
        order = values[inside].gather(1, order).sort(dim=1, descending=True, stable=True).indices
        items[inside] = codes.gather(1, order)
    if n_items > k:
        across = equal[:, k - 1].nonzero().squeeze(1)
        if len(across):  # torch.topk was free to pick any of the tied items
            items[across, :k] = _fill_from_tie(scores[across], values[across, :k], items[across, :k])
    return items[:, :k].masked_fill(values[:, :k] == -torch.inf, -1)


def _fill_from_tie(scores: torch.Tensor, values: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Refill the last places of lists whose k-th score occurs again below the cut, lowest codes first."""
    start = torch.arange(len(scores))[:, None] * scores.shape[1]  # of each row in the flattened table
    last = values[:, -1:]
    # Positions of the tied items, row after row (NumPy finds them several times faster than torch.nonzero).
    tied = torch.from_numpy(np.flatnonzero((scores == last).numpy()))
    above = (values > last).sum(dim=1, keepdim=True)
    place = torch.arange(values.shape[1])
    codes = tied[torch.searchsorted(tied, start) + (place - above).clamp(min=0)] - start
    return torch.where(place < above, items, codes)


def as_scores(scores: torch.Tensor) -> torch.Tensor:
    """Scores in a floating type, for counts are scores too and only there is an infinity to mask with."""
    scores = torch.as_tensor(scores)
    return scores if scores.is_floating_point() else scores.to(torch.get_default_dtype())


def check_k(k: int, largest: int) -> None:
    """Refuse a length of lists that is not a whole number in 1..largest."""
    check_counts(1, largest, k=k)


def rounding(*tensors: torch.Tensor) -> float:
    """The relative rounding error of the coarsest of these tensors: 2e-16 in float64, 1e-7 in float32."""
    return max(torch.finfo(t.dtype).eps if t.is_floating_point() else 0.0 for t in tensors)


def check_shares(shares: torch.Tensor, name: str, *, empty: bool = False) -> None:
    """Refuse a table whose rows are not shares of one whole.

    Args:
        shares: ``(..., n_kinds)``.
        name: what the error shall call it.
        empty: whether a row of zeros is allowed.

    Raises:
        InputError: a share is negative, nan or infinite, or a row does not sum to 1.
    """
    sums = shares.sum(dim=-1)
    whole = (sums - 1).abs() < max(1e-6, shares.shape[-1] * rounding(shares))
    if not bool((shares >= 0).all()) or not bool((whole | (sums == 0) if empty else whole).all()):
        got = f"rows that sum to {float(sums.min()):.3g}..{float(sums.max()):.3g}"
        raise InputError(name, got=got, expected="shares of 0 or more, which sum to 1 in each row")


# ---- re-ranking ------------------------------------------------------------------------------------------------


def shortlist(scores: torch.Tensor, n: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """The n best items of each user, with their scores brought to 0..1; taught in chapter 12.

    Similarities lie in 0..1, log odds do not: a trade-off between the two needs a common scale.

    Args:
        scores: ``(n_users, n_items)``, ``-inf`` for an item that a user must not get.
        n: length of the shortlist, in 1..n_items.

    Returns:
        ``(items, scores)``, both ``(n_users, n)``, best first. The best item has score 1 and the last one 0, equal
        scores have 1. Where a user has no item left: item 0 and score ``-inf``.

    Raises:
        InputError: a score is nan or ``+inf``, or ``n`` is out of range.
    """
    scores = as_scores(scores)
    _check_scores(scores)
    items = top_k(scores, n)
    real, items = items >= 0, items.clamp(min=0)
    values = scores.gather(1, items)
    low = values.masked_fill(~real, torch.inf).amin(dim=1, keepdim=True)
    width = (values[:, :1] - low).masked_fill(~real[:, :1], 0.0)
    unit = torch.where(width > 0, (values - low) / torch.where(width > 0, width, 1.0), 1.0)
    return items, unit.masked_fill(~real, -torch.inf)


def mmr(scores: torch.Tensor, similarity: torch.Tensor, k: int, trade_off: float = 0.5) -> torch.Tensor:
    r"""Maximal marginal relevance (Carbonell and Goldstein 1998); taught in chapter 12.

    The next item has the largest :math:`\tau s_i - (1 - \tau) \max_{j \in L} w_{ij}`: relevant, and unlike every item
    that is in the list :math:`L` already. The first is the most relevant one.

    Args:
        scores: ``(n_users, n_candidates)``, on the scale of the similarities, as from :func:`shortlist`.
        similarity: w, symmetric, ``(n_candidates, n_candidates)`` or ``(n_users, n_candidates, n_candidates)``.
        k: length of the lists, in 1..n_candidates.
        trade_off: τ in 0..1.

    Returns:
        Positions, ``(n_users, k)``.

    Raises:
        InputError: a shape is wrong, a value nan or infinite, ``k`` or ``trade_off`` out of range.
    """
    scores = as_scores(scores)
    lists = _Lists(scores, k, trade_off)
    similarity = _similarity(similarity, scores)
    closest = torch.full_like(scores, -torch.inf)
    value = scores
    for _ in range(k):
        closest = torch.maximum(closest, _row(similarity, lists.take(value)))
        value = lists.relevance - (1 - trade_off) * closest
    return lists.positions


def dpp(scores: torch.Tensor, similarity: torch.Tensor, k: int, trade_off: float = 0.5) -> torch.Tensor:
    r"""Greedy list of a determinantal point process (Chen, Zhang and Zhou 2018, algorithm 1); taught in chapter 12.

    Seeks the list with the largest :math:`\tau \sum_{i \in L} s_i + (1 - \tau) \ln \det w_L`, where :math:`w_L` holds
    the similarities within the list. The determinant is the squared volume that the items span: 1 when they have
    nothing in common, 0 when two are alike. With :math:`s_i = \ln r_i` and τ = 2/3 this is a third of the log
    determinant of :math:`r_i r_j w_{ij}`, the kernel of Kulesza and Taskar (2012).

    Each candidate carries its row of a Cholesky factor, so a step costs one row and not a determinant.

    Args:
        scores: ``(n_users, n_candidates)``, on a common scale, as from :func:`shortlist`.
        similarity: w, symmetric and positive semidefinite as cosines are, ``(n_candidates, n_candidates)`` or
            ``(n_users, n_candidates, n_candidates)``.
        k: length of the lists, in 1..n_candidates.
        trade_off: τ in 0..1.

    Returns:
        Positions, ``(n_users, k)``. A candidate that adds nothing to what the list spans counts as volume 1e-10;
        nothing is what rounding alone could have left.

    Raises:
        InputError: as in :func:`mmr`, or ``similarity`` turns out not to be positive semidefinite.
    """
    scores = as_scores(scores)
    lists = _Lists(scores, k, trade_off)
    noise = rounding(scores, similarity)
    flat, slack = max(_FLAT, 100 * noise), max(1e-6, 1e4 * noise)
    similarity = _similarity(similarity, scores)
    adds = similarity.diagonal(dim1=-2, dim2=-1).expand(scores.shape).clone()  # volume a candidate would add
    factor: list[torch.Tensor] = []  # a column of the Cholesky factor for each item taken
    for _ in range(k):
        volume = torch.where(adds > flat, adds, _FLAT)
        chosen = lists.take(lists.relevance + (1 - trade_off) * volume.log())
        column = _row(similarity, chosen)
        for earlier in factor:
            column = column - earlier.gather(1, chosen[:, None]) * earlier
        column = column / adds.gather(1, chosen[:, None]).clamp(min=flat).sqrt()
        factor.append(column)
        adds -= column.square()
        if bool((adds[lists.free] < -slack).any()):
            raise InputError("similarity", got="a negative volume", expected="positive semidefinite")
    return lists.positions


def calibrated(
    scores: torch.Tensor,
    kinds: torch.Tensor,
    target: torch.Tensor,
    k: int,
    trade_off: float = 0.5,
    *,
    smoothing: float = 0.01,
) -> torch.Tensor:
    r"""Lists whose kinds have the shares of the user's history (Steck 2018, section 5); taught in chapter 12.

    The next item has the largest :math:`\tau \sum_{j \in L} s_j - (1 - \tau)\,\mathrm{KL}(p, q)` once it is in
    the list :math:`L`, with the shares :math:`p` of the history and :math:`q` of the list, smoothed as in
    :func:`course_utils.evaluation.calibration_kl`.

    Args:
        scores: ``(n_users, n_candidates)``, on a common scale, as from :func:`shortlist`.
        kinds: share of each kind (genre) in each candidate, ``(n_candidates, n_kinds)`` or
            ``(n_users, n_candidates, n_kinds)``; rows sum to 1, or to 0 where nothing is known.
        target: :math:`p`, ``(n_users, n_kinds)``, rows sum to 1.
        k: length of the lists, in 1..n_candidates.
        trade_off: τ in 0..1.
        smoothing: weight of the target in the smoothed shares, above 0 and at most 1.

    Returns:
        Positions, ``(n_users, k)``.

    Raises:
        InputError: a shape is wrong, a value nan or infinite, rows do not sum to 1, or a number is out of range.
    """
    scores = as_scores(scores)
    lists = _Lists(scores, k, trade_off)
    check_shares(kinds, "kinds", empty=True)
    check_shares(target, "target")
    table = (scores.shape[1], target.shape[-1])
    if tuple(kinds.shape) not in (table, (len(scores), *table)) or len(target) != len(scores):
        got = f"shapes {tuple(kinds.shape)} and {tuple(target.shape)}"
        raise InputError(
            "kinds, target", got=got, expected="the users of scores, its candidates, equal kinds"
        )
    if not 0 < smoothing <= 1:
        raise InputError("smoothing", got=smoothing, expected="above 0 and at most 1")
    kinds, target = kinds.to(scores.dtype).expand(len(scores), *table), target.to(scores.dtype)
    empty = torch.finfo(scores.dtype).tiny  # keeps the logarithm of a kind without any share finite
    users, sums = torch.arange(len(scores)), torch.zeros_like(target)
    for size in range(1, k + 1):
        shares = (sums[:, None] + kinds) / size  # with each candidate: (n_users, n_candidates, n_kinds)
        # -KL(p, q) up to the entropy of p, which no list can change; a kind that nobody has is multiplied by 0
        smooth = (1 - smoothing) * shares + (smoothing * target + empty)[:, None]
        fit = (smooth.log() @ target[:, :, None])[..., 0]
        chosen = lists.take(lists.relevance + (1 - trade_off) * fit)
        sums = sums + kinds[users, chosen]
    return lists.positions


def spread(scores: torch.Tensor, k: int, bonus: float) -> torch.Tensor:
    r"""Lists that share out the exposure of items over all users; taught in chapter 12.

    One user after another gets the k items with the largest :math:`s_{ui} + \omega / (1 + h_i)`, where :math:`h_i` is
    the number of earlier users who got item i: what nobody got yet has the full bonus ω. Who comes first pays most.
    This is the only re-ranker here for which the order of the rows matters.

    Args:
        scores: ``(n_users, n_items)``, on a scale on which users compare, ``-inf`` for an item that a user must not
            get.
        k: length of the lists, in 1..n_items.
        bonus: ω, 0 or more; 0 is the order of the scores.

    Returns:
        Item codes, ``(n_users, k)``, within a list by their scores.

    Raises:
        InputError: a score is nan or ``+inf``, or ``k`` or ``bonus`` is out of range.
    """
    scores = as_scores(scores)
    _check_scores(scores)
    check_k(k, scores.shape[1])
    if not 0 <= bonus < torch.inf:
        raise InputError("bonus", got=bonus, expected="0 or more")
    given = torch.zeros(scores.shape[1], dtype=scores.dtype)
    lists = torch.empty(len(scores), k, dtype=torch.long)
    for user, row in enumerate(scores):  # each list depends on those before it
        chosen = top_k((row + bonus / (1 + given))[None], k)[0]
        order = row[chosen].masked_fill(chosen < 0, -torch.inf).argsort(descending=True, stable=True)
        lists[user] = chosen[order]
        given[chosen[chosen >= 0]] += 1
    return lists


_FLAT = 1e-10  # the volume of an item that adds nothing, far above the rounding errors of float64


class _Lists:
    """What all re-rankers share: the checks, the candidates still free, and the lists as they grow."""

    def __init__(self, scores: torch.Tensor, k: int, trade_off: float) -> None:
        _check_scores(scores)
        check_k(k, scores.shape[1])
        if not 0 <= trade_off <= 1:
            raise InputError("trade_off", got=trade_off, expected="a number in 0..1")
        self.free = scores > -torch.inf
        self.relevance = trade_off * scores.masked_fill(~self.free, 0.0)
        self._taken: list[torch.Tensor] = []

    def take(self, value: torch.Tensor) -> torch.Tensor:
        """The free candidate with the largest value, of equal ones the first: ``(n_users,)``, and in no list yet."""
        chosen = value.masked_fill(~self.free, -torch.inf).argmax(dim=1)
        some = self.free.any(dim=1)
        self._taken.append(chosen.masked_fill(~some, -1))
        self.free[torch.arange(len(chosen)), chosen] = False
        return chosen

    @property
    def positions(self) -> torch.Tensor:
        return torch.stack(self._taken, dim=1)


def _row(similarity: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Similarity of each user's chosen candidate with all of them: ``(n_users, n_candidates)``."""
    return similarity[chosen] if similarity.ndim == 2 else similarity[torch.arange(len(chosen)), chosen]


def _check_scores(scores: torch.Tensor) -> None:
    if scores.ndim != 2 or scores.numel() == 0:
        raise InputError("scores", got=f"shape {tuple(scores.shape)}", expected="(n_users, n_candidates)")
    bad = int((scores.isnan() | (scores == torch.inf)).sum())
    if bad:
        raise InputError("scores", got=f"{bad} nan or +inf", expected="numbers, or -inf for no candidate")


def _similarity(similarity: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    n_users, n = scores.shape
    if tuple(similarity.shape) not in ((n, n), (n_users, n, n)):
        expected = f"shape ({n}, {n}) or ({n_users}, {n}, {n})"
        raise InputError("similarity", got=f"shape {tuple(similarity.shape)}", expected=expected)
    if not bool(similarity.sum().isfinite()):  # 20 times faster than asking each, and as sharp
        raise InputError("similarity", got="nan or infinite values", expected="numbers")
    return similarity.to(scores.dtype)
