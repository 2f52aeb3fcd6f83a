"""Bandits: bounds by hand, LinUCB against ridge regression, regret, and replay against what really happens."""

from copy import deepcopy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from shared import placed, refusals
from sklearn.linear_model import Ridge

from course_utils.errors import InputError
from course_utils.simulation import bandits, logs
from course_utils.simulation.bandits import UCB1, EpsilonGreedy, LinUCB, Thompson, regret, replay


def values(bandit, pools=((0, 1, 2),), contexts=None):
    return bandit.values(np.random.default_rng(0), np.array(pools), contexts)


def fed(bandit, *steps):
    for arm, reward, *context in steps:
        bandit.update(np.full(bandit.runs, arm), np.full(bandit.runs, reward), *context)
    return bandit


LOG = np.log(4)
BOUNDS = [0.5 + np.sqrt(2 * LOG / 2), 1 + np.sqrt(2 * LOG), np.sqrt(2 * LOG)]
STEPS = (0, 1.0), (0, 0.0), (1, 1.0), (2, 0.0)
BY_HAND = {  # steps, the pool, the values
    "UCB1": (UCB1(1, 3), STEPS, [0, 1, 2], BOUNDS),
    "UCB1, a part of the arms": (UCB1(1, 3), STEPS, [2, 0], [BOUNDS[2], BOUNDS[0]]),
    "UCB1, new": (UCB1(1, 3), [], [0, 1, 2], [np.inf] * 3),
    "greedy": (EpsilonGreedy(1, 3, 0.0), STEPS, [0, 1, 2], [0.5, 1, 0]),
    "greedy, a new arm first": (EpsilonGreedy(1, 3, 0.0), STEPS[:3], [0, 1, 2], [0.5, 1, np.inf]),
}


@pytest.mark.parametrize(("bandit", "steps", "pool", "expected"), BY_HAND.values(), ids=BY_HAND)
def test_by_hand(bandit, steps, pool, expected):
    np.testing.assert_allclose(values(fed(deepcopy(bandit), *steps), [pool])[0], expected)


def test_chance_chooses_evenly_and_thompson_draws_the_posterior():
    chosen = values(EpsilonGreedy(3000, 3, 1.0), np.tile([0, 1, 2], (3000, 1))).argmax(axis=1)
    assert np.bincount(chosen).min() > 900
    drawn = values(fed(Thompson(4000, 2), (0, 1.0), (0, 1.0), (0, 0.0)), np.tile([0, 1], (4000, 1)))
    assert drawn.mean(axis=0) == pytest.approx([3 / 5, 1 / 2], abs=0.02)  # Beta(3, 2), Beta(1, 1)


def test_linucb_is_ridge_regression_with_its_leverage():
    rng = np.random.default_rng(1)
    x, rewards, arms = rng.normal(size=(60, 4)), rng.random(60), rng.integers(0, 3, 60)
    bandit = fed(LinUCB(1, 3, 4, alpha=0.7), *zip(arms, rewards, x[:, None], strict=True))
    new = rng.normal(size=(1, 4))
    for arm, found in enumerate(values(bandit, contexts=new)[0]):
        mine = arms == arm
        model = Ridge(1.0, fit_intercept=False).fit(x[mine], rewards[mine])
        inverse = np.linalg.inv(np.eye(4) + x[mine].T @ x[mine])
        assert found == pytest.approx(model.predict(new)[0] + 0.7 * np.sqrt(new[0] @ inverse @ new[0]))


def test_regret():
    chances = np.array([0.5, 0.55, 0.4])
    assert not regret(UCB1(2, 1), np.array([0.3]), 50).any()  # one arm costs nothing
    lost = regret(EpsilonGreedy(400, 3, 1.0), chances, 100)  # chance loses the same at each step
    assert lost[:, -1].mean() == pytest.approx(100 * (0.05 + 0 + 0.15) / 3, rel=0.05)
    assert (np.diff(lost, axis=1) >= 0).all()
    first, again = (regret(Thompson(5, 3), chances, 200, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first[:, -1])) > 1
    makers = Thompson(40, 3), EpsilonGreedy(40, 3, 0.1), UCB1(40, 3), EpsilonGreedy(40, 3, 0.0)
    lost = [regret(bandit, chances, 2000)[:, -1].mean() for bandit in makers]
    assert lost == sorted(lost)
    assert lost == pytest.approx([25.4, 40.1, 63.4, 92.6], abs=20)  # by another generator; their sd: 16, 32, 13, 105


