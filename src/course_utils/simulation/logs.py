"""Logged choices, made of real ratings; taught in chapter 15.

MovieLens does not say what was shown to whom. So the *showing* is made up here, and nothing else: a user arrives,
one of the films **that this user rated** is shown by chances that we write down, and the real rating is the reward.
So the true value of any policy is known, and an estimate from a log can be held against it: a semi-synthetic world.
"""

from typing import NamedTuple

import numpy as np
import torch

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, check_counts, check_shape


class RatedArms(NamedTuple):
    """Users and the films among a few that they rated; an arm is one of those films. Built by :func:`rated_arms`."""

    users: np.ndarray  # user codes of the interactions, (n,)
    items: np.ndarray  # item codes of the arms, (A,), most rated first
    rewards: np.ndarray  # 1 where the rating is high enough, 0 where not, nan where there is none: (n, A)
    rated: np.ndarray  # True where there is a rating, bool (n, A)

    def value(self, policy: np.ndarray) -> float:
        """Mean reward when each user meets the policy once: exact, no log needed. See :meth:`check`."""
        return float((self.check(policy) * np.nan_to_num(self.rewards)).sum(axis=1).mean())

    def check(self, policy: np.ndarray) -> np.ndarray:
        """A policy, the chance of each rated arm for each user, ``(n, A)``; refused when it is none."""
        check_shape(*self.rated.shape, policy=policy)
        if not np.allclose(policy.sum(axis=1), 1) or (policy < 0).any() or policy[~self.rated].any():
            raise InputError("policy", got="other numbers", expected="chances of rated arms that sum to 1 a user")
        return policy


def rated_arms(
    interactions: Interactions, n_arms: int = 50, *, at_least: int = 10, reward_from: float = 5.0
) -> RatedArms:
    """The most rated items as arms, and the users who rated at least so many; a high rating is a reward of 1."""
    counts = torch.bincount(interactions.items, minlength=interactions.n_items)
    check_counts(1, int((counts > 0).sum()), n_arms=n_arms)
    items = counts.argsort(descending=True, stable=True)[:n_arms].numpy()
    table = np.full((interactions.n_users, interactions.n_items), np.nan)
    table[interactions.users, interactions.items] = interactions.ratings
    table = table[:, items]
    rated = ~np.isnan(table)
    if len(users := np.flatnonzero(rated.sum(axis=1) >= at_least)) == 0:
        raise InputError("at_least", got=at_least, expected="a number that some user reaches")
    rewards = np.where(rated, table >= reward_from, np.nan)
    return RatedArms(users, items, rewards[users], rated[users])


class UniformLog(NamedTuple):
    """S logs of T steps: a user, a pool of arms to choose from, and the one that chance chose."""

    world: RatedArms
    users: np.ndarray  # rows of the world, (S, T)
    pools: np.ndarray  # different arms that the user rated, (S, T, pool)
    arms: np.ndarray  # the arm shown, one of the pool, (S, T); each had the chance 1 / pool


def uniform_log(world: RatedArms, runs: int, steps: int, *, pool: int = 10, seed: int = 0) -> UniformLog:
    """Draw users, for each a pool of so many rated arms, and show one of the pool, all uniformly."""
    check_counts(1, int(world.rated.sum(axis=1).min()), pool=pool)  # no more than each user has rated
    generator = np.random.default_rng(seed)
    users = generator.integers(0, len(world.users), (runs, steps))
    pools = np.empty((runs, steps, pool), dtype=np.int64)
    for run in range(runs):  # a run at a time: the keys of all would not fit
        keys = np.where(world.rated[users[run]], generator.random((steps, len(world.items))), -1)
        pools[run] = np.argpartition(-keys, pool - 1, axis=1)[:, :pool]
    place = generator.integers(0, pool, (runs, steps, 1))
    return UniformLog(world, users, pools, np.take_along_axis(pools, place, axis=2)[:, :, 0])
