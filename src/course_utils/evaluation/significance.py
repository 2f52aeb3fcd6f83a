"""Which differences between models are more than noise: two models, and many; chapters 3 and 17."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.errors import InputError, check_counts

# ---- two models ------------------------------------------------------------------------------------------------


def bootstrap_interval(
    values: Sequence[float] | np.ndarray | pd.Series,
    level: float = 0.95,
    *,
    samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval for the mean over users: quantiles of the means of resampled users (Efron 1979).

    Args:
        values: one value a user, as from :func:`measure_lists_per_user`; nan is skipped.
        level: share of the resampled means inside the interval, above 0 and below 1.
        samples: number of resamples.
        seed: seed of the random numbers.

    Returns:
        ``(low, high)``, in units of the values.

    Raises:
        InputError: no values, or ``level`` is out of range.
    """
    kept = np.asarray(values, float)
    kept = kept[~np.isnan(kept)]
    if len(kept) == 0:
        raise InputError("values", got="no numbers", expected="at least one")
    if not 0 < level < 1:
        raise InputError("level", got=level, expected="a share above 0 and below 1")
    check_counts(samples=samples)
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [kept[rng.integers(0, len(kept), (n, len(kept)))].mean(axis=1) for n in _chunks(samples, len(kept))]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class PairedTest(NamedTuple):
    """What :func:`paired_test` found.

    Attributes:
        difference: mean of ``a - b`` over users.
        low: lower end of its 95 % bootstrap interval.
        high: upper end.
        p_value: chance of a difference at least this large when model names do not matter.
    """

    difference: float
    low: float
    high: float
    p_value: float


def paired_test(
    a: Sequence[float] | np.ndarray | pd.Series,
    b: Sequence[float] | np.ndarray | pd.Series,
    *,
    method: str = "permutation",
    samples: int = 9999,
    seed: int = 0,
) -> PairedTest:
    """Compare two models on the same users; two-sided.

    Args:
        a: one value a user, nan where undefined.
        b: the other model's values of the same users in the same order. Two Series must have the same index.
        method: ``"permutation"`` flips the signs of the differences at random; ``"wilcoxon"`` is the signed-rank
            test and ``"t"`` the paired t test, both of ``scipy.stats``.
        samples: number of random sign flips; the p value is never below 1 / (samples + 1).
        seed: seed of the random numbers.

    Raises:
        InputError: the lengths or indexes differ, no pair is defined, or the method is unknown.
    """
    if isinstance(a, pd.Series) and isinstance(b, pd.Series) and not a.index.equals(b.index):
        raise InputError(
            "a, b", got="two Series with different indexes", expected="the same users in the same order"
        )
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError("a, b", got=f"shapes {a.shape} and {b.shape}", expected="the same length")
    difference = (a - b)[~np.isnan(a - b)]
    low, high = bootstrap_interval(difference, seed=seed)
    if method == "permutation":
        p_value = sign_flip_p(difference, samples, seed)
    elif method == "wilcoxon":
        p_value = stats.wilcoxon(difference).pvalue if difference.any() else 1.0
    elif method == "t":
        p_value = stats.ttest_1samp(difference, 0).pvalue if difference.any() else 1.0
    else:
        raise InputError("method", got=repr(method), expected="one of permutation, wilcoxon, t")
    return PairedTest(float(difference.mean()), low, high, float(p_value))


def sign_flip_p(differences: np.ndarray, samples: int = 9999, seed: int = 0) -> np.ndarray:
    """P-values of the paired permutation test: how often random signs bring the mean as far from 0.

    The data themselves count as one of the sign flips, so no value is below 1 / (samples + 1).

    Args:
        differences: one a user, ``(n_users,)``, or one column a comparison, ``(n_users, n)``; the columns share
            their random signs.
        samples: number of random sign flips.
        seed: seed of the random numbers.

    Returns:
        One p-value, or ``(n,)``.
    """
    check_counts(samples=samples)
    rng = np.random.default_rng(seed)
    seen = np.abs(differences.sum(axis=0)) * (1 - 1e-12)  # equal sums in another order count as equal
    extreme = sum(
        (np.abs(rng.choice([-1.0, 1.0], (n, len(differences))) @ differences) >= seen).sum(axis=0)
        for n in _chunks(samples, len(differences))
    )
    return (extreme + 1) / (samples + 1)