def test_replay_agrees_with_what_really_happens():
    rng = np.random.default_rng(0)
    stars = np.where(rng.random((80, 8)) < 0.1 + 0.1 * np.arange(8), 5.0, 3.0)  # arms differ much
    world = logs.rated_arms(placed(rng.random((80, 8)) < 0.8, stars), 8, at_least=5)
    log = logs.uniform_log(world, 100, 1500, pool=5, seed=3)
    short = logs.UniformLog(log.world, *(part[:, -300:] for part in log[1:]))  # as many as are kept
    found = replay(UCB1(100, 8, 0.2), log, seed=2)
    real = replay(UCB1(100, 8, 0.2), short, seed=2, online=True).mean
    assert abs(found.mean.mean() - real.mean()) < 3.5 * np.hypot(found.mean.std(), real.std()) / 10
    assert found.mean.mean() > np.nanmean(world.rewards) + 0.1  # and it learned
    assert found.kept.mean() == pytest.approx(1 / 5, abs=0.02)
    assert not found.rewards[~found.kept].any()  # a log shows no other reward
    with pytest.raises(InputError, match="bandit"):
        replay(UCB1(3, 8), log)


def test_contexts_do_not_see_the_arms():
    rng = np.random.default_rng(2)
    ratings = placed(rng.random((40, 30)) < 0.5, rng.integers(1, 6, (40, 30)))
    arms = logs.rated_arms(ratings, 5, at_least=1)
    found = bandits.user_contexts(ratings, arms, factors=2)
    assert found.shape == (len(arms.users), 4)
    np.testing.assert_allclose(found[:, 1:].mean(axis=0), 0, atol=1e-12)
    on_arms = torch.isin(ratings.items, torch.from_numpy(arms.items))
    turned = replace(ratings, ratings=torch.where(on_arms, 6 - ratings.ratings, ratings.ratings))
    np.testing.assert_array_equal(found, bandits.user_contexts(turned, arms, factors=2))


NAN = np.array([[1.0, np.nan]])
BAD = [("runs", UCB1, 0, 3), ("confidence", UCB1, 1, 3, -1), ("epsilon", EpsilonGreedy, 1, 3, 1.5)]
BAD += [("arms", Thompson, 1, 0), ("n_features", LinUCB, 1, 3, 0), ("alpha", LinUCB, 1, 3, 2, -0.1)]
BAD += [("rewards", fed, Thompson(1, 2), (0, stars)) for stars in (5.0, -1.0)]
BAD += [("contexts", values, LinUCB(1, 2, 3), [[0, 1]]), ("contexts", fed, LinUCB(1, 2, 2), (0, 1.0, NAN))]
test_refusals = refusals(*BAD)


@pytest.mark.parametrize("make", [UCB1, Thompson, partial(EpsilonGreedy, epsilon=0.0), partial(LinUCB, n_features=2)])
@pytest.mark.parametrize("reward", [1.0, np.nan, np.inf])
def test_a_run_that_does_not_learn_leaves_no_trace(make, reward):
    arms, x, learns, pools = np.array([0, 1]), np.ones((2, 2)), np.array([True, False]), np.tile(np.arange(3), (2, 1))
    bandit, other = make(2, 3), make(2, 3)
    bandit.update(arms, np.array([1.0, reward]), x, learns=learns)
    other.update(arms, np.array([1.0, 0.0]), x, learns=learns)
    np.testing.assert_array_equal(values(bandit, pools, x), values(other, pools, x))
    assert not np.isnan(values(bandit, pools, x)).any()
    state = bandit.theta[:, :, 0] if isinstance(bandit, LinUCB) else bandit.counts
    assert state[0, 0] > 0
    assert not state[1].any()
    if not np.isfinite(reward):  # one that counts is a number
        with pytest.raises(InputError, match="rewards"):
            bandit.update(arms, np.array([1.0, reward]), x)
