"""Which differences between models are more than noise: two models, and many; chapters 3 and 20."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from course_utils.errors import InputError, check_choice, check_counts, check_range, check_shape, refuse

Values = Sequence[float] | np.ndarray | pd.Series
MIDDLE = [(1 - 0.95) / 2, (1 + 0.95) / 2]  # the quantiles between which 95 % lie


def bootstrap_interval(values: Values, *, samples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Interval for the mean of one value a user, nan skipped: 95 % of resampled users' means (Efron 1979)."""
    kept = np.asarray(values, float)
    kept = kept[~np.isnan(kept)]
    refuse(len(kept) == 0, "values", "no numbers", "at least one")
    check_counts(samples=samples)
    draws = random_rows(samples, len(kept), len(kept), np.random.default_rng(seed))
    low, high = np.quantile(np.concatenate([kept[picks].mean(axis=1) for picks in draws]), MIDDLE).tolist()
    return low, high


def random_rows(samples: int, width: int, below: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Random whole numbers from 0, ``(samples, width)`` in all; each piece, ``(some, width)``, takes about 16 MB."""
    size = max(1, 2_000_000 // width)
    for start in range(0, samples, size):
        yield rng.integers(0, below, (min(size, samples - start), width))


class PairedTest(NamedTuple):
    """Mean of ``a - b`` over users, its 95 % interval, and the chance of as much if model names do not matter."""

    difference: float
    low: float
    high: float
    p_value: float


def paired_test(a: Values, b: Values, *, method: str = "permutation", samples: int = 9999, seed: int = 0) -> PairedTest:
    """Compare two models on the same users in the same order, one value each, nan where undefined; two-sided.

    ``"permutation"`` flips the signs of the differences at random, ``samples`` times; ``"t"`` is the paired t test.
    """
    check_choice(("permutation", "t"), method=method)
    if isinstance(a, pd.Series) and isinstance(b, pd.Series) and not a.index.equals(b.index):
        raise InputError("a, b", got="two Series with different indexes", expected="the same users in order")
    a, b = np.asarray(a, float), np.asarray(b, float)
    refuse(a.shape != b.shape or a.ndim != 1, "a, b", f"shapes {a.shape} and {b.shape}", "the same length")
    difference = (a - b)[~np.isnan(a - b)]
    low, high = bootstrap_interval(difference, seed=seed)
    if method == "permutation":
        p_value = _sign_flip_p(difference, samples, seed)
    else:
        p_value = stats.ttest_1samp(difference, 0).pvalue if difference.any() else 1.0
    return PairedTest(float(difference.mean()), low, high, float(p_value))


def _sign_flip_p(differences: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """P-values of the paired permutation test: how often random signs bring the mean as far from 0.

    ``differences`` is ``(n_users,)``, or ``(n_users, n)`` for n comparisons, which share their random signs. The data
    themselves count as one of the sign flips, so no value is below 1 / (samples + 1).
    """
    check_counts(samples=samples)
    rng = np.random.default_rng(seed)
    seen = np.abs(differences.sum(axis=0)) * (1 - 1e-12)  # equal sums in another order count as equal
    extreme = 1
    for heads in random_rows(samples, len(differences), 2, rng):
        signs = 2.0 * heads - 1
        extreme = extreme + (np.abs(signs @ differences) >= seen).sum(axis=0)
    return extreme / (samples + 1)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """P-values, ``(n,)``, corrected for their number by Holm's step-down procedure (1979); taught in chapter 20.

    The smallest of n is multiplied by n, the next by n - 1, and so on; none may fall below the one before it, none
    exceeds 1. To call all that stays below 0.05 real is wrong anywhere with a chance of 5 % at most.
    """
    p_values = np.asarray(p_values, float)
    check_shape("n", p_values=p_values)
    check_range("from 0 to 1", p_values=p_values)
    order = p_values.argsort(kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.maximum.accumulate(steps).clip(max=1)
    return corrected


def all_pairs(values: pd.DataFrame, *, samples: int = 9999, seed: int = 0) -> pd.DataFrame:
    """Compare each model with each other on the same users: a row a pair, ``a b difference p_value holm``; chapter 20.

    ``values`` has a row a user and a column a model, no nan. Of several splits, give the mean of a user over them.
    """
    if values.shape[1] < 2 or not values.columns.is_unique:
        raise InputError("values", got=f"columns {list(values.columns)}", expected="two models or more")
    if not len(values) or values.isna().any(axis=None):
        raise InputError("values", got=f"missing values, {len(values)} users", expected="a value of each")
    first, second = np.triu_indices(values.shape[1], 1)  # each pair once
    table = values.to_numpy(float)
    differences = table[:, first] - table[:, second]  # (n_users, n_pairs)
    found = pd.DataFrame({"a": values.columns[first], "b": values.columns[second]})
    found["difference"] = differences.mean(axis=0)
    found["p_value"] = _sign_flip_p(differences, samples, seed)
    return found.assign(holm=holm(found["p_value"]))


def ties(ranking: Sequence[str], noise: set[frozenset[str]]) -> list[list[str]]:
    """Runs of a ranking within which every difference is noise: the bars of a critical-difference diagram.

    The longest runs of two models or more; ``noise`` holds the pairs that cannot be told apart. A model can stand in
    two runs: a and b, b and c may be ties, a and c not.
    """
    runs: list[tuple[int, int]] = []
    for start in range(len(ranking)):
        end = start + 1
        while end < len(ranking) and all({ranking[end], x} in noise for x in ranking[start:end]):
            end += 1
        if end - start > 1 and (not runs or end > runs[-1][1]):
            runs.append((start, end))
    return [list(ranking[start:end]) for start, end in runs]
