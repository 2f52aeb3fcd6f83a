"""Negatives for training: items that a user has not met; taught in chapters 6 and 11.

:func:`uniform` and :func:`popularity` draw items, :func:`in_batch` borrows them from the other rows of a batch; never
a training positive of the user, whatever its rating. :func:`hard` and :func:`semi_hard` choose among such candidates.
"""

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Generator, Tensor
from torch.nn.functional import pad

from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import InputError, check_counts, check_range, check_shape, refuse


def uniform(interactions: Interactions, users: Tensor, n: int, *, generator: Generator) -> Tensor:
    r"""Item codes ``(B, n)``, uniform over those that a user has not met, with replacement; chapters 6 and 11.

    As if drawing again on a collision (Rendle et al. 2009, section 5): with a user's items :math:`p_0 < p_1 < \dots`
    the unseen item after r unseen ones is r plus the number of j with :math:`p_j - j \le r`: by search or table.
    """
    return _draw(interactions, users, n, _index(interactions, None), generator)


def popularity(
    interactions: Interactions, users: Tensor, n: int, *, power: float = 0.75, generator: Generator
) -> Tensor:
    r"""Unseen items ``(B, n)`` drawn in proportion to :math:`n_i^{power}`, with replacement; taught in chapter 11.

    :math:`n_i` is the number of interactions of item i; the default is word2vec's (Mikolov et al. 2013, section 2.2).
    Each item is a stretch of a line, of a whole length, so that no rounding matters; a user's own items are cut out.
    """
    index = _index(interactions, power)
    return torch.searchsorted(index.ends, _draw(interactions, users, n, index, generator), right=True)


def log_popularity(interactions: Interactions, power: float = 0.75) -> Tensor:
    r"""Log of each item's share, :math:`\ln q_i = \ln (n_i^{power} / \sum_j n_j^{power})`, ``(n_items,)``; chapter 11.

    With a power of 1 it corrects :func:`in_batch` (Yi et al. 2019). ``-inf`` without interactions, unless power is 0.
    """
    return _shares(interactions, power).log()


def log_chance(interactions: Interactions, users: Tensor, items: Tensor, *, power: float = 0.75) -> Tensor:
    r"""Log of the chance that one draw of :func:`popularity` for a user gives an item, ``(B, n)``; chapter 11.

    Add :math:`\ln n` for n draws to get what ``losses.sampled_softmax_loss`` asks for. A power of 0 is :func:`uniform`.
    """
    users = check_codes(users, interactions.n_users, "users")
    items = check_codes(items.flatten(), interactions.n_items, "items").view(items.shape)
    index = _index(interactions, power)
    return index.lengths[items].double().log() - index.unseen[users].double().log()[:, None]


def in_batch(interactions: Interactions, users: Tensor, items: Tensor) -> Tensor:
    """True at (b, c) if ``items[c]`` is no training positive of ``users[b]``: bool ``(B, B)``; taught in chapter 11."""
    users = check_codes(users, interactions.n_users, "users")
    items = check_codes(items, interactions.n_items, "items")
    check_shape(len(users), items=items)
    return ~torch.from_numpy(_index(interactions, None).met[users.numpy()][:, items.numpy()].toarray())


def hard(scores: Tensor, n: int = 1, *, allowed: Tensor | None = None) -> Tensor:
    """Positions ``(B, n)`` of the candidates that the model scores highest, highest first; taught in chapter 11.

    ``scores`` are of unseen candidates or of a whole batch, ``(B, C)``; ``allowed``, bool ``(B, C)``, is such as
    :func:`in_batch` gives, all candidates when left out. Of equal scores the lower position comes first.
    """
    return _highest(scores, n, _allowed(scores, n, allowed))


def semi_hard(positive: Tensor, scores: Tensor, n: int = 1, *, allowed: Tensor | None = None) -> Tensor:
    r"""Positions of the highest candidates that score *below* the positive (FaceNet's rule); taught in chapter 11.

    Schroff et al. (2015), section 3.2, ask for :math:`s^+ - \gamma < s^- < s^+`. If any candidate meets this, the
    nearest one below the positive, ``(B,)``, does, whatever γ: so none is asked for. A row with fewer than n such
    candidates is filled up from above, the nearest first. The rest as in :func:`hard`.
    """
    allowed = _allowed(scores, n, allowed)
    check_shape(len(scores), positive=positive)
    refuse(not positive.isfinite().all(), "positive", "nan or inf", "finite scores")
    below = allowed & (scores < positive[:, None])
    order = _highest(scores, n, below)
    short = below.sum(dim=1) < n
    if short.any():  # rare, and it needs sorts
        kind = torch.where(below[short], 0, torch.where(allowed[short], 1, 2))
        nearest = (scores[short] - positive[short, None]).abs().sort(dim=1, stable=True).indices
        by_kind = kind.gather(1, nearest).sort(dim=1, stable=True).indices
        order[short] = nearest.gather(1, by_kind)[:, :n]
    return order


