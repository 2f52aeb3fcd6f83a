"""Bandits: learn what is good by choosing, many independent runs at once; taught in chapter 15.

An **arm** is a choice, such as a film. A bandit gives each a **value**, takes the one with the highest, sees the reward
of that arm alone, and updates. S runs stand side by side: every array begins with S. There are A arms, P in a pool.

    bandit = UCB1(runs=40, arms=3)
    pools = np.tile(np.arange(3), (40, 1))              # (S, P): the arms to choose from
    places = bandit.values(generator, pools).argmax(1)  # (S,)
    bandit.update(pools[np.arange(40), places], rewards)
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, check_counts, check_range, check_shape, refuse
from course_utils.models.als import ALS
from course_utils.simulation.logs import RatedArms, UniformLog

Contexts = np.ndarray | None  # (S, d); LinUCB alone looks at them
Learns = np.ndarray | None  # bool (S,), False for a run that stays as it is; None: all learn


class _Counting:
    """How often each arm was taken, and what it gave; for rewards in ``span``."""

    span = -np.inf, np.inf

    def __init__(self, runs: int, arms: int) -> None:
        check_counts(runs=runs, arms=arms)
        self.runs = runs
        self.counts, self.sums = np.zeros((2, runs, arms))

    def _of(self, pools: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How often the arms of the pools were taken, and what they gave in sum, ``(S, P)`` each."""
        return tuple(np.take_along_axis(x, pools, axis=1) for x in (self.counts, self.sums))

    def _means(self, pools: np.ndarray) -> np.ndarray:
        """What the arms of the pools gave on average, infinite for an arm never taken, ``(S, P)``."""
        counts, sums = self._of(pools)
        return np.where(counts == 0, np.inf, sums / np.maximum(counts, 1))

    def update(self, arms: np.ndarray, rewards: np.ndarray, contexts: Contexts = None, learns: Learns = None) -> None:
        """Count an arm in each run, ``(S,)``, and add its reward."""
        rewards, learns = _counted(rewards, learns, self.span)
        rows = np.arange(self.runs)
        self.counts[rows, arms] += learns
        self.sums[rows, arms] += rewards


class EpsilonGreedy(_Counting):
    r"""The arm with the best mean, one never taken first; with chance :math:`\varepsilon` any arm; chapter 15."""

    def __init__(self, runs: int, arms: int, epsilon: float = 0.1) -> None:
        super().__init__(runs, arms)
        check_range("from 0 to 1", epsilon=epsilon)
        self.epsilon = epsilon

    def values(self, generator: Generator, pools: np.ndarray, contexts: Contexts = None) -> np.ndarray:
        """Means, infinite for an arm never taken; random numbers in the runs that explore."""
        by_chance, explores = generator.random(pools.shape), generator.random(self.runs) < self.epsilon
        return np.where(explores[:, None], by_chance, self._means(pools))


class UCB1(_Counting):
    r"""Mean plus an upper bound on what is not known yet: :math:`\bar r_a + \sqrt{c \ln t / n_a}`; chapter 15.

    t counts the steps so far, :math:`n_a` those of the arm. A confidence c of 2 is classical for rewards in 0..1.
    """

    def __init__(self, runs: int, arms: int, confidence: float = 2.0) -> None:
        super().__init__(runs, arms)
        check_range("0 or more", confidence=confidence)
        self.confidence = confidence

    def values(self, generator: Generator, pools: np.ndarray, contexts: Contexts = None) -> np.ndarray:
        """Upper bounds, infinite for an arm never taken."""
        steps = np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        bonus = np.sqrt(self.confidence * np.log(steps) / np.maximum(self._of(pools)[0], 1))
        return self._means(pools) + bonus


class Thompson(_Counting):
    """A draw from what is believed of each arm, Beta(1 + successes, 1 + failures); taught in chapter 15."""

    span = 0, 1  # a share counts in part; beyond, there would be less than no failure

    def values(self, generator: Generator, pools: np.ndarray, contexts: Contexts = None) -> np.ndarray:
        """One draw an arm, in (0, 1)."""
        counts, sums = self._of(pools)
        return generator.beta(1 + sums, 1 + counts - sums)


class LinUCB:
    r"""Ridge regression for each arm, plus its own uncertainty (Li et al. 2010, algorithm 1); taught in chapter 15.

    With the contexts x of the steps in which an arm was taken, :math:`M = I + \sum x x^\top` and :math:`b = \sum r x`,
    the value is :math:`x^\top M^{-1} b + \alpha \sqrt{x^\top M^{-1} x}`. The ``inverse`` is kept, and each step changes
    it by one outer product (Sherman and Morrison). Put a constant 1 among the d features.
    """

    def __init__(self, runs: int, arms: int, n_features: int, alpha: float = 1.0) -> None:
        check_counts(runs=runs, arms=arms, n_features=n_features)
        check_range("0 or more", alpha=alpha)
        self.runs, self.alpha = runs, alpha
        self.inverse = np.tile(np.eye(n_features), (runs, arms, 1, 1))  # (S, A, d, d)
        self.theta = np.zeros((runs, arms, n_features))  # the inverse times b, (S, A, d)

    def values(self, generator: Generator, pools: np.ndarray, contexts: Contexts = None) -> np.ndarray:
        """Upper bounds for these contexts."""
        x = self._checked(contexts)[:, None, :, None]  # (S, 1, d, 1)
        rows = np.arange(self.runs)[:, None]
        theta, inverse = self.theta[rows, pools], self.inverse[rows, pools]  # (S, P, d), (S, P, d, d)
        spread = (x * (inverse @ x)).sum(axis=(2, 3))
        return (theta[..., None] * x).sum(axis=(2, 3)) + self.alpha * np.sqrt(spread)

    def update(self, arms: np.ndarray, rewards: np.ndarray, contexts: Contexts = None, learns: Learns = None) -> None:
        """One more row of each taken arm's regression."""
        x = self._checked(contexts)
        rewards, learns = _counted(rewards, learns)
        rows = np.flatnonzero(learns)
        x, arms, rewards = x[rows], arms[rows], rewards[rows]
        inverse, theta = self.inverse[rows, arms], self.theta[rows, arms]
        ax = np.einsum("sde,se->sd", inverse, x)
        gain = ax / (1 + (ax * x).sum(axis=1))[:, None]
        self.inverse[rows, arms] = inverse - gain[:, :, None] * ax[:, None, :]
        self.theta[rows, arms] = theta + gain * (rewards - (theta * x).sum(axis=1))[:, None]

    def _checked(self, contexts: Contexts) -> np.ndarray:
        check_shape(self.runs, self.theta.shape[2], contexts=contexts)
        refuse(not np.isfinite(contexts).all(), "contexts", "nan or infinite values", "numbers")
        return contexts


