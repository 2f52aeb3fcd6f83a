"""Who gets what: gaps between groups of users with an interval, exposure of groups of items.

These measure finished predictions and lists; the terms with a gradient are in
:mod:`course_utils.learning.regularizers`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from course_utils.data.interactions import as_codes
from course_utils.errors import InputError, check_counts


class Gap(NamedTuple):
    """What :func:`group_gap` found.

    Attributes:
        first: the measure in group 0.
        second: the measure in group 1.
        difference: ``second - first``.
        low: lower end of the interval of the difference.
        high: upper end.
        draws: both measures in each resample, ``(samples, 2)``. Two models on the same rows with the same seed are
            resampled alike, so the quantiles of ``after.draws - before.draws`` are an interval for the change.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    draws: np.ndarray


def group_gap(
    values: torch.Tensor | np.ndarray,
    groups: torch.Tensor | np.ndarray,
    *,
    users: torch.Tensor | np.ndarray | None = None,
    root: bool = False,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> Gap:
    """The gap of a mean between two groups, with a bootstrap interval over users; taught in chapter 13.

    Users are resampled within their group, each with all of her rows (Efron 1979): the ratings of one person are
    no independent witnesses, and a heavy user of a small group makes the interval as wide as it ought to be.

    Args:
        values: one a row, ``(n,)``: NDCG of a user, predicted rating or squared error of a pair; nan is skipped.
        groups: group of each row, ``(n,)``, 0 or 1.
        users: whose row it is, ``(n,)``; each row is a user of its own when left out.
        root: take the square root of both means, for RMSE from squared errors.
        level: share of the resampled gaps inside the interval, above 0 and below 1.
        samples: number of resamples.
        seed: seed of the random numbers.

    Returns:
        Both means, their difference, its interval and the resamples, in units of the values (or of their root).

    Raises:
        InputError: lengths differ, a group is neither 0 nor 1, a group has no row, or ``level`` is out of range.
    """
    values, groups = np.asarray(values, float), np.asarray(groups)
    users = np.arange(len(values)) if users is None else np.asarray(users)
    if not values.shape == groups.shape == users.shape or values.ndim != 1:
        shapes = f"shapes {values.shape}, {groups.shape} and {users.shape}"
        raise InputError("values, groups, users", got=shapes, expected="one of each a row")
    if not np.isin(groups, (0, 1)).all():
        raise InputError("groups", got=f"{np.unique(groups)[:5].tolist()}", expected="two groups, 0 and 1")
    if not 0 < level < 1:
        raise InputError("level", got=level, expected="a share above 0 and below 1")
    check_counts(samples=samples)
    rng, means, draws = np.random.default_rng(seed), [], []
    for group in (0, 1):
        kept = (groups == group) & ~np.isnan(values)
        if not kept.any():
            raise InputError("groups", got=f"no row with a value in group {group}", expected="rows of both")
        _, place = np.unique(users[kept], return_inverse=True)
        total, rows = np.bincount(place, values[kept]), np.bincount(place)
        means.append(total.sum() / rows.sum())
        draws.append(_resampled_means(total, rows, samples, rng))
    if root:
        means, draws = np.sqrt(means), np.sqrt(draws)
    low, high = np.quantile(draws[1] - draws[0], [(1 - level) / 2, (1 + level) / 2])
    first, second = map(float, means)
    return Gap(first, second, second - first, float(low), float(high), np.stack(draws, axis=1))


def _resampled_means(
    total: np.ndarray, rows: np.ndarray, samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Means over rows when people are drawn with replacement, each with the sum and the number of her rows."""
    n = len(rows)
    step = max(1, 1_000_000 // n)  # resamples at a time, about 8 MB
    means = []
    for start in range(0, samples, step):
        picks = rng.integers(0, n, (min(step, samples - start), n))
        means.append(total[picks].sum(axis=1) / rows[picks].sum(axis=1))
    return np.concatenate(means)


def exposure(recommended: torch.Tensor, n_items: int) -> torch.Tensor:
    r"""Attention that each item gets, mean over lists; taught in chapter 13.

    Rank j gets :math:`1 / \log_2(1 + j)`, as in NDCG (Singh and Joachims 2018).

    Args:
        recommended: item codes, ``(n_lists, k)``, best first, -1 for an empty place.
        n_items: number of item codes.

    Returns:
        ``(n_items,)``, from 0 to 1 (first in every list).

    Raises:
        InputError: no list, or a code out of range.
    """
    recommended = as_codes(recommended, "recommended")
    if recommended.ndim != 2 or not recommended.numel():
        got = f"shape {tuple(recommended.shape)}"
        raise InputError("recommended", got=got, expected="(n_lists, k), not empty")
    if not (int(recommended.min()) >= -1 and int(recommended.max()) < n_items):
        got = f"codes {int(recommended.min())}..{int(recommended.max())}"
        raise InputError("recommended", got=got, expected=f"item codes below {n_items}, or -1")
    discount = 1 / torch.log2(torch.arange(recommended.shape[1]) + 2.0)
    real = recommended >= 0
    total = torch.bincount(recommended[real], discount.expand_as(recommended)[real], minlength=n_items)
    return total / len(recommended)


def group_exposure(recommended: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Mean exposure of the items of a group (Singh and Joachims 2018); taught in chapter 13.

    Args:
        recommended: item codes, ``(n_lists, k)``, best first, -1 for an empty place.
        groups: group of each item, ``(n_items,)``, whole numbers from 0 without a gap.

    Returns:
        ``(n_groups,)``, from 0 to 1.

    Raises:
        InputError: as in :func:`exposure`, or a group below the largest has no item.
    """
    return _item_means(exposure(recommended, len(groups)), groups)


def exposure_per_merit(recommended: torch.Tensor, groups: torch.Tensor, merit: torch.Tensor) -> torch.Tensor:
    """Exposure of a group over its merit (disparate treatment of Singh and Joachims 2018); taught in chapter 13.

    Equal values mean that attention is in proportion to merit. What merit is, is a choice: say which you made.

    Args:
        recommended: item codes, ``(n_lists, k)``, best first, -1 for an empty place.
        groups: group of each item, ``(n_items,)``, whole numbers from 0 without a gap.
        merit: of each item, ``(n_items,)``, 0 or more: its mean relevance, say.

    Returns:
        ``(n_groups,)``, 0 or more.

    Raises:
        InputError: as in :func:`group_exposure`, ``merit`` has another length, is negative or no number, or a group
            has no merit at all.
    """
    merit = torch.as_tensor(merit)
    if merit.shape != groups.shape or not bool((merit.isfinite() & (merit >= 0)).all()):
        got = f"shape {tuple(merit.shape)}, values from {float(merit.min()) if merit.numel() else 'nothing'}"
        raise InputError("merit", got=got, expected="a number from 0 for each item")
    deserved = _item_means(merit.to(torch.get_default_dtype()), groups)
    if bool((deserved == 0).any()):
        raise InputError("merit", got="a group without any", expected="some merit in each group")
    return group_exposure(recommended, groups) / deserved


def _item_means(values: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Mean of the items' values in each group."""
    if groups.is_floating_point() or groups.ndim != 1 or int(groups.min()) < 0:
        got = f"{groups.dtype} of shape {tuple(groups.shape)}"
        raise InputError("groups", got=got, expected="a whole number from 0 for each item")
    size = torch.bincount(groups)
    if bool((size == 0).any()):
        raise InputError("groups", got=f"no item in group {int(size.argmin())}", expected="items in each")
    return torch.bincount(groups, values) / size
