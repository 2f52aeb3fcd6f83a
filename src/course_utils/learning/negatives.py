"""Negatives for training: items that a user has not met; taught in chapters 6 and 11.

:func:`uniform` and :func:`popularity` draw items, :func:`in_batch` borrows them from the other rows of a batch.
:func:`hard` and :func:`semi_hard` choose among such candidates by the model's current scores, :func:`mix` joins two
choices. The first three never give a training positive of the user; what is chosen among candidates is as free of them
as the candidates are.
"""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch

from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import InputError, check_counts


def uniform(
    interactions: Interactions, users: torch.Tensor, n: int, *, generator: torch.Generator
) -> torch.Tensor:
    r"""Items drawn uniformly from those that a user has no interaction with; taught in chapters 6 and 11.

    The distribution is that of drawing again on a collision (Rendle et al. 2009, section 5), without the
    loop. Let :math:`p_0 < p_1 < \dots` be a user's items. The unseen item with :math:`r` unseen ones before it is
    :math:`r` plus the number of :math:`j` with :math:`p_j - j \le r`. One binary search finds that number.

    Args:
        interactions: the training part; an item is positive whatever its rating.
        users: user codes, ``(B,)``; the same user may stand there often.
        n: items for each entry of ``users``, at least 1.
        generator: source of the random numbers.

    Returns:
        Item codes, ``(B, n)``, drawn with replacement; never a training positive of that user.

    Raises:
        InputError: ``n`` is below 1, a user code is out of range, or a user has met every item.
    """
    return _draw(interactions, users, n, _index(interactions, None), generator)


def popularity(
    interactions: Interactions,
    users: torch.Tensor,
    n: int,
    *,
    power: float = 0.75,
    generator: torch.Generator,
) -> torch.Tensor:
    r"""Unseen items drawn in proportion to :math:`n_i^{power}`; taught in chapter 11.

    :math:`n_i` is the number of interactions of item i. The weights are word2vec's for words (Mikolov et al. 2013,
    section 2.2). It is :func:`uniform` with steps of different length: each item is a stretch of a line, the user's
    own stretches are cut out, a point is drawn on what is left. The lengths are whole numbers, so that no rounding
    ever lands on a stretch that was cut out.

    Args:
        interactions: the training part; an item is positive whatever its rating.
        users: user codes, ``(B,)``; the same user may stand there often.
        n: items for each entry of ``users``, at least 1.
        power: 1 follows the counts, 0 gives every unseen item the same chance, 0 or more.
        generator: source of the random numbers.

    Returns:
        Item codes, ``(B, n)``, drawn with replacement; never a training positive of that user, and with a power
        above 0 never an item without interactions.

    Raises:
        InputError: ``n`` is below 1, ``power`` is negative, a user code is out of range, or a user has met every
            item that can be drawn.
    """
    index = _index(interactions, power)
    return torch.searchsorted(index.ends, _draw(interactions, users, n, index, generator), right=True)


def log_popularity(interactions: Interactions, power: float = 0.75) -> torch.Tensor:
    r"""Log of each item's share, :math:`\ln q_i = \ln (n_i^{power} / \sum_j n_j^{power})`; taught in chapter 11.

    With a power of 1 it is the chance that a row of a batch has the item as its positive: what corrects
    :func:`in_batch` (Yi et al. 2019). For items drawn for a user see :func:`log_chance`.

    Args:
        interactions: the training part.
        power: as in :func:`popularity`.

    Returns:
        Natural logarithms, ``(n_items,)``, 0 at most; ``-inf`` for an item without interactions, unless the power
        is 0.

    Raises:
        InputError: ``power`` is negative, or there is no interaction.
    """
    return _shares(interactions, power).log()


def log_chance(
    interactions: Interactions, users: torch.Tensor, items: torch.Tensor, *, power: float = 0.75
) -> torch.Tensor:
    r"""Log of the chance that one draw of :func:`popularity` for a user gives an item; taught in chapter 11.

    The share of the item over the shares of all items that are unseen by the user. Add :math:`\ln n` for n draws to
    get what ``losses.sampled_softmax_loss`` asks for.

    Args:
        interactions: the training part.
        users: user codes, ``(B,)``.
        items: item codes, ``(B, n)``, as drawn: of an item that the user has met it is the value before that.
        power: as in :func:`popularity`; 0 for :func:`uniform`.

    Returns:
        Natural logarithms, ``(B, n)``.

    Raises:
        InputError: ``power`` is negative, or a code is out of range.
    """
    users = check_codes(users, interactions.n_users, "users")
    items = check_codes(items, interactions.n_items, "items")
    index = _index(interactions, power)
    return index.lengths[items].double().log() - index.unseen[users].double().log()[:, None]


