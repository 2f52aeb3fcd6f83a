"""Logged choices with known chances, made of real ratings; taught in chapter 15.

MovieLens does not say what was shown to whom. So the *showing* is made up here, and nothing else: a user arrives,
one of the films **that this user rated** is shown by a policy that we write down, and the reward is what the user's
real rating says. All rewards of a user's films are known, so the true value of any policy is known too, and an
estimate from a log can be held against it. Such a world is called semi-synthetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError


@dataclass(frozen=True)
class RatedArms:
    """Users and the films among a few that they rated; an arm is one of those films. Built by :func:`rated_arms`.

    Attributes:
        users: user codes of the interactions, ``(n,)``.
        items: item codes of the arms, ``(A,)``, most rated first.
        rewards: 1 where the rating is high enough, 0 where not, nan where there is none: ``(n, A)``.
        rated: True where there is a rating, bool ``(n, A)``.
    """

    users: np.ndarray
    items: np.ndarray
    rewards: np.ndarray
    rated: np.ndarray

    def value(self, policy: np.ndarray) -> float:
        """Mean reward when each user meets the policy once: exact, no log needed.

        Args:
            policy: chance of each arm for each user, ``(n, A)``, rows sum to 1; 0 for an arm that was not rated.

        Raises:
            InputError: the shape is wrong, a row does not sum to 1, or an arm without a rating has a chance.
        """
        return float((self.check(policy) * np.nan_to_num(self.rewards)).sum(axis=1).mean())

    def check(self, policy: np.ndarray) -> np.ndarray:
        """The policy, refused when it is none; see :meth:`value`."""
        if np.shape(policy) != self.rated.shape:
            raise InputError("policy", got=f"shape {np.shape(policy)}", expected=f"shape {self.rated.shape}")
        if not np.allclose(policy.sum(axis=1), 1) or (policy < 0).any() or policy[~self.rated].any():
            raise InputError(
                "policy", got="other numbers", expected="chances of rated arms that sum to 1 a user"
            )
        return policy


def rated_arms(
    interactions: Interactions, n_arms: int = 50, *, at_least: int = 10, reward_from: float = 5.0
) -> RatedArms:
    """The most rated items as arms, and the users who rated enough of them.

    Args:
        interactions: ratings of everybody.
        n_arms: A, how many of the most rated items.
        at_least: users with fewer of these rated are left out.
        reward_from: a rating from here on is a reward of 1.

    Raises:
        InputError: there are not so many items, or no user has rated enough of them.
    """
    counts = torch.bincount(interactions.items, minlength=interactions.n_items)
    if not 1 <= n_arms <= int((counts > 0).sum()):
        raise InputError("n_arms", got=n_arms, expected=f"1..{int((counts > 0).sum())}")
    items = counts.argsort(descending=True, stable=True)[:n_arms].numpy()
    table = np.full((interactions.n_users, interactions.n_items), np.nan)
    table[interactions.users, interactions.items] = interactions.ratings
    table = table[:, items]
    users = np.flatnonzero((~np.isnan(table)).sum(axis=1) >= at_least)
    if len(users) == 0:
        raise InputError("at_least", got=at_least, expected="a number that some user reaches")
    table = table[users]
    rated = ~np.isnan(table)
    return RatedArms(users, items, np.where(rated, (table >= reward_from) * 1.0, np.nan), rated)


class UniformLog(NamedTuple):
    """S logs of T steps: a user, a pool of arms to choose from, and the one that chance chose.

    Attributes:
        world: whose users and arms these are.
        users: rows of the world, ``(S, T)``.
        pools: different arms that the user rated, ``(S, T, pool)``.
        arms: the arm shown, one of the pool, ``(S, T)``; each had the chance 1 / pool.
    """

    world: RatedArms
    users: np.ndarray
    pools: np.ndarray
    arms: np.ndarray


def uniform_log(world: RatedArms, runs: int, steps: int, *, pool: int = 10, seed: int = 0) -> UniformLog:
    """Draw users, for each a pool of rated arms, and show one of the pool, all uniformly.

    Args:
        world: users and arms.
        runs: S independent logs.
        steps: T steps each.
        pool: arms to choose from in a step; every user has rated at least so many.
        seed: of everything drawn.

    Raises:
        InputError: a user of the world has not rated so many arms.
    """
    fewest = int(world.rated.sum(axis=1).min())
    if not 1 <= pool <= fewest:
        raise InputError("pool", got=pool, expected=f"1..{fewest}, the arms of the user with fewest")
    generator = np.random.default_rng(seed)
    users = generator.integers(0, len(world.users), (runs, steps))
    pools = np.empty((runs, steps, pool), dtype=np.int64)
    for run in range(runs):  # a run at a time: the keys of all would not fit
        keys = np.where(world.rated[users[run]], generator.random((steps, len(world.items))), -1)
        pools[run] = np.argpartition(-keys, pool - 1, axis=1)[:, :pool]
    place = generator.integers(0, pool, (runs, steps, 1))
    arms = np.take_along_axis(pools, place, axis=2)[:, :, 0]
    return UniformLog(world, users, pools, arms)


class PolicyLog(NamedTuple):
    """S logs of T steps made by a known policy.

    Attributes:
        users: rows of the world, ``(S, T)``.
        arms: the arm shown, ``(S, T)``.
        rewards: what it gave, ``(S, T)``.
        propensities: the chance that the policy gave to that arm, ``(S, T)``, above 0.
    """

    users: np.ndarray
    arms: np.ndarray
    rewards: np.ndarray
    propensities: np.ndarray


def policy_log(world: RatedArms, policy: np.ndarray, runs: int, steps: int, *, seed: int = 0) -> PolicyLog:
    """Users arrive uniformly, a policy shows each an arm, and its chance is written down.

    Args:
        world: users and arms.
        policy: chance of each arm for each user, ``(n, A)``, as :meth:`RatedArms.value` takes it.
        runs: S independent logs.
        steps: T steps each.
        seed: of everything drawn.
    """
    ends = world.check(policy).cumsum(axis=1)
    generator = np.random.default_rng(seed)
    users = generator.integers(0, len(world.users), (runs, steps))
    arms = np.empty((runs, steps), dtype=np.int64)
    for run in range(runs):
        line = ends[users[run]]
        point = generator.random((steps, 1)) * line[:, -1:]
        arms[run] = (line <= point).sum(axis=1)
    return PolicyLog(users, arms, world.rewards[users, arms], policy[users, arms])


def greedy_policy(world: RatedArms, values: np.ndarray) -> np.ndarray:
    """The rated arm with the highest value, with certainty; taught in chapter 15.

    Args:
        world: users and arms.
        values: ``(n, A)`` or ``(A,)``; of equal ones the first arm wins.

    Returns:
        Chances, ``(n, A)``.
    """
    best = np.where(world.rated, values, -np.inf).argmax(axis=1)
    return np.eye(world.rated.shape[1])[best]


def softmax_policy(world: RatedArms, values: np.ndarray, temperature: float) -> np.ndarray:
    """Rated arms in proportion to exp(value / temperature): every one of them has a chance; taught in chapter 15.

    Args:
        world: users and arms.
        values: ``(n, A)`` or ``(A,)``.
        temperature: above 0; the larger, the more even.

    Returns:
        Chances, ``(n, A)``.

    Raises:
        InputError: ``temperature`` is not above 0.
    """
    if not temperature > 0:
        raise InputError("temperature", got=temperature, expected="a number above 0")
    logits = np.where(world.rated, values, -np.inf) / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def ridge_rewards(
    world: RatedArms, contexts: np.ndarray, learned_from: np.ndarray, regularization: float = 5.0
) -> np.ndarray:
    """Expected rewards by one ridge regression an arm, around the arm's mean; taught in chapter 15.

    Args:
        world: users and arms.
        contexts: ``(n, d)``.
        learned_from: True for the users whose ratings are used, bool ``(n,)``.
        regularization: λ, above 0.

    Returns:
        ``(n, A)``, for all users, clipped to 0..1.
    """
    predicted = np.empty(world.rated.shape)
    eye = regularization * np.eye(contexts.shape[1])
    for arm in range(predicted.shape[1]):
        rows = world.rated[:, arm] & learned_from
        x, rewards = contexts[rows], world.rewards[rows, arm]
        mean = rewards.mean() if len(rewards) else 0.5
        predicted[:, arm] = mean + contexts @ np.linalg.solve(eye + x.T @ x, x.T @ (rewards - mean))
    return predicted.clip(0, 1)
