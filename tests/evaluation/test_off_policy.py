"""Off-policy estimates: by hand, against the exact expectation over all logs, and the naive average convicted."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import coded, placed, refusals

from course_utils.errors import InputError
from course_utils.evaluation.off_policy import effective_share, ips, naive_average, snips
from course_utils.simulation import logs
from experiments import _policies
from experiments._policies import doubly_robust

ACTIONS, REWARDS = np.array([1, 1, 1, 1, 2]), np.array([1.0, 0, 1, 0, 1])
CHANCES = np.array([0.8, 0.8, 0.8, 0.8, 0.2])


def test_five_logs_by_hand():
    np.testing.assert_allclose([ips(REWARDS, (a == ACTIONS) * 1.0, CHANCES) for a in (1, 2)], [0.5, 1.0])
    half, nothing = np.full(5, 0.5), np.zeros(5)
    found = ips(REWARDS, half, CHANCES), snips(REWARDS, half, CHANCES), naive_average(REWARDS, half)
    assert found == pytest.approx((0.75, 0.75, 0.6))  # the weights sum to T here
    assert effective_share((ACTIONS == 2) * 1.0, CHANCES) == pytest.approx(0.2)
    assert effective_share(CHANCES, CHANCES) == pytest.approx(1)
    assert ips(REWARDS, nothing, CHANCES) == 0  # a policy that never agrees
    others = snips(REWARDS, nothing, CHANCES), naive_average(REWARDS, nothing), effective_share(nothing, CHANCES)
    assert np.isnan(others).all()


class TestExpectation:
    """Two contexts, three actions, logs of two steps: all 36 logs, each with its chance."""

    logging = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    target = np.array([[0.1, 0.5, 0.4], [0.3, 0.3, 0.4]])
    reward = np.array([[1.0, 0.2, 0.0], [0.5, 0.0, 0.9]])
    guess = np.array([[0.3, 0.9, 0.1], [0.6, 0.6, 0.6]])  # a bad model
    truth = (target * reward).sum(axis=1).mean()

    def expected(self, estimate):
        """The sum over all logs of chance times estimate."""
        total = 0.0
        for log in itertools.product(itertools.product(range(2), range(3)), repeat=2):
            c, a = map(np.array, zip(*log, strict=True))
            total += np.prod(self.logging[c, a] / 2) * float(estimate(c, a, self.reward[c, a], self.target[c, a]))
        return total

    def test_ips_is_right_and_the_naive_average_is_wrong(self):
        found = self.expected(lambda c, a, *log: ips(*log, self.logging[c, a]))
        assert found == pytest.approx(self.truth, rel=1e-12)
        assert abs(self.expected(lambda c, a, *log: naive_average(*log)) - self.truth) > 0.05

    @pytest.mark.parametrize("right", ["chances", "model"])
    def test_doubly_robust_is_right_with_either(self, right):
        chances = self.logging if right == "chances" else np.full((2, 3), 1 / 3)
        model = self.reward if right == "model" else self.guess
        direct = (self.target * model).sum(axis=1)
        guesses = lambda c, a: {"predicted": model[c, a], "expected": direct[c]}  # noqa: E731
        found = self.expected(lambda c, a, *log: doubly_robust(*log, chances[c, a], **guesses(c, a)))
        assert found == pytest.approx(self.truth, rel=1e-12)


@given(st.integers(1, 20), st.integers(0, 2**31))
def test_snips_stays_within_the_rewards_and_leading_dimensions_are_logs_of_their_own(steps, seed):
    rng = np.random.default_rng(seed)
    rewards, target, chances = rng.normal(size=(3, 4, steps)), *rng.uniform(0.01, 1, (2, 3, 4, steps))
    found = snips(rewards, target, chances)
    assert ((rewards.min(axis=-1) - 1e-9 <= found) & (found <= rewards.max(axis=-1) + 1e-9)).all()
    for estimate in (ips, snips):
        alone = estimate(rewards[2, 1], target[2, 1], chances[2, 1])
        assert estimate(rewards, target, chances)[2, 1] == pytest.approx(alone)


GOOD = dict.fromkeys(("rewards", "target", "propensities"), [1.0] * 3)
MORE = GOOD | dict.fromkeys(("predicted", "expected"), [1.0] * 3)
BAD = [("target", [1.0] * 2), ("propensities", [1.0] * 2), ("rewards", []), ("rewards", [np.nan] * 3)]
BAD += [("target", [1.5] * 3), ("propensities", [0.0] * 3), ("predicted", [1.0] * 2), ("expected", [1.0] * 2)]
CALLS = (ips, GOOD), (snips, GOOD), (doubly_robust, MORE)
test_refusals = refusals(*((k, call, good | {k: v}) for k, v in BAD for call, good in CALLS if k in good))


@pytest.fixture
def world():
    rng = np.random.default_rng(3)
    part = placed(rng.random((80, 12)) < 0.8, rng.integers(1, 6, (80, 12)))
    return logs.rated_arms(part, 6, at_least=3, reward_from=4.0)


def test_policies_and_the_logs_that_follow_them(world):
    log = logs.uniform_log(world, 3, 4000, pool=3, seed=1)
    assert world.rated[log.users[..., None], log.pools].all()
    assert (np.diff(np.sort(log.pools, axis=2), axis=2) > 0).all()
    places = (log.pools == log.arms[..., None]).argmax(axis=2)
    assert (np.bincount(places.ravel()) / places.size) == pytest.approx([1 / 3] * 3, abs=0.02)
    shown = log.pools[np.isin(log.users, world.rated.all(axis=1).nonzero()[0])]
    assert np.bincount(shown.ravel()) / len(shown) == pytest.approx([0.5] * 6, abs=0.05)
    greedy = _policies.greedy_policy(world, np.arange(6.0))
    cold, policy = (_policies.softmax_policy(world, np.arange(6.0), heat) for heat in (0.01, 2.0))
    np.testing.assert_array_equal(greedy.argmax(axis=1), np.where(world.rated, np.arange(6), -1).max(axis=1))
    np.testing.assert_allclose(cold, greedy, atol=1e-12)
    log = _policies.policy_log(world, policy, 2, 30_000, seed=2)
    assert not np.isnan(log.rewards).any()
    mine = log.users == 0
    assert np.bincount(log.arms[mine], minlength=6) / mine.sum() == pytest.approx(policy[0], abs=0.05)
    np.testing.assert_array_equal(log.propensities, policy[log.users, log.arms])
    found = ips(log.rewards, policy[log.users, log.arms], log.propensities)
    assert found == pytest.approx([world.value(policy)] * 2, abs=0.015)


def test_ridge_rewards_learn_from_their_users_alone(world):
    contexts = np.random.default_rng(0).normal(size=(len(world.users), 2))
    half = np.arange(len(world.users)) % 2 == 0
    found = _policies.ridge_rewards(world, contexts, half)
    turned = np.where(half[:, None], world.rewards, 1 - world.rewards)
    other = logs.RatedArms(world.users, world.items, turned, world.rated)
    np.testing.assert_array_equal(found, _policies.ridge_rewards(other, contexts, half))
    assert ((found >= 0) & (found <= 1)).all()


def test_rewards_are_the_ratings_and_bad_worlds_policies_and_pools_are_refused(world):
    part = coded([(0, 0, 5), (0, 1, 2), (1, 0, 4), (1, 2, 5), (2, 0, 1)], 3, 3)
    small = logs.rated_arms(part, 2, at_least=1, reward_from=4.0)
    assert small.items.tolist() == [0, 1]
    np.testing.assert_array_equal(small.rewards, [[1, 0], [1, np.nan], [0, np.nan]])
    assert small.value(np.array([[0, 1.0], [1, 0], [1, 0]])) == pytest.approx(1 / 3)
    for bad in ({"n_arms": 0}, {"n_arms": 99}, {"at_least": 99}):
        with pytest.raises(InputError):
            logs.rated_arms(part, **{"n_arms": 1, "at_least": 1, **bad})
    for policy in (np.full(world.rated.shape, 1 / 6), world.rated[:, :2] * 1.0):
        with pytest.raises(InputError, match="policy"):
            world.value(policy)
    with pytest.raises(InputError, match="pool"):  # one larger than the smallest user
        logs.uniform_log(world, 1, 1, pool=int(world.rated.sum(axis=1).min()) + 1)