def in_batch(interactions: Interactions, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Which positives of a batch may serve the other rows as negatives; taught in chapter 11.

    The scores of all B items for all B users are one product of two matrices, so these negatives are almost free.
    An item stands in the batch in proportion to its interactions: correct with ``log_popularity(interactions, 1)``.

    Args:
        interactions: the training part; an item is positive whatever its rating.
        users: user codes of the batch, ``(B,)``.
        items: their positives, ``(B,)``.

    Returns:
        Bool ``(B, B)``: entry (b, c) is True where ``items[c]`` is no training positive of ``users[b]``, so the
        diagonal is False as long as the pairs are interactions. A row without any True has no negative here.

    Raises:
        InputError: the lengths differ, or a code is out of range.
    """
    if len(users) != len(items):
        raise InputError(
            "items", got=f"{len(items)} items", expected=f"one for each of the {len(users)} users"
        )
    users = check_codes(users, interactions.n_users, "users")
    items = check_codes(items, interactions.n_items, "items")
    index = _index(interactions, None)
    columns, column_of = items.unique(return_inverse=True)
    column = torch.full((interactions.n_items,), len(columns))  # items outside the batch share a spare column
    column[columns] = torch.arange(len(columns))
    counts = index.starts[users + 1] - index.starts[users]
    row = torch.arange(len(users)).repeat_interleave(counts)
    place = torch.arange(len(row)) - (counts.cumsum(0) - counts)[row] + index.starts[users][row]
    free = torch.ones(len(users), len(columns) + 1, dtype=torch.bool)
    free[row, column[index.items[place]]] = False  # the batch users' positives: far fewer than B x B
    return free[:, column_of]


def hard(scores: torch.Tensor, n: int = 1, *, allowed: torch.Tensor | None = None) -> torch.Tensor:
    """Positions of the candidates that the model scores highest; taught in chapter 11.

    Among all unseen items these are often not negatives at all, but items that the user would like (chapter 11).

    Args:
        scores: of unseen candidates, or of a whole batch, ``(B, C)``.
        n: how many for each row, in 1 .. C.
        allowed: bool ``(B, C)``, such as :func:`in_batch` gives; all candidates when left out.

    Returns:
        Positions in 0 .. C - 1, ``(B, n)``, highest score first; of equal scores the lower position first.

    Raises:
        InputError: a shape or ``n`` does not fit, a score is nan or infinite, or a row has fewer than n allowed
            candidates.
    """
    return _highest(scores, n, _allowed(scores, n, allowed))


def semi_hard(
    positive: torch.Tensor, scores: torch.Tensor, n: int = 1, *, allowed: torch.Tensor | None = None
) -> torch.Tensor:
    r"""Positions of the highest candidates that score *below* the positive (FaceNet's rule); taught in chapter 11.

    Schroff et al. (2015), section 3.2, ask for :math:`s^+ - \gamma < s^- < s^+`, with a margin :math:`\gamma`. If
    any candidate meets this, the nearest one below the positive does, whatever the margin: so none is asked for.
    A row with fewer than n candidates below its positive is filled up from above, the nearest first.

    Args:
        positive: score of each row's positive, ``(B,)``.
        scores: of unseen candidates, or of a whole batch, ``(B, C)``.
        n: how many for each row, in 1 .. C.
        allowed: bool ``(B, C)``, such as :func:`in_batch` gives; all candidates when left out.

    Returns:
        Positions in 0 .. C - 1, ``(B, n)``: below the positive from high to low, then the others from low to high.

    Raises:
        InputError: as in :func:`hard`, or ``positive`` has another length than ``scores`` or is nan
            or infinite.
    """
    if positive.shape != scores.shape[:1] or not positive.isfinite().all():
        got = f"shape {tuple(positive.shape)}" if positive.shape != scores.shape[:1] else "nan or inf"
        raise InputError("positive", got=got, expected=f"{len(scores)} finite scores, one for each row")
    allowed = _allowed(scores, n, allowed)
    below = allowed & (scores < positive[:, None])
    order = _highest(scores, n, below)
    short = below.sum(dim=1) < n
    if short.any():  # rare, and it needs sorts
        kind = torch.where(below[short], 0, torch.where(allowed[short], 1, 2))
        nearest = (scores[short] - positive[short, None]).abs().sort(dim=1, stable=True).indices
        by_kind = kind.gather(1, nearest).sort(dim=1, stable=True).indices
        order[short] = nearest.gather(1, by_kind)[:, :n]
    return order


def mix(
    first: torch.Tensor, second: torch.Tensor, share: float, *, generator: torch.Generator
) -> torch.Tensor:
    """Negatives of two kinds: each entry from ``first`` with this chance, else from ``second``; chapter 11.

    Args:
        first: item codes, such as mined ones, any shape.
        second: item codes of the same shape, such as uniform ones.
        share: chance of an entry to come from ``first``, in 0..1.
        generator: source of the random numbers.

    Returns:
        Item codes of that shape.

    Raises:
        InputError: the shapes differ, or the share is out of range.
    """
    if first.shape != second.shape:
        got = f"shape {tuple(second.shape)}"
        raise InputError("second", got=got, expected=f"shape {tuple(first.shape)}, as first")
    if not 0 <= share <= 1:
        raise InputError("share", got=share, expected="a number in 0..1")
    chance = torch.rand(first.shape, dtype=torch.float64, generator=generator, device=generator.device)
    return torch.where(chance < share, first, second)


class _Index(NamedTuple):
    """All training pairs, sorted by user and item, on a line on which each item has a length (1, or its weight)."""

    items: torch.Tensor  # (n_pairs,)
    starts: torch.Tensor  # (n_users + 1,), each user's first place among the pairs
    keys: torch.Tensor  # (n_pairs,), user * total + length of the user's unseen items before this one
    passed: torch.Tensor  # (n_pairs + 1,), length of all pairs before this one
    unseen: torch.Tensor  # (n_users,), length that is left for a user
    lengths: torch.Tensor  # (n_items,)
    ends: torch.Tensor  # (n_items,), where each item's stretch ends


_INDEXES: WeakKeyDictionary[Interactions, dict[float | None, _Index]] = WeakKeyDictionary()


def _index(interactions: Interactions, power: float | None) -> _Index:
    """The index with lengths by popularity, or with length 1 for every item when the power is None."""
    memo = _INDEXES.setdefault(interactions, {})  # they never change: made once, kept as long as they
    if power not in memo:
        n_users, n_items = interactions.n_users, interactions.n_items
        if power is None:
            lengths = torch.ones(n_items, dtype=torch.long)
        else:
            bits = min(50, 62 - n_users.bit_length())  # user * total fits into 63 bits, a double holds 53
            share = _shares(interactions, power)
            lengths = (share * 2**bits).round().long().clamp(min=1) * (share > 0)
        ends = lengths.cumsum(0)
        pairs = (interactions.users * n_items + interactions.items).unique()  # sorted, each pair once
        owners, items = pairs // n_items, pairs % n_items
        starts = torch.zeros(n_users + 1, dtype=torch.long)
        starts[1:] = torch.bincount(owners, minlength=n_users).cumsum(0)
        passed = torch.zeros(len(pairs) + 1, dtype=torch.long)
        passed[1:] = lengths[items].cumsum(0)
        before = ends[items] - lengths[items]
        total = ends[-1]
        keys = owners * total + before - (passed[:-1] - passed[starts[owners]])
        unseen = total - (passed[starts[1:]] - passed[starts[:-1]])
        memo[power] = _Index(items, starts, keys, passed, unseen, lengths, ends)
    return memo[power]


def _draw(
    interactions: Interactions, users: torch.Tensor, n: int, index: _Index, generator: torch.Generator
) -> torch.Tensor:
    """Points on the line, ``(B, n)``, never on a stretch of the user's own items."""
    check_counts(n=n)
    users = check_codes(users, interactions.n_users, "users")
    if (index.unseen[users] == 0).any():
        full = int(users[index.unseen[users] == 0][0])
        got = f"user code {full}, who has met every item that can be drawn"
        raise InputError("users", got=got, expected="an unseen item for each")
    share = torch.rand(len(users), n, dtype=torch.float64, generator=generator, device=generator.device)
    point = (share * index.unseen[users, None]).long()  # (B, n), on what is left of the line
    place = torch.searchsorted(index.keys, users[:, None] * index.ends[-1] + point, right=True)
    return point + index.passed[place] - index.passed[index.starts[users], None]


def _shares(interactions: Interactions, power: float) -> torch.Tensor:
    """The shares ``n_i^power / sum``, ``(n_items,)``."""
    if not power >= 0:
        raise InputError("power", got=power, expected="0 or more")
    counts = torch.bincount(interactions.items, minlength=interactions.n_items).double()
    if power and not counts.any():
        raise InputError("interactions", got="none", expected="at least one, to count from")
    return counts**power / (counts**power).sum()


def _allowed(scores: torch.Tensor, n: int, allowed: torch.Tensor | None) -> torch.Tensor:
    """The mask of candidates, checked together with the rest of what mining is given."""
    if scores.ndim != 2 or not scores.isfinite().all():
        got = f"shape {tuple(scores.shape)}" if scores.ndim != 2 else "nan or inf"
        raise InputError("scores", got=got, expected="finite numbers, (rows, candidates)")
    if allowed is None:
        allowed = torch.ones_like(scores, dtype=torch.bool)
    if allowed.shape != scores.shape or allowed.dtype != torch.bool:
        got = f"{allowed.dtype} {tuple(allowed.shape)}"
        raise InputError("allowed", got=got, expected=f"bool {tuple(scores.shape)}, as the scores")
    fewest = int(allowed.sum(dim=1).min()) if len(scores) else n
    if not 1 <= n <= scores.shape[1] or fewest < n:
        raise InputError("n", got=n, expected=f"1..{fewest}, the candidates of the row that has fewest")
    return allowed


def _highest(scores: torch.Tensor, n: int, allowed: torch.Tensor) -> torch.Tensor:
    """Positions of the n highest allowed scores; of equal scores the lower position first."""
    scores = scores.detach().masked_fill(~allowed, -torch.inf)
    if n == 1:  # many times faster than a sort
        return scores.argmax(dim=1, keepdim=True)
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :n]
