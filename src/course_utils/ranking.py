"""From scores to lists: the best k, and lists chosen one item at a time for all users at once; chapter 12.

Each re-ranker takes ``scores``, ``(n_users, n_candidates)``, ``-inf`` for a candidate that a user must not get. It is
greedy and gives **positions** among the candidates, best first, ``(n_users, k)``; -1 where none is left. Of equally
good ones the lower position wins. ``trade_off``, τ in 0..1, weighs relevance: 1 is the order of the scores.
``similarity``, w, is symmetric: ``(n_candidates, n_candidates)``, or one such table a user.

    items, scores = shortlist(model.score(users), 200)
    lists = items.gather(1, mmr(scores, similarity[items[:, :, None], items[:, None, :]], k=10))
"""

import torch
from torch import Tensor

from course_utils.errors import InputError, check_counts, check_range, check_shape, refuse


def top_k(scores: Tensor, k: int) -> Tensor:
    """The k best items of each user, ``(n_users, k)``, best first; of equal scores, the lower item code first.

    ``torch.topk`` leaves that order open. A score of ``-inf`` means: never recommend; -1 where no item is left.
    """
    check_shape("n_users", "n_items", scores=scores)
    n_items = scores.shape[1]
    check_counts(1, n_items, k=k)
    values, items = scores.topk(min(k + 1, n_items), dim=1)  # one more, to see a tie across the cut
    bad = int(values[:, 0].isnan().sum())  # torch.topk puts nan first
    refuse(bad, "scores", f"nan for {bad} user(s)", "no nan")
    equal = values[:, 1:] == values[:, :-1]
    inside = equal.any(dim=1).nonzero()[:, 0]
    if len(inside):  # sort by code, then by score, which keeps the code order of equal scores
        codes, order = items[inside].sort(dim=1)
        order = values[inside].gather(1, order).sort(dim=1, descending=True, stable=True).indices
        items[inside] = codes.gather(1, order)
    values, items = values[:, :k], items[:, :k]
    across = equal[:, k - 1 :].any(dim=1).nonzero()[:, 0]
    if len(across):  # torch.topk was free to pick any of the items that tie with the last
        last = values[across, -1:]
        codes = torch.where(scores[across] == last, torch.arange(n_items), n_items)
        lowest = codes.topk(k, dim=1, largest=False).values
        place = torch.arange(k) - (values[across] > last).sum(dim=1, keepdim=True)  # 0 where the tie begins
        items[across] = torch.where(place < 0, items[across], lowest.gather(1, place.clamp(min=0)))
    return items.masked_fill(values == -torch.inf, -1)


def as_scores(scores: Tensor) -> Tensor:
    """Scores in a floating type, for counts are scores too and only there is an infinity to mask with."""
    scores = torch.as_tensor(scores)
    return scores if scores.is_floating_point() else scores.to(torch.get_default_dtype())


def check_scores(scores: Tensor) -> Tensor:
    """Scores by :func:`as_scores`; refuse what is no table, has no entry, or holds a nan or ``+inf``."""
    scores = as_scores(scores)
    refuse(scores.ndim != 2 or scores.numel() == 0, "scores", f"shape {tuple(scores.shape)}", "(n_users, n_candidates)")
    bad = int((scores.isnan() | (scores == torch.inf)).sum())
    refuse(bad, "scores", f"{bad} nan or +inf", "numbers, or -inf for no candidate")
    return scores


def check_shares(shares: Tensor, name: str, *, empty: bool = False) -> None:
    """Refuse ``(..., n_kinds)`` whose rows are not shares of one whole; ``empty`` allows a row of zeros."""
    sums = shares.sum(dim=-1)
    whole = (sums - 1).abs() < max(1e-6, shares.shape[-1] * _rounding(shares))
    if not bool((shares >= 0).all()) or not bool((whole | (sums == 0) if empty else whole).all()):
        got = f"rows that sum to {float(sums.min()):.3g}..{float(sums.max()):.3g}"
        raise InputError(name, got=got, expected="shares of 0 or more, which sum to 1 in each row")