def mix(first: Tensor, second: Tensor, share: float, *, generator: Generator) -> Tensor:
    """Each entry from ``first`` with the chance ``share``, else from ``second``; taught in chapter 11."""
    check_shape(*first.shape, second=second)
    check_range("from 0 to 1", share=share)
    chance = torch.rand(first.shape, dtype=torch.float64, generator=generator, device=generator.device)
    return torch.where(chance < share, first, second)


class _Index(NamedTuple):
    """All training pairs, sorted by user and item, on a line on which each item has a length (1, or its weight)."""

    met: csr_array  # (n_users, n_items), True for a pair
    starts: Tensor  # (n_users + 1,), each user's first place among the pairs
    keys: Tensor  # (n_pairs,), user * total + length of the user's unseen items before this one
    passed: Tensor  # (n_pairs + 1,), length of all pairs before this one
    unseen: Tensor  # (n_users,), length that is left for a user
    lengths: Tensor  # (n_items,)
    ends: Tensor  # (n_items,), where each item's stretch ends
    rest: Tensor | None  # all unseen items, user by user: a look instead of a search, where they are few enough


_FEW = 2**23  # pairs of a user and an item, 32 MB
_INDEXES: WeakKeyDictionary[Interactions, dict[float | None, _Index]] = WeakKeyDictionary()


def _index(interactions: Interactions, power: float | None) -> _Index:
    """The index with lengths by popularity, or with length 1 for every item when the power is None."""
    memo = _INDEXES.setdefault(interactions, {})  # they never change: made once, kept as long as they
    if power not in memo:
        n_users, lengths = interactions.n_users, torch.ones(interactions.n_items, dtype=torch.long)
        if power is not None:
            bits = min(50, 62 - n_users.bit_length())  # user * total fits into 63 bits, a double holds 53
            share = _shares(interactions, power)
            lengths = (share * 2**bits).round().long().clamp(min=1) * (share > 0)
        ends = lengths.cumsum(0)
        met = interactions.csr(binary=True).astype(bool)  # sorted, each pair once
        starts, items = torch.from_numpy(met.indptr).long(), torch.from_numpy(met.indices).long()
        owners = torch.arange(n_users).repeat_interleave(starts.diff())
        passed = pad(lengths[items].cumsum(0), (1, 0))  # a 0 in front
        before = ends[items] - lengths[items]
        total = ends[-1]
        keys = owners * total + before - (passed[:-1] - passed[starts[owners]])
        unseen = total - (passed[starts[1:]] - passed[starts[:-1]])
        few = power is None and n_users * len(lengths) <= _FEW
        rest = torch.from_numpy(np.nonzero(~met.toarray())[1].astype(np.int32)) if few else None
        memo[power] = _Index(met, starts, keys, passed, unseen, lengths, ends, rest)
    return memo[power]


def _draw(interactions: Interactions, users: Tensor, n: int, index: _Index, generator: Generator) -> Tensor:
    """Points on the line, ``(B, n)``, never on a stretch of the user's own items."""
    check_counts(n=n)
    users = check_codes(users, interactions.n_users, "users")
    full = users[index.unseen[users] == 0]
    if len(full):
        got = f"user code {int(full[0])}, who has met every item that can be drawn"
        raise InputError("users", got=got, expected="an unseen item for each")
    share = torch.rand(len(users), n, dtype=torch.float64, generator=generator, device=generator.device)
    point = (share * index.unseen[users, None]).long()  # (B, n), on what is left of the line
    if index.rest is not None:
        return index.rest[(users * len(index.ends) - index.starts[users])[:, None] + point].long()
    place = torch.searchsorted(index.keys, users[:, None] * index.ends[-1] + point, right=True)
    return point + index.passed[place] - index.passed[index.starts[users], None]


def _shares(interactions: Interactions, power: float) -> Tensor:
    check_range("0 or more", power=power)
    counts = torch.bincount(interactions.items, minlength=interactions.n_items).double()
    refuse(power and not counts.any(), "interactions", "none", "at least one, to count from")
    return counts**power / (counts**power).sum()


def _allowed(scores: Tensor, n: int, allowed: Tensor | None) -> Tensor:
    """The mask of candidates, checked together with the rest of what mining is given."""
    check_shape("B", "C", scores=scores)
    refuse(not scores.isfinite().all(), "scores", "nan or inf", "finite numbers")
    allowed = torch.ones_like(scores, dtype=torch.bool) if allowed is None else allowed
    check_shape(*scores.shape, allowed=allowed)
    refuse(allowed.dtype != torch.bool, "allowed", allowed.dtype, "torch.bool, True for a candidate")
    check_counts(1, scores.shape[1], n=n)
    fewest = int(allowed.sum(dim=1).min()) if len(scores) else n
    refuse(n > fewest, "n", n, f"{fewest} at most, the candidates of the row that has fewest")
    return allowed


def _highest(scores: Tensor, n: int, allowed: Tensor) -> Tensor:
    """Positions of the n highest allowed scores; of equal scores the lower position first."""
    scores = scores.detach().masked_fill(~allowed, -torch.inf)
    if n == 1:  # many times faster than a sort
        return scores.argmax(dim=1, keepdim=True)
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :n]
