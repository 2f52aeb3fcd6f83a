"""Many models on the same users: which differences are more than noise (floor 4); taught in chapter 17."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from course_utils.errors import InputError
from course_utils.evaluate import sign_flip_p


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
        samples: random sign flips, as in :func:`course_utils.evaluate.paired_test`, shared by all pairs.
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