Bandit = EpsilonGreedy | UCB1 | Thompson | LinUCB


def _counted(rewards: np.ndarray, learns: Learns, span: tuple = _Counting.span) -> tuple[np.ndarray, np.ndarray]:
    """Rewards, 0 in runs that do not learn, and which do; nan or infinity would stop all learning in silence."""
    rewards = np.asarray(rewards, float)
    learns = np.ones(rewards.shape, bool) if learns is None else np.asarray(learns, bool)
    wrong = learns & ~(np.isfinite(rewards) & (rewards >= span[0]) & (rewards <= span[1]))
    if wrong.any():
        raise InputError("rewards", got=rewards[wrong][0], expected=f"numbers in {span[0]}..{span[1]}")
    return np.where(learns, rewards, 0.0), learns


def regret(bandit: Bandit, chances: np.ndarray, steps: int, *, seed: int = 0) -> np.ndarray:
    """What was lost against always taking the best arm, summed over the steps, ``(S, steps)``; taught in chapter 15.

    Each arm of a fresh bandit has its chance, ``(A,)``, of a reward of 1; it counts, not the reward: less noise.
    """
    generator, lost = np.random.default_rng(seed), np.empty((bandit.runs, steps))
    pools = np.tile(np.arange(len(chances)), (bandit.runs, 1))
    for step in range(steps):
        arms = bandit.values(generator, pools).argmax(axis=1)
        bandit.update(arms, generator.random(bandit.runs) < chances[arms])
        lost[:, step] = np.max(chances) - chances[arms]
    return lost.cumsum(axis=1)


def user_contexts(ratings: Interactions, world: RatedArms, factors: int = 5) -> np.ndarray:
    """What a bandit may know of each user, ``(n, 2 + factors)``, learned from *other* films than the arms; chapter 15.

    1, the user's bias, and the factors of ALS on everybody's ratings, each with mean 0 and standard deviation 1.
    """
    kept = ~torch.isin(ratings.items, torch.from_numpy(world.items))
    columns = (ratings.users, ratings.items, ratings.ratings, ratings.timestamps)
    other = Interactions(*(c[kept] for c in columns), ratings.user_ids, ratings.item_ids)
    model = ALS(factors, 0.14, iterations=10, weighted=True, bias_regularization=3.0, seed=0).fit(other)
    known = torch.column_stack([model.user_biases, model.user_factors]).numpy()[world.users]
    return np.column_stack([np.ones(len(known)), (known - known.mean(axis=0)) / known.std(axis=0)])


class Replay(NamedTuple):
    """What a bandit got from a log."""

    kept: np.ndarray  # True where its choice was the logged one, bool (S, T)
    rewards: np.ndarray  # of those that are kept, (S, T); 0 where not

    @property
    def mean(self) -> np.ndarray:
        """Mean reward of what was kept, ``(S,)``: the replay estimate."""
        return (self.rewards * self.kept).sum(axis=1) / self.kept.sum(axis=1)


def replay(bandit: Bandit, log: UniformLog, contexts: Contexts = None, seed: int = 0, online: bool = False) -> Replay:
    """Run a fresh bandit on logged choices: keep a step if it would have chosen the same (Li et al. 2010); chapter 15.

    What is kept is a fair sample of what the bandit would have met: the log chose uniformly. A step that is not kept
    teaches nothing. ``contexts`` are those of each user, ``(n_users, d)``. ``online`` keeps every choice: no log can.
    """
    refuse(bandit.runs != len(log.users), "bandit", f"{bandit.runs} runs", f"{len(log.users)}, as the log")
    generator, rows = np.random.default_rng(seed), np.arange(bandit.runs)
    kept, rewards = np.ones(log.users.shape, dtype=bool), np.empty(log.users.shape)
    for step in range(log.users.shape[1]):
        users, pools = log.users[:, step], log.pools[:, step]
        x = None if contexts is None else contexts[users]
        arms = pools[rows, bandit.values(generator, pools, x).argmax(axis=1)]
        if not online:
            kept[:, step] = arms == log.arms[:, step]
        rewards[:, step] = log.world.rewards[users, arms]
        bandit.update(arms, rewards[:, step], x, kept[:, step])
    rewards[~kept] = 0.0  # a log does not know them
    return Replay(kept, rewards)
