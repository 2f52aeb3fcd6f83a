"""Many comparisons at once: Holm's correction against hand values, pairs against the test of one pair."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.errors import InputError
from course_utils.evaluation import significance


def test_holm_by_hand() -> None:
    # sorted 0.01 0.02 0.03 0.04 times 4 3 2 1: 0.04 0.06 0.06 0.04, and none below the one before
    assert np.allclose(significance.holm([0.03, 0.01, 0.04, 0.02]), [0.06, 0.04, 0.06, 0.06])
    assert np.allclose(significance.holm([0.6, 0.7]), [1, 1])
    assert significance.holm([0.2]) == [0.2]


def reject(p_values: list[float], level: float) -> set[int]:
    """Holm's procedure as he tells it: go up from the smallest, stop at the first that is too large."""
    rejected = set()
    for step, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] * (len(p_values) - step) > level:
            break
        rejected.add(place)
    return rejected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.sampled_from([0.01, 0.05, 0.3]))
def test_holm_rejects_what_the_procedure_rejects(p_values: list[float], level: float) -> None:
    corrected = significance.holm(p_values)
    assert set(np.flatnonzero(corrected <= level)) == reject(p_values, level)
    assert (corrected >= p_values).all()
    assert (corrected <= np.minimum(1, np.array(p_values) * len(p_values)) + 1e-15).all()  # Bonferroni


def test_holm_refuses_what_is_no_probability() -> None:
    for wrong in ([0.5, 1.5], [-0.1], [np.nan], [[0.1]]):
        with pytest.raises(InputError):
            significance.holm(wrong)


def test_all_pairs_is_the_paired_test_of_each_pair() -> None:
    rng = np.random.default_rng(0)
    values = pd.DataFrame(rng.random((40, 3)) + np.array([0, 0.05, 0.4]), columns=list("xyz"))
    found = significance.all_pairs(values, samples=999)
    assert list(zip(found.a, found.b, strict=True)) == list(combinations("xyz", 2))
    for row in found.itertuples():
        alone = significance.paired_test(values[row.a], values[row.b], samples=999)
        assert row.p_value == alone.p_value
        assert np.isclose(row.difference, alone.difference)
    assert np.allclose(found.holm, significance.holm(found.p_value))
    assert found.holm[1] < 0.05 < found.holm[0]


def test_models_that_are_equal_are_noise() -> None:
    values = pd.DataFrame({"x": [0.1, 0.2], "y": [0.1, 0.2]})
    assert significance.all_pairs(values, samples=99).loc[0, "holm"] == 1


def test_all_pairs_refuses() -> None:
    good = pd.DataFrame({"x": [0.1, 0.2], "y": [0.3, 0.1]})
    for wrong in (good[["x"]], good[["x", "x"]], good.assign(y=[np.nan, 1]), good.iloc[:0]):
        with pytest.raises(InputError):
            significance.all_pairs(wrong)


def test_ties_by_hand() -> None:
    noise = {frozenset(pair) for pair in ("ab", "bc", "de", "ce", "cd")}
    assert significance.ties("abcde", noise) == [["a", "b"], ["b", "c"], ["c", "d", "e"]]
    assert significance.ties("abcde", set()) == []
    assert significance.ties("abc", {frozenset(pair) for pair in ("ab", "bc", "ac")}) == [["a", "b", "c"]]
    assert significance.ties("abc", {frozenset("ac")}) == []  # not next to each other


@given(st.integers(0, 5), st.data())
def test_ties_are_runs_of_noise_and_none_is_missing(n: int, data: st.DataObject) -> None:
    ranking = "abcde"[:n]
    pairs = [frozenset(pair) for pair in combinations(ranking, 2)]
    noise = set(data.draw(st.lists(st.sampled_from(pairs)))) if pairs else set()
    runs = {"".join(run) for run in significance.ties(ranking, noise)}
    every = {ranking[i:j] for i in range(n) for j in range(i + 2, n + 1)}
    good = {run for run in every if all(frozenset(pair) in noise for pair in combinations(run, 2))}
    assert runs == {run for run in good if not any(run != other and run in other for other in good)}