def _chunks(samples: int, width: int) -> Iterator[int]:
    """Sizes of the pieces in which ``samples`` rows of this width take about 16 MB at a time."""
    size = max(1, 2_000_000 // width)
    for start in range(0, samples, size):
        yield min(size, samples - start)


# ---- many models -----------------------------------------------------------------------------------------------


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """P-values corrected for their number by Holm's step-down procedure (Holm 1979); taught in chapter 17.

    The smallest of n is multiplied by n, the next by n - 1, and so on; none may fall below the one before it, none
    exceeds 1. Calling "more than noise" what stays below 0.05 then claims anything wrongly, among all n, with
    a chance of 5 % at most, however the tests depend on each other.

    Args:
        p_values: ``(n,)``, each in 0..1.

    Returns:
        Corrected values in the order given, ``(n,)``.

    Raises:
        InputError: another shape, or a value that is no probability.
    """
    p_values = np.asarray(p_values, float)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise InputError("p_values", got=p_values, expected="probabilities, shape (n,)")
    order = p_values.argsort(kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(steps).clip(max=1)
    return corrected


def all_pairs(values: pd.DataFrame, *, samples: int = 9999, seed: int = 0) -> pd.DataFrame:
    """Compare each model with each other on the same users; taught in chapter 17.

    Args:
        values: one row a user, one column a model, ``(n_users, n_models)``, no nan. For several splits, the mean
            of a user over splits: the splits of one user are no independent witnesses.
        samples: random sign flips, as in :func:`course_utils.evaluation.paired_test`, shared by all pairs.
        seed: seed of the random numbers.

    Returns:
        One row a pair, models in column order: ``a b difference p_value holm``, the difference a - b.

    Raises:
        InputError: fewer than two models, a name twice, or a missing value.
    """
    if values.shape[1] < 2 or not values.columns.is_unique:
        raise InputError(
            "values", got=f"columns {list(values.columns)}", expected="two models or more, each once"
        )
    if not len(values) or values.isna().any(axis=None):
        raise InputError(
            "values", got=f"{len(values)} users, values missing", expected="a value of each user"
        )
    pairs = list(combinations(range(values.shape[1]), 2))
    first, second = map(list, zip(*pairs, strict=True))
    table = values.to_numpy(float)
    differences = table[:, first] - table[:, second]  # (n_users, n_pairs)
    found = pd.DataFrame({"a": values.columns[first], "b": values.columns[second]})
    found["difference"] = differences.mean(axis=0)
    found["p_value"] = sign_flip_p(differences, samples, seed)
    return found.assign(holm=holm(found["p_value"]))


def ties(ranking: Sequence[str], noise: set[frozenset[str]]) -> list[list[str]]:
    """Runs of a ranking within which every difference is noise: the bars of a critical-difference diagram.

    Args:
        ranking: the models, best first.
        noise: pairs of names that cannot be told apart.

    Returns:
        The longest runs of two models or more, best first; no run lies inside another. A model can stand in two
        of them, because "cannot be told apart" does not carry over: a and b, b and c may be ties, a and c not.
    """
    runs: list[tuple[int, int]] = []
    for start in range(len(ranking)):
        end = start + 1
        while end < len(ranking) and all(
            frozenset((ranking[end], other)) in noise for other in ranking[start:end]
        ):
            end += 1
        if end - start > 1 and (not runs or end > runs[-1][1]):
            runs.append((start, end))
    return [list(ranking[start:end]) for start, end in runs]