def shortlist(scores: Tensor, n: int = 200) -> tuple[Tensor, Tensor]:
    """The n best items of each user, and their scores brought to 0..1: both ``(n_users, n)``; taught in chapter 12.

    The best item has score 1 and the last one 0, equal scores have 1; item 0 and ``-inf`` where no item is left.
    """
    scores = check_scores(scores)
    items = top_k(scores, n)
    real, items = items >= 0, items.clamp(min=0)
    values = scores.gather(1, items)
    low = values.masked_fill(~real, torch.inf).amin(dim=1, keepdim=True)
    width = (values[:, :1] - low).masked_fill(~real[:, :1], 0.0)
    unit = torch.where(width > 0, (values - low) / torch.where(width > 0, width, 1.0), 1.0)
    return items, unit.masked_fill(~real, -torch.inf)


def mmr(scores: Tensor, similarity: Tensor, k: int, trade_off: float = 0.5) -> Tensor:
    r"""Maximal marginal relevance (Carbonell and Goldstein 1998); taught in chapter 12.

    The next item has the largest :math:`\tau s_i - (1 - \tau) \max_{j \in L} w_{ij}` with the list :math:`L` so far.
    """
    lists = _Lists(scores, k, trade_off)
    similarity = _one_a_user(similarity, lists.scores)
    value, closest = lists.scores, torch.full_like(lists.scores, -torch.inf)
    for _ in range(k):
        closest = torch.maximum(closest, similarity[lists.users, lists.take(value)])
        value = lists.relevance - (1 - trade_off) * closest
    return torch.stack(lists.taken, dim=1)


def dpp(scores: Tensor, similarity: Tensor, k: int, trade_off: float = 0.5) -> Tensor:
    r"""Greedy list of a determinantal point process (Chen, Zhang and Zhou 2018, algorithm 1); taught in chapter 12.

    Seeks the list with the largest :math:`\tau \sum_{i \in L} s_i + (1 - \tau) \ln \det w_L`, with the similarities
    :math:`w_L` within the list, positive semidefinite, as cosines are. What adds nothing but rounding has volume 1e-10.
    """
    lists = _Lists(scores, k, trade_off)
    nothing, noise = 1e-10, _rounding(lists.scores, similarity)  # far above the rounding errors of float64
    flat, slack = max(nothing, 100 * noise), max(1e-6, 1e4 * noise)
    similarity = _one_a_user(similarity, lists.scores)
    adds = similarity.diagonal(dim1=1, dim2=2).clone()  # the volume that each candidate would add
    factor: list[Tensor] = []  # a column of a Cholesky factor for each item taken: no step needs a determinant
    for _ in range(k):
        volume = torch.where(adds > flat, adds, nothing)
        chosen = lists.take(lists.relevance + (1 - trade_off) * volume.log())
        column = similarity[lists.users, chosen]
        for earlier in factor:
            column = column - earlier.gather(1, chosen[:, None]) * earlier
        column = column / adds.gather(1, chosen[:, None]).clamp(min=flat).sqrt()
        factor.append(column)
        adds -= column.square()
        refuse(bool((adds[lists.free] < -slack).any()), "similarity", "a negative volume", "positive semidefinite")
    return torch.stack(lists.taken, dim=1)


