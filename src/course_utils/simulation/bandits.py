"""Bandits: learn what is good by choosing, many independent runs at once; taught in chapter 15.

An **arm** is something to choose, such as a film. A bandit gives each arm a **value**, takes the arm with the highest
one, sees the reward of that arm alone, and updates. S runs of the same bandit stand side by side: every array begins
with S, and a step is a few NumPy calls however many runs there are.

    bandit = UCB1(runs=40, arms=3)
    pools = np.tile(np.arange(3), (40, 1))              # (S, P): the arms to choose from
    places = bandit.values(generator, pools).argmax(1)  # (S,)
    bandit.update(pools[np.arange(40), places], rewards)

:class:`EpsilonGreedy`, :class:`UCB1` and :class:`Thompson` know arms only, :class:`LinUCB` looks at a context.
:func:`regret` runs a bandit on arms with known chances, :func:`course_utils.simulation.bandits.replay` on
logged choices.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, check_counts
from course_utils.models.als import ALS
from course_utils.simulation.logs import RatedArms, UniformLog


class Bandit(Protocol):
    """What every bandit can do."""

    runs: int

    def values(
        self, generator: np.random.Generator, pools: np.ndarray, contexts: np.ndarray | None = None
    ) -> np.ndarray:
        """A value for each arm of the pools ``(S, P)``; the highest is taken. ``contexts`` is ``(S, d)`` or None."""

    def update(
        self,
        arms: np.ndarray,
        rewards: np.ndarray,
        contexts: np.ndarray | None = None,
        *,
        learns: np.ndarray | None,
    ) -> None:
        """Learn from the rewards ``(S,)`` of the arms taken ``(S,)``; runs where ``learns`` is False stay."""


class _Counting:
    """How often each arm was taken, and what it gave."""

    def __init__(self, runs: int, arms: int) -> None:
        check_counts(runs=runs, arms=arms)
        self.runs, self.arms = runs, arms
        self.counts = np.zeros((runs, arms))
        self.sums = np.zeros((runs, arms))
        self._rows = np.arange(runs)

    def _of(self, pools: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Counts and mean rewards of the arms of the pools, ``(S, P)`` each; mean 0 where never taken."""
        counts, sums = (np.take_along_axis(x, pools, axis=1) for x in (self.counts, self.sums))
        return counts, sums / np.maximum(counts, 1)

    def update(
        self,
        arms: np.ndarray,
        rewards: np.ndarray,
        contexts: np.ndarray | None = None,
        *,
        learns: np.ndarray | None = None,
    ) -> None:
        """Count an arm in each run, ``(S,)``, and add its reward; runs where ``learns`` is False stay as they are."""
        weight = 1.0 if learns is None else learns
        rewards = np.where(weight, _finite(rewards, weight), 0.0)
        self.counts[self._rows, arms] += weight
        self.sums[self._rows, arms] += weight * rewards


class EpsilonGreedy(_Counting):
    r"""The arm with the best mean; with chance :math:`\varepsilon` any arm; taught in chapter 15.

    An arm that was never taken comes first. With ε = 0 it is plain greedy.

    Args:
        runs: S.
        arms: A.
        epsilon: ε in 0..1.

    Raises:
        InputError: a size or ``epsilon`` is out of range.
    """

    def __init__(self, runs: int, arms: int, epsilon: float = 0.1) -> None:
        super().__init__(runs, arms)
        if not 0 <= epsilon <= 1:
            raise InputError("epsilon", got=epsilon, expected="a number in 0..1")
        self.epsilon = epsilon

    def values(
        self, generator: np.random.Generator, pools: np.ndarray, contexts: np.ndarray | None = None
    ) -> np.ndarray:
        """Means, infinite for an arm never taken; random numbers in the runs that explore."""
        counts, means = self._of(pools)
        by_chance = generator.random(pools.shape)
        explores = generator.random(self.runs) < self.epsilon
        return np.where(explores[:, None], by_chance, np.where(counts == 0, np.inf, means))


class UCB1(_Counting):
    r"""Mean plus an upper bound on what is not known yet: :math:`\bar r_a + \sqrt{c \ln t / n_a}`; chapter 15.

    t counts the steps so far, :math:`n_a` those of the arm. An arm that was never taken comes first.

    Args:
        runs: S.
        arms: A.
        confidence: c, 0 or more; 2 is the classical value for rewards in 0..1.

    Raises:
        InputError: a size or ``confidence`` is out of range.
    """

    def __init__(self, runs: int, arms: int, confidence: float = 2.0) -> None:
        super().__init__(runs, arms)
        if not 0 <= confidence < np.inf:
            raise InputError("confidence", got=confidence, expected="0 or more")
        self.confidence = confidence

    def values(
        self, generator: np.random.Generator, pools: np.ndarray, contexts: np.ndarray | None = None
    ) -> np.ndarray:
        """Upper bounds, infinite for an arm never taken."""
        counts, means = self._of(pools)
        steps = np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        bonus = np.sqrt(self.confidence * np.log(steps) / np.maximum(counts, 1))
        return np.where(counts == 0, np.inf, means + bonus)


