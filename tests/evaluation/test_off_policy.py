"""Off-policy estimates: by hand, against the exact expectation over all logs, and the naive average convicted."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.evaluation import off_policy
from course_utils.simulation import logs

ACTIONS = np.array([1, 1, 1, 1, 2])
REWARDS = np.array([1.0, 0, 1, 0, 1])
CHANCES = np.array([0.8, 0.8, 0.8, 0.8, 0.2])


class TestByHand:
    def test_five_logs(self) -> None:
        values = [off_policy.ips(REWARDS, (a == ACTIONS) * 1.0, CHANCES) for a in (1, 2)]
        np.testing.assert_allclose(values, [0.5, 1.0])
        half = np.full(5, 0.5)
        assert off_policy.ips(REWARDS, half, CHANCES) == pytest.approx(0.75)
        assert off_policy.snips(REWARDS, half, CHANCES) == pytest.approx(0.75)  # the weights sum to T here
        assert off_policy.naive_average(REWARDS, half) == pytest.approx(0.6)

    def test_effective_share(self) -> None:
        assert off_policy.effective_share((ACTIONS == 2) * 1.0, CHANCES) == pytest.approx(0.2)
        assert off_policy.effective_share(CHANCES, CHANCES) == pytest.approx(1)

    def test_a_policy_that_never_agrees(self) -> None:
        nothing = np.zeros(5)
        assert off_policy.ips(REWARDS, nothing, CHANCES) == 0
        assert np.isnan(off_policy.snips(REWARDS, nothing, CHANCES))
        assert np.isnan(off_policy.naive_average(REWARDS, nothing))


class TestExpectation:
    """Two contexts, three actions, logs of two steps: all 36 logs, each with its chance."""

    logging = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    target = np.array([[0.1, 0.5, 0.4], [0.3, 0.3, 0.4]])
    reward = np.array([[1.0, 0.2, 0.0], [0.5, 0.0, 0.9]])
    guess = np.array([[0.3, 0.9, 0.1], [0.6, 0.6, 0.6]])  # a bad model

    def expected(self, estimate: object) -> float:
        """The sum over all logs of chance times estimate."""
        steps = list(itertools.product(range(2), range(3)))
        total = 0.0
        for log in itertools.product(steps, repeat=2):
            c, a = map(np.array, zip(*log, strict=True))
            total += np.prod(self.logging[c, a] / 2) * float(estimate(c, a))
        return total

    def test_ips_is_right(self) -> None:
        truth = (self.target * self.reward).sum(axis=1).mean()
        found = self.expected(
            lambda c, a: off_policy.ips(self.reward[c, a], self.target[c, a], self.logging[c, a])
        )
        assert found == pytest.approx(truth, rel=1e-12)

    def test_doubly_robust_is_right_with_a_bad_model(self) -> None:
        truth = (self.target * self.reward).sum(axis=1).mean()
        expectation = (self.target * self.guess).sum(axis=1)
        found = self.expected(
            lambda c, a: off_policy.doubly_robust(
                self.reward[c, a],
                self.target[c, a],
                self.logging[c, a],
                predicted=self.guess[c, a],
                expected=expectation[c],
            )
        )
        assert found == pytest.approx(truth, rel=1e-12)

    def test_doubly_robust_is_exact_with_wrong_chances_and_a_right_model(self) -> None:
        wrong = np.full((2, 3), 1 / 3)
        expectation = (self.target * self.reward).sum(axis=1)
        found = self.expected(
            lambda c, a: off_policy.doubly_robust(
                self.reward[c, a],
                self.target[c, a],
                wrong[c, a],
                predicted=self.reward[c, a],
                expected=expectation[c],
            )
        )
        assert found == pytest.approx(expectation.mean(), rel=1e-12)

    def test_the_naive_average_is_wrong(self) -> None:
        truth = (self.target * self.reward).sum(axis=1).mean()
        found = self.expected(lambda c, a: off_policy.naive_average(self.reward[c, a], self.target[c, a]))
        assert abs(found - truth) > 0.05


@given(st.integers(1, 20), st.integers(0, 2**31))
def test_snips_stays_within_the_rewards(steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rewards, chances = rng.normal(size=steps), rng.uniform(0.01, 1, steps)
    found = off_policy.snips(rewards, rng.uniform(0.01, 1, steps), chances)
    assert rewards.min() - 1e-9 <= found <= rewards.max() + 1e-9


def test_leading_dimensions_are_logs_of_their_own() -> None:
    rng = np.random.default_rng(0)
    parts = rng.random((3, 4, 50)), rng.random((3, 4, 50)), rng.uniform(0.1, 1, (3, 4, 50))
    for estimate in (off_policy.ips, off_policy.snips):
        found = estimate(*parts)
        assert found.shape == (3, 4)
        assert found[2, 1] == pytest.approx(estimate(*(p[2, 1] for p in parts)))


@pytest.mark.parametrize(
    ("rewards", "target", "chances"),
    [
        (np.ones(3), np.ones(2), np.ones(3)),
        (np.ones(0), np.ones(0), np.ones(0)),
        (np.array([np.nan]), np.ones(1), np.ones(1)),
        (np.ones(1), np.array([1.5]), np.ones(1)),
        (np.ones(1), np.ones(1), np.zeros(1)),
    ],
)
def test_bad_input_is_refused(rewards: np.ndarray, target: np.ndarray, chances: np.ndarray) -> None:
    with pytest.raises(InputError):
        off_policy.ips(rewards, target, chances)


class TestLogged:
    @pytest.fixture
    def world(self) -> logs.RatedArms:
        rng = np.random.default_rng(3)
        users, items = np.nonzero(rng.random((80, 12)) < 0.8)
        stars = rng.integers(1, 6, len(users)) * 1.0
        frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": stars})
        return logs.rated_arms(Interactions.from_frame(frame), 6, at_least=3, reward_from=4.0)

    def test_rewards_are_the_ratings(self) -> None:
        frame = pd.DataFrame(
            {"user_id": [0, 0, 1, 1, 2], "item_id": [5, 6, 5, 7, 5], "rating": [5.0, 2.0, 4.0, 5.0, 1.0]}
        )
        world = logs.rated_arms(Interactions.from_frame(frame), 2, at_least=1, reward_from=4.0)
        assert world.items.tolist() == [0, 1]
        np.testing.assert_array_equal(world.rewards, [[1, 0], [1, np.nan], [0, np.nan]])
        assert world.value(np.array([[0, 1.0], [1, 0], [1, 0]])) == pytest.approx(1 / 3)

    def test_a_policy_on_arms_without_a_rating_is_refused(self, world: logs.RatedArms) -> None:
        with pytest.raises(InputError, match="policy"):
            world.value(np.full(world.rated.shape, 1 / 6))
        with pytest.raises(InputError, match="policy"):
            world.value(world.rated[:, :2] * 1.0)

    def test_uniform_log(self, world: logs.RatedArms) -> None:
        log = logs.uniform_log(world, 3, 4000, pool=3, seed=1)
        assert world.rated[log.users[..., None], log.pools].all()
        assert (np.sort(log.pools, axis=2)[..., 1:] != np.sort(log.pools, axis=2)[..., :-1]).all()
        places = (log.pools == log.arms[..., None]).argmax(axis=2)
        assert (np.bincount(places.ravel()) / places.size) == pytest.approx([1 / 3] * 3, abs=0.02)
        full = world.rated.all(axis=1).nonzero()[0]
        shown = log.pools[np.isin(log.users, full)]
        assert np.bincount(shown.ravel()) / len(shown) == pytest.approx([0.5] * 6, abs=0.05)

    def test_policy_log_follows_its_policy(self, world: logs.RatedArms) -> None:
        policy = logs.softmax_policy(world, np.arange(6.0), 2.0)
        log = logs.policy_log(world, policy, 2, 30_000, seed=2)
        assert not np.isnan(log.rewards).any()
        mine = log.users == 0
        shares = np.bincount(log.arms[mine], minlength=6) / mine.sum()
        assert shares == pytest.approx(policy[0], abs=0.05)
        np.testing.assert_array_equal(log.propensities, policy[log.users, log.arms])
        found = off_policy.ips(log.rewards, policy[log.users, log.arms], log.propensities)
        assert found == pytest.approx([world.value(policy)] * 2, abs=0.015)

    def test_policies(self, world: logs.RatedArms) -> None:
        greedy = logs.greedy_policy(world, np.arange(6.0))
        last = np.where(world.rated, np.arange(6), -1).max(axis=1)
        np.testing.assert_array_equal(greedy.argmax(axis=1), last)
        cold = logs.softmax_policy(world, np.arange(6.0), 0.01)
        np.testing.assert_allclose(cold, greedy, atol=1e-12)

    def test_ridge_rewards_learn_from_their_users_alone(self, world: logs.RatedArms) -> None:
        contexts = np.random.default_rng(0).normal(size=(len(world.users), 2))
        half = np.arange(len(world.users)) % 2 == 0
        found = logs.ridge_rewards(world, contexts, half)
        turned = np.where(half[:, None], world.rewards, 1 - world.rewards)
        other = logs.RatedArms(world.users, world.items, turned, world.rated)
        np.testing.assert_array_equal(found, logs.ridge_rewards(other, contexts, half))
        assert ((found >= 0) & (found <= 1)).all()

    @pytest.mark.parametrize("bad", [{"n_arms": 0}, {"n_arms": 99}, {"at_least": 99}])
    def test_bad_input_is_refused(self, bad: dict) -> None:
        frame = pd.DataFrame({"user_id": [0, 1], "item_id": [0, 0], "rating": [5.0, 1.0]})
        with pytest.raises(InputError):
            logs.rated_arms(Interactions.from_frame(frame), **{"n_arms": 1, "at_least": 1, **bad})

    def test_a_pool_larger_than_the_smallest_user_is_refused(self, world: logs.RatedArms) -> None:
        with pytest.raises(InputError, match="pool"):
            logs.uniform_log(world, 1, 1, pool=int(world.rated.sum(axis=1).min()) + 1)
