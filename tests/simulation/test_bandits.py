"""Bandits: bounds by hand, LinUCB against ridge regression, regret, and replay against what really happens."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.simulation import bandits, logs


@pytest.fixture(scope="module")
def world() -> logs.RatedArms:
    """Sixty users, eight arms of which each has rated at least five; arms differ much."""
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": u, "item_id": i, "rating": 5.0 if rng.random() < 0.1 + 0.1 * i else 3.0}
        for u in range(60)
        for i in rng.permutation(8)[: rng.integers(5, 9)]
    ]
    frame = pd.DataFrame(rows)
    return logs.rated_arms(Interactions.from_frame(frame), 8, at_least=5)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def feed(bandit: bandits.Bandit, steps: list[tuple[int, float]]) -> None:
    """The same steps for the single run of a bandit."""
    for arm, reward in steps:
        bandit.update(np.array([arm]), np.array([reward]))


ALL = np.array([[0, 1, 2]])


class TestValues:
    def test_ucb1_by_hand(self) -> None:
        bandit = bandits.UCB1(1, 3)
        assert np.isinf(bandit.values(generator(), ALL)).all()
        feed(bandit, [(0, 1.0), (0, 0.0), (1, 1.0), (2, 0.0)])
        found = bandit.values(generator(), ALL)[0]
        log = np.log(4)
        expected = [0.5 + np.sqrt(2 * log / 2), 1 + np.sqrt(2 * log), np.sqrt(2 * log)]
        np.testing.assert_allclose(found, expected)

    def test_a_pool_is_a_part_of_the_arms(self) -> None:
        bandit = bandits.UCB1(1, 3)
        feed(bandit, [(0, 1.0), (1, 0.0), (2, 1.0), (2, 1.0)])
        whole = bandit.values(generator(), ALL)[0]
        np.testing.assert_allclose(bandit.values(generator(), np.array([[2, 0]]))[0], whole[[2, 0]])

    def test_greedy_takes_the_best_mean_and_new_arms_first(self) -> None:
        bandit = bandits.EpsilonGreedy(1, 3, 0.0)
        feed(bandit, [(0, 1.0), (1, 0.0)])
        assert bandit.values(generator(), ALL).argmax() == 2
        feed(bandit, [(2, 0.0)])
        np.testing.assert_allclose(bandit.values(generator(), ALL)[0], [1, 0, 0])

    def test_epsilon_one_chooses_evenly(self) -> None:
        bandit = bandits.EpsilonGreedy(3000, 3, 1.0)
        chosen = bandit.values(generator(), np.tile(ALL, (3000, 1))).argmax(axis=1)
        assert np.bincount(chosen).min() > 900

    def test_thompson_draws_the_posterior(self) -> None:
        runs = 4000
        bandit, first = bandits.Thompson(runs, 2), np.zeros(runs, dtype=int)
        for reward in (1.0, 1.0, 0.0):
            bandit.update(first, np.full(runs, reward))
        drawn = bandit.values(generator(), np.tile([0, 1], (runs, 1)))
        assert drawn.mean(axis=0) == pytest.approx([3 / 5, 1 / 2], abs=0.02)  # Beta(3, 2), Beta(1, 1)

    def test_runs_that_do_not_learn_stay(self) -> None:
        for bandit in (bandits.UCB1(2, 2), bandits.LinUCB(2, 2, 1)):
            x = np.ones((2, 1))
            bandit.update(np.array([0, 0]), np.ones(2), x, learns=np.array([True, False]))
            state = bandit.counts if isinstance(bandit, bandits.UCB1) else bandit.theta[:, :, 0]
            assert state[0, 0] > 0
            assert not state[1].any()


class TestLinUCB:
    def test_by_hand(self) -> None:
        bandit, x = bandits.LinUCB(1, 2, 1), np.ones((1, 1))
        for arm, reward in ((0, 1.0), (0, 0.0), (1, 1.0)):
            bandit.update(np.array([arm]), np.array([reward]), x)
        found = bandit.values(generator(), np.array([[0, 1]]), x)[0]
        np.testing.assert_allclose(found, [1 / 3 + 3**-0.5, 1 / 2 + 2**-0.5])

    @pytest.mark.parametrize("regularization", [0.5, 1.0, 7.0])
    def test_is_ridge_regression_with_its_leverage(self, regularization: float) -> None:
        rng = np.random.default_rng(1)
        x, rewards, arms = rng.normal(size=(60, 4)), rng.random(60), rng.integers(0, 3, 60)
        bandit = bandits.LinUCB(1, 3, 4, alpha=0.7, regularization=regularization)
        for row, reward, arm in zip(x, rewards, arms, strict=True):
            bandit.update(np.array([arm]), np.array([reward]), row[None])
        new = rng.normal(size=(1, 4))
        found = bandit.values(generator(), ALL, new)[0]
        for arm in range(3):
            mine = arms == arm
            model = Ridge(regularization, fit_intercept=False).fit(x[mine], rewards[mine])
            inverse = np.linalg.inv(regularization * np.eye(4) + x[mine].T @ x[mine])
            bound = 0.7 * np.sqrt(new[0] @ inverse @ new[0])
            assert found[arm] == pytest.approx(model.predict(new)[0] + bound)

    def test_a_missing_context_is_refused(self) -> None:
        with pytest.raises(InputError, match="contexts"):
            bandits.LinUCB(1, 2, 3).values(generator(), np.array([[0, 1]]))


class TestRegret:
    chances = np.array([0.5, 0.55, 0.4])

    def test_one_arm_costs_nothing(self) -> None:
        assert not bandits.regret(bandits.UCB1(2, 1), np.array([0.3]), 50).any()

    def test_chance_loses_the_same_at_each_step(self) -> None:
        lost = bandits.regret(bandits.EpsilonGreedy(400, 3, 1.0), self.chances, 100)
        assert lost[:, -1].mean() == pytest.approx(100 * (0.05 + 0 + 0.15) / 3, rel=0.05)
        assert (np.diff(lost, axis=1) >= 0).all()

    def test_runs_differ_and_seeds_repeat(self) -> None:
        first, again = (bandits.regret(bandits.Thompson(5, 3), self.chances, 200, seed=3) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert len(np.unique(first[:, -1])) > 1

    def test_the_order_of_the_exercise(self) -> None:
        """SYLLABUS found 92.6, 40.1, 63.4, 25.4 (sd 105, 32, 13, 16) with another generator and 40 runs."""
        makers = (
            bandits.EpsilonGreedy(40, 3, 0.0),
            bandits.EpsilonGreedy(40, 3, 0.1),
            bandits.UCB1(40, 3),
            bandits.Thompson(40, 3),
        )
        greedy, epsilon, ucb, thompson = (bandits.regret(b, self.chances, 2000)[:, -1].mean() for b in makers)
        assert thompson < epsilon < ucb < greedy
        assert [greedy, epsilon, ucb, thompson] == pytest.approx([92.6, 40.1, 63.4, 25.4], abs=20)


class TestReplay:
    def test_keeps_a_share_of_the_pool(self, world: logs.RatedArms) -> None:
        log = logs.uniform_log(world, 4, 2000, pool=5)
        kept = bandits.replay(bandits.UCB1(4, 8), log).kept.mean()
        assert kept == pytest.approx(1 / 5, abs=0.02)

    def test_agrees_with_what_really_happens(self, world: logs.RatedArms) -> None:
        """Replay of n / pool kept steps and n / pool real steps have the same expectation."""
        runs, pool = 100, 5
        log = logs.uniform_log(world, runs, 1500, pool=pool, seed=3)
        short = logs.UniformLog(log.world, *(part[:, -300:] for part in log[1:]))
        replayed = bandits.replay(bandits.UCB1(runs, 8, 0.2), log, seed=2).mean
        real = bandits.replay(bandits.UCB1(runs, 8, 0.2), short, seed=2, online=True).mean
        error = np.hypot(replayed.std(), real.std()) / np.sqrt(runs)
        assert abs(replayed.mean() - real.mean()) < 3.5 * error
        assert replayed.mean() > np.nanmean(world.rewards) + 0.1  # and it learned

    def test_a_dropped_step_shows_no_reward(self, world: logs.RatedArms) -> None:
        found = bandits.replay(bandits.UCB1(2, 8), logs.uniform_log(world, 2, 300, pool=5))
        assert not found.rewards[~found.kept].any()

    def test_runs_must_fit(self, world: logs.RatedArms) -> None:
        with pytest.raises(InputError, match="bandit"):
            bandits.replay(bandits.UCB1(3, 8), logs.uniform_log(world, 2, 10, pool=5))


def test_contexts_do_not_see_the_arms(world: logs.RatedArms) -> None:
    rng = np.random.default_rng(2)
    users, items = np.nonzero(rng.random((40, 30)) < 0.5)
    frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": rng.integers(1, 6, len(users)) * 1.0})
    ratings = Interactions.from_frame(frame)
    arms = logs.rated_arms(ratings, 5, at_least=1)
    found = bandits.user_contexts(ratings, arms, factors=2)
    assert found.shape == (len(arms.users), 4)
    np.testing.assert_allclose(found[:, 1:].mean(axis=0), 0, atol=1e-12)
    on_arms = torch.isin(ratings.items, torch.from_numpy(arms.items))
    other = torch.where(on_arms, 6 - ratings.ratings, ratings.ratings)  # turn the ratings of the arms round
    turned = Interactions(
        ratings.users, ratings.items, other, ratings.timestamps, ratings.user_ids, ratings.item_ids
    )
    np.testing.assert_array_equal(found, bandits.user_contexts(turned, arms, factors=2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: bandits.UCB1(0, 3),
        lambda: bandits.UCB1(1, 3, -1),
        lambda: bandits.EpsilonGreedy(1, 3, 1.5),
        lambda: bandits.Thompson(1, 0),
        lambda: bandits.LinUCB(1, 3, 0),
        lambda: bandits.LinUCB(1, 3, 2, -0.1),
        lambda: bandits.LinUCB(1, 3, 2, regularization=0.0),
    ],
)
def test_bad_input_is_refused(make: object) -> None:
    with pytest.raises(InputError):
        make()


BANDITS = {
    "greedy": lambda: bandits.EpsilonGreedy(2, 3, 0.0),
    "ucb": lambda: bandits.UCB1(2, 3),
    "thompson": lambda: bandits.Thompson(2, 3),
    "linucb": lambda: bandits.LinUCB(2, 3, 2),
}


@pytest.mark.parametrize("name", BANDITS)
class TestRewardsThatAreNone:
    ARMS, X = np.array([0, 1]), np.ones((2, 2))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_refused_where_they_count(self, name, bad):
        bandit = BANDITS[name]()
        with pytest.raises(InputError, match="rewards"):
            bandit.update(self.ARMS, np.array([1.0, bad]), self.X)

    def test_no_trace_where_they_do_not(self, name):
        bandit, other = BANDITS[name](), BANDITS[name]()
        learns = np.array([True, False])
        bandit.update(self.ARMS, np.array([1.0, np.nan]), self.X, learns=learns)
        other.update(self.ARMS, np.array([1.0, 0.0]), self.X, learns=learns)
        pools = np.tile(np.arange(3), (2, 1))
        values = [b.values(generator(), pools, self.X) for b in (bandit, other)]
        np.testing.assert_array_equal(*values)
        assert not np.isnan(values[0]).any()


@pytest.mark.parametrize("reward", [5.0, -1.0])
def test_stars_are_no_rewards_for_thompson(reward):
    with pytest.raises(InputError, match="expected 0 or 1"):
        bandits.Thompson(1, 2).update(np.array([0]), np.array([reward]))


def test_a_context_that_is_no_number():
    with pytest.raises(InputError, match="contexts"):
        bandits.LinUCB(1, 2, 2).update(np.array([0]), np.array([1.0]), np.array([[1.0, np.nan]]))