class Thompson(_Counting):
    """A draw from what is believed of each arm, Beta(1 + successes, 1 + failures); taught in chapter 15.

    Rewards are 0 or 1 (a share between them counts in part). An arm that may be the best is taken as often as it is
    likely to be the best.

    Args:
        runs: S.
        arms: A.
    """

    def values(
        self, generator: np.random.Generator, pools: np.ndarray, contexts: np.ndarray | None = None
    ) -> np.ndarray:
        """One draw an arm, in (0, 1)."""
        counts, sums = (np.take_along_axis(x, pools, axis=1) for x in (self.counts, self.sums))
        return generator.beta(1 + sums, 1 + counts - sums)

    def update(
        self,
        arms: np.ndarray,
        rewards: np.ndarray,
        contexts: np.ndarray | None = None,
        *,
        learns: np.ndarray | None = None,
    ) -> None:
        """As for every bandit; a reward that counts is in 0..1, or there would be less than no failure."""
        wrong = ~((np.asarray(rewards) >= 0) & (np.asarray(rewards) <= 1))
        if (wrong if learns is None else wrong & np.asarray(learns, bool)).any():
            raise InputError("rewards", got=f"values such as {rewards[wrong][0]}", expected="0 or 1")
        super().update(arms, rewards, contexts, learns=learns)


class LinUCB:
    r"""Ridge regression for each arm, plus its own uncertainty (Li et al. 2010, algorithm 1); taught in chapter 15.

    With the contexts x of the steps in which an arm was taken, :math:`A = \lambda I + \sum x x^\top` and
    :math:`b = \sum r x`, the value is :math:`x^\top A^{-1} b + \alpha \sqrt{x^\top A^{-1} x}`. The inverse is kept,
    and each step changes it by one outer product (Sherman and Morrison).

    Args:
        runs: S.
        arms: A.
        n_features: d, the length of a context. Put a constant 1 into it.
        alpha: α, 0 or more; 0 is greedy.
        regularization: λ, above 0.

    Attributes:
        inverse: :math:`A^{-1}`, ``(S, A, d, d)``.
        theta: :math:`A^{-1} b`, ``(S, A, d)``.

    Raises:
        InputError: a size, ``alpha`` or ``regularization`` is out of range.
    """

    def __init__(
        self, runs: int, arms: int, n_features: int, alpha: float = 1.0, *, regularization: float = 1.0
    ) -> None:
        check_counts(runs=runs, arms=arms, n_features=n_features)
        if not alpha >= 0:
            raise InputError("alpha", got=alpha, expected="0 or more")
        if not regularization > 0:
            raise InputError("regularization", got=regularization, expected="a number above 0")
        self.runs, self.arms, self.alpha = runs, arms, alpha
        self.inverse = np.tile(np.eye(n_features) / regularization, (runs, arms, 1, 1))
        self.theta = np.zeros((runs, arms, n_features))
        self._rows = np.arange(runs)

    def values(
        self, generator: np.random.Generator, pools: np.ndarray, contexts: np.ndarray | None = None
    ) -> np.ndarray:
        """Upper bounds for these contexts ``(S, d)``."""
        x = self._check(contexts)[:, None, :, None]  # (S, 1, d, 1)
        rows = self._rows[:, None]
        theta, inverse = self.theta[rows, pools], self.inverse[rows, pools]  # (S, P, d), (S, P, d, d)
        spread = (x * (inverse @ x)).sum(axis=(2, 3))
        return (theta[..., None] * x).sum(axis=(2, 3)) + self.alpha * np.sqrt(spread)

    def update(
        self,
        arms: np.ndarray,
        rewards: np.ndarray,
        contexts: np.ndarray | None = None,
        *,
        learns: np.ndarray | None = None,
    ) -> None:
        """One more row of each taken arm's regression; runs where ``learns`` is False stay as they are."""
        x = self._check(contexts)
        rows = self._rows if learns is None else np.flatnonzero(learns)
        x, arms, rewards = x[rows], arms[rows], _finite(rewards, 1.0 if learns is None else learns)[rows]
        inverse, theta = self.inverse[rows, arms], self.theta[rows, arms]
        ax = np.einsum("sde,se->sd", inverse, x)
        gain = ax / (1 + (ax * x).sum(axis=1))[:, None]
        self.inverse[rows, arms] = inverse - gain[:, :, None] * ax[:, None, :]
        self.theta[rows, arms] = theta + gain * (rewards - (theta * x).sum(axis=1))[:, None]

    def _check(self, contexts: np.ndarray | None) -> np.ndarray:
        shape = (self.runs, self.theta.shape[2])
        if contexts is None or np.shape(contexts) != shape:
            raise InputError("contexts", got=f"shape {np.shape(contexts)}", expected=f"shape {shape}")
        if not np.isfinite(contexts).all():
            raise InputError("contexts", got="nan or infinite values", expected="numbers")
        return contexts


