"""Value iteration against a linear solve and by hand, and the policy inside the loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course_utils.errors import InputError
from course_utils.simulation import policies
from course_utils.simulation.feedback_loop import FeedbackLoop

SHAPE = (policies.STATES, len(policies.OFFSETS))
SMALL = {"n_users": 60, "n_items": 120, "rounds": 12}


def counts(seed: int = 0) -> policies.Counts:
    rng = np.random.default_rng(seed)
    moves = rng.integers(1, 9, (*SHAPE, policies.STATES)).astype(float)
    tried = moves.sum(axis=2)
    clicks = np.floor(tried * rng.random(SHAPE))
    return policies.Counts(moves, clicks, np.floor(clicks * rng.random(SHAPE)))


def test_by_hand() -> None:
    """Mean reward 1, discount one half, with equal chance on to a state worth 4 and one worth 2: 2.5."""
    moves, clicks = np.zeros((*SHAPE, policies.STATES)), np.zeros(SHAPE)
    moves[0, 0, [1, 2]], clicks[0, 0] = 1, 2
    moves[1, 0, 1], clicks[1, 0] = 1, 2  # stays, 2 a round: worth 4
    moves[2, 0, 2], clicks[2, 0] = 1, 1  # stays, 1 a round: worth 2
    found = policies.plan(policies.Counts(moves, clicks, np.zeros(SHAPE)), 0.5)
    assert found[:3, 0] == pytest.approx([2.5, 4, 2])


@pytest.mark.parametrize("reward", ["clicks", "satisfied"])
def test_is_the_value_of_its_own_policy_and_no_action_is_better(reward: str) -> None:
    data, discount = counts(), 0.9
    q = policies.plan(data, discount, reward)
    tried = data.moves.sum(axis=2)
    mean, chance = getattr(data, reward) / tried, data.moves / tried[..., None]
    rows, best = np.arange(policies.STATES), q.argmax(axis=1)
    solved = np.linalg.solve(np.eye(policies.STATES) - discount * chance[rows, best], mean[rows, best])
    np.testing.assert_allclose(q.max(axis=1), solved, rtol=1e-8)
    np.testing.assert_allclose(q, mean + discount * chance @ solved, rtol=1e-8)


def test_without_discount_it_is_the_mean_reward() -> None:
    data = counts(1)
    np.testing.assert_allclose(policies.plan(data, 0.0), data.clicks / data.moves.sum(axis=2))


def test_explore_counts_every_round_of_every_user() -> None:
    found = policies.explore((5, 6), **SMALL)
    assert found.moves.sum() == 2 * 60 * 12
    assert 0 < found.satisfied.sum() < found.clicks.sum() < found.moves.sum()
    assert (found.satisfied <= found.clicks).all()
    shares = found.moves.sum(axis=(0, 2)) / found.moves.sum()
    assert shares == pytest.approx([1 / 7] * 7, abs=0.04)


def test_the_policy_shows_where_its_action_points() -> None:
    far, near = np.zeros(SHAPE), np.zeros(SHAPE)
    far[:, -1] = near[:, 2] = 1
    loop = FeedbackLoop(seed=1, **SMALL)
    runs = {
        name: loop.run(policies.OffsetPolicy(table)) for name, table in {"far": far, "near": near}.items()
    }
    shown = {name: run.table()["shown extremity"].iloc[0] for name, run in runs.items()}
    assert shown["far"] > shown["near"] + 0.2
    slates = runs["far"].slates
    assert (slates.sort(dim=2).values.diff(dim=2) > 0).all()
    again = loop.run(policies.OffsetPolicy(far))
    assert torch.equal(again.taken, runs["far"].taken)


def test_a_planned_policy_clicks_more_than_chance() -> None:
    knobs = {**SMALL, "n_users": 300, "appetite": 2.0, "nothing": 10.0}
    found = policies.explore((5, 6), **knobs)
    loop = FeedbackLoop(seed=1, **knobs)
    planned = loop.run(policies.OffsetPolicy(policies.plan(found, 0.0)))
    chance = loop.run(policies.OffsetPolicy())
    assert (planned.taken >= 0).double().mean() > (chance.taken >= 0).double().mean() + 0.02


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="table"):
        policies.OffsetPolicy(np.zeros((2, 2)))
    with pytest.raises(InputError, match="discount"):
        policies.plan(counts(), 1.0)
    with pytest.raises(InputError, match="reward"):
        policies.plan(counts(), 0.5, "likes")
