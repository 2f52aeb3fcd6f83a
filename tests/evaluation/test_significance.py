"""Two models and many: intervals and tests against scipy, Holm's correction by hand, ties as runs of noise."""

import math
from itertools import combinations, takewhile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from shared import refusals

from course_utils.evaluation.significance import all_pairs, bootstrap_interval, holm, paired_test, ties


def test_bootstrap_interval_agrees_with_scipy_and_covers_the_mean():
    values = np.random.default_rng(1).exponential(size=200)
    theirs = stats.bootstrap((values,), np.mean, confidence_level=0.95, method="percentile")
    found = bootstrap_interval([*values, math.nan])
    assert found == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)
    assert bootstrap_interval([*values]) == found
    assert bootstrap_interval([2.0, 2.0]) == (2, 2)
    rng = np.random.default_rng(0)
    intervals = [bootstrap_interval(rng.normal(size=60), samples=500) for _ in range(200)]
    assert 0.9 <= np.mean([low <= 0 <= high for low, high in intervals]) <= 0.99
    low, high = bootstrap_interval(rng.normal(size=300_000), samples=30)  # more than one piece
    assert -0.01 < low < high < 0.01


def test_paired_test_agrees_with_scipy_and_with_the_exact_value():
    rng = np.random.default_rng(2)
    a = rng.normal(size=80)
    b = a + rng.normal(0.15, 0.6, size=80)
    flips, t = (paired_test([*a, math.nan], [*b, 1.0], method=method) for method in ("permutation", "t"))
    assert t.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert flips.p_value == pytest.approx(t.p_value, abs=0.015)
    assert flips.difference == pytest.approx((a - b).mean())
    assert flips.low < (a - b).mean() < flips.high
    # All four differences are 1: of 16 sign patterns, 2 reach a mean of 1 or -1.
    assert paired_test([1, 1, 1, 1], [0, 0, 0, 0]).p_value == pytest.approx(2 / 16, abs=0.015)
    equal = pd.DataFrame({"x": [0.1, 0.2], "y": [0.1, 0.2]})
    assert [paired_test(equal.x, equal.y, method=method).p_value for method in ("permutation", "t")] == [1, 1]
    assert all_pairs(equal, samples=99).loc[0, "holm"] == 1


def test_holm_by_hand():
    # sorted 0.01 0.02 0.03 0.04 times 4 3 2 1: 0.04 0.06 0.06 0.04, and none below the one before
    assert np.allclose(holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.sampled_from([0.01, 0.05, 0.3]))
def test_holm_rejects_what_the_procedure_rejects(p_values, level):
    """As he tells it: go up from the smallest, stop at the first that is too large."""
    n, corrected = len(p_values), holm(p_values)
    up = sorted(range(n), key=p_values.__getitem__)
    rejected = takewhile(lambda step: p_values[up[step]] * (n - step) <= level, range(n))
    assert set(np.flatnonzero(corrected <= level)) == {up[step] for step in rejected}
    assert (corrected >= p_values).all()
    assert (corrected <= np.minimum(1, np.array(p_values) * n) + 1e-15).all()  # Bonferroni


def test_all_pairs_is_the_paired_test_of_each_pair():
    values = pd.DataFrame(np.random.default_rng(0).random((40, 3)) + np.array([0, 0.05, 0.4]), columns=list("xyz"))
    found = all_pairs(values, samples=999)
    assert list(zip(found.a, found.b, strict=True)) == list(combinations("xyz", 2))
    for row in found.itertuples():
        alone = paired_test(values[row.a], values[row.b], samples=999)
        assert row.p_value == alone.p_value
        assert np.isclose(row.difference, alone.difference)
    assert np.allclose(found.holm, holm(found.p_value))
    assert found.holm[1] < 0.05 < found.holm[0]


GOOD = pd.DataFrame({"x": [0.1, 0.2], "y": [0.3, 0.1]})
BAD = [
    (bootstrap_interval, "values: got no numbers", [([math.nan],)]),
    (paired_test, "a, b", [([1.0], [1.0, 2.0]), (pd.Series([1.0], [1]), pd.Series([1.0], [2]))]),
    (lambda method: paired_test([1.0, 2.0], [1.0, 1.0], method=method), "method", [("sign",)]),
    (holm, "p_values", [([0.5, 1.5],), ([-0.1],), ([np.nan],), ([[0.1]],)]),
    (all_pairs, "values", [(GOOD[["x"]],), (GOOD[["x", "x"]],), (GOOD.assign(y=[np.nan, 1]),), (GOOD.iloc[:0],)]),
]
test_refusals = refusals(*((said, call, *given) for call, said, calls in BAD for given in calls))


@given(st.integers(0, 5), st.data())
def test_ties_are_runs_of_noise_and_none_is_missing(n, data):
    ranking = "abcde"[:n]
    pairs = [frozenset(pair) for pair in combinations(ranking, 2)]
    noise = set(data.draw(st.lists(st.sampled_from(pairs)))) if pairs else set()
    runs = {"".join(run) for run in ties(ranking, noise)}
    every = {ranking[i:j] for i in range(n) for j in range(i + 2, n + 1)}
    good = {run for run in every if all(frozenset(pair) in noise for pair in combinations(run, 2))}
    assert runs == {run for run in good if not any(run != other and run in other for other in good)}