def _finite(rewards: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
    """The rewards, refused when one that counts is no number: it would stop all learning in silence."""
    rewards = np.asarray(rewards, float)
    if not (np.isfinite(rewards) | ~np.broadcast_to(np.asarray(weight, bool), rewards.shape)).all():
        raise InputError("rewards", got="nan or infinite values", expected="numbers")
    return rewards


def regret(bandit: Bandit, chances: np.ndarray, steps: int, *, seed: int = 0) -> np.ndarray:
    """What was lost against always taking the best arm, summed over the steps; taught in chapter 15.

    Args:
        bandit: fresh; it learns.
        chances: of a reward of 1, for each arm, ``(A,)``.
        steps: how often each run chooses, at least 1.
        seed: of rewards and of the bandit's own draws.

    Returns:
        ``(S, steps)``, never falling. The chances of the arms taken are summed, not their rewards: less noise.
    """
    generator = np.random.default_rng(seed)
    lost = np.empty((bandit.runs, steps))
    pools = np.tile(np.arange(len(chances)), (bandit.runs, 1))
    for step in range(steps):
        arms = bandit.values(generator, pools).argmax(axis=1)
        bandit.update(arms, (generator.random(bandit.runs) < chances[arms]).astype(float), learns=None)
        lost[:, step] = np.max(chances) - chances[arms]
    return lost.cumsum(axis=1)


# ---- replay on logged choices ----------------------------------------------------------------------------------


def user_contexts(ratings: Interactions, world: RatedArms, factors: int = 5) -> np.ndarray:
    """What a bandit may know of each user: a vector learned from *other* films than the arms; taught in chapter 15.

    Args:
        ratings: of everybody.
        world: users and arms.
        factors: of the ALS model that learns the vectors.

    Returns:
        ``(n, 2 + factors)``: 1, the user's bias, and the factors, each with mean 0 and standard deviation 1.
    """
    arms = torch.from_numpy(world.items)
    kept = ~torch.isin(ratings.items, arms)
    columns = (ratings.users, ratings.items, ratings.ratings, ratings.timestamps)
    other = Interactions(*(c[kept] for c in columns), ratings.user_ids, ratings.item_ids)
    model = ALS(factors=factors, iterations=10, seed=0).fit(other)
    known = torch.column_stack([model.user_biases, model.user_factors]).numpy()[world.users]
    return np.column_stack([np.ones(len(known)), (known - known.mean(axis=0)) / known.std(axis=0)])


class Replay(NamedTuple):
    """What a bandit got from a log.

    Attributes:
        kept: True where its choice was the logged one, bool ``(S, T)``.
        rewards: the logged rewards, ``(S, T)``; only those that are kept are its own.
    """

    kept: np.ndarray
    rewards: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Mean reward of what was kept, ``(S,)``: the replay estimate."""
        return (self.rewards * self.kept).sum(axis=1) / self.kept.sum(axis=1)


def replay(
    bandit: Bandit,
    log: UniformLog,
    contexts: np.ndarray | None = None,
    *,
    seed: int = 0,
    online: bool = False,
) -> Replay:
    """Run a bandit on logged choices: keep a step when it would have chosen the same (Li et al. 2010); chapter 15.

    The log was made by choosing uniformly from a pool. So what is kept is a fair sample of what the bandit would
    have met, and its mean reward has the right expectation. A step that is not kept teaches nothing.

    Args:
        bandit: fresh, with as many runs as the log; it learns.
        log: S logs of T steps.
        contexts: of each user, ``(n_users, d)``, for a bandit that looks at them.
        seed: of the bandit's own draws.
        online: True shows what no log can: every choice is kept, with the reward it really gets.

    Returns:
        What was kept and its rewards.
    """
    if bandit.runs != len(log.users):
        raise InputError("bandit", got=f"{bandit.runs} runs", expected=f"{len(log.users)}, as the log")
    generator, rows = np.random.default_rng(seed), np.arange(bandit.runs)
    kept, rewards = np.ones(log.users.shape, dtype=bool), np.empty(log.users.shape)
    for step in range(log.users.shape[1]):
        users, pools = log.users[:, step], log.pools[:, step]
        x = None if contexts is None else contexts[users]
        arms = pools[rows, bandit.values(generator, pools, x).argmax(axis=1)]
        if not online:
            kept[:, step] = arms == log.arms[:, step]
        rewards[:, step] = log.world.rewards[users, arms]
        bandit.update(arms, rewards[:, step], x, learns=kept[:, step])
    rewards[~kept] = 0.0  # a log does not know them
    return Replay(kept, rewards)