def calibrated(scores: Tensor, kinds: Tensor, target: Tensor, k: int, trade_off: float = 0.5) -> Tensor:
    r"""Lists whose kinds have the shares of the user's history (Steck 2018, section 5); taught in chapter 12.

    The next item has the largest :math:`\tau \sum_{j \in L} s_j - (1 - \tau)\,\mathrm{KL}(p, q)` once it is in the list
    :math:`L`, as in :func:`course_utils.evaluation.calibration_kl`. p is the ``target``, ``(n_users, n_kinds)``, q has
    the shares in the list, ``kinds`` those in each candidate, ``(n_candidates, n_kinds)`` or one such table a user.
    Rows sum to 1, of ``kinds`` also to 0.
    """
    lists = _Lists(scores, k, trade_off)
    check_shares(kinds, "kinds", empty=True)
    check_shares(target, "target")
    n_users, dtype = len(lists.users), lists.scores.dtype
    table = (lists.scores.shape[1], target.shape[-1])
    if tuple(kinds.shape) not in (table, (n_users, *table)) or len(target) != n_users:
        got = f"shapes {tuple(kinds.shape)} and {tuple(target.shape)}"
        raise InputError("kinds, target", got=got, expected="users and candidates as scores, equal kinds")
    kinds, target = kinds.to(dtype).expand(n_users, *table), target.to(dtype)
    smoothing, empty = 0.01, torch.finfo(dtype).tiny  # the logarithm of a kind without any share is finite
    sums = torch.zeros_like(target)
    for size in range(1, k + 1):
        shares = (sums[:, None] + kinds) / size  # with each candidate: (n_users, n_candidates, n_kinds)
        # -KL(p, q) up to the entropy of p, which no list can change; a kind that nobody has is multiplied by 0
        smooth = (1 - smoothing) * shares + (smoothing * target + empty)[:, None]
        fit = (smooth.log() @ target[:, :, None])[..., 0]
        sums = sums + kinds[lists.users, lists.take(lists.relevance + (1 - trade_off) * fit)]
    return torch.stack(lists.taken, dim=1)


def spread(scores: Tensor, k: int, bonus: float) -> Tensor:
    r"""Lists that share out the exposure of items over all users, item codes ``(n_users, k)``; taught in chapter 12.

    One user after another gets the k items with the largest :math:`s_{ui} + \omega / (1 + h_i)`, ω the ``bonus`` of 0
    or more, :math:`h_i` the number of earlier users who got item i. Within a list the scores decide.
    """
    scores = check_scores(scores)
    check_range("0 or more", bonus=bonus)
    given, lists = torch.zeros(scores.shape[1], dtype=scores.dtype), []
    for row in scores:  # each list depends on those before it
        chosen = top_k((row + bonus / (1 + given))[None], k)[0]
        order = row[chosen].masked_fill(chosen < 0, -torch.inf).argsort(descending=True, stable=True)
        lists.append(chosen[order])
        given[chosen[chosen >= 0]] += 1
    return torch.stack(lists)


class _Lists:
    """What all re-rankers share: the checks, the candidates still free, and the lists as they grow."""

    def __init__(self, scores: Tensor, k: int, trade_off: float) -> None:
        self.scores, self.users = check_scores(scores), torch.arange(len(scores))
        check_counts(1, self.scores.shape[1], k=k)
        check_range("from 0 to 1", trade_off=trade_off)
        self.free = self.scores > -torch.inf
        self.relevance = trade_off * self.scores.masked_fill(~self.free, 0.0)
        self.taken: list[Tensor] = []

    def take(self, value: Tensor) -> Tensor:
        """The free candidate with the largest value, of equal ones the first: ``(n_users,)``, and in no list yet."""
        chosen = value.masked_fill(~self.free, -torch.inf).argmax(dim=1)
        self.taken.append(chosen.masked_fill(~self.free.any(dim=1), -1))
        self.free[self.users, chosen] = False
        return chosen


def _one_a_user(similarity: Tensor, scores: Tensor) -> Tensor:
    """The similarities as ``(n_users, n_candidates, n_candidates)``, a view where all users share one table."""
    n_users, n = scores.shape
    if tuple(similarity.shape) not in ((n, n), (n_users, n, n)):
        expected = f"shape ({n}, {n}) or ({n_users}, {n}, {n})"
        raise InputError("similarity", got=f"shape {tuple(similarity.shape)}", expected=expected)
    if not bool(similarity.sum().isfinite()):  # 20 times faster than asking each, and as sharp
        raise InputError("similarity", got="nan or infinite values", expected="numbers")
    return similarity.to(scores.dtype).expand(n_users, n, n)


def _rounding(*tensors: Tensor) -> float:
    """The relative rounding error of the coarsest of these tensors: 2e-16 in float64, 1e-7 in float32."""
    return max(torch.finfo(t.dtype).eps if t.is_floating_point() else 0.0 for t in tensors)
