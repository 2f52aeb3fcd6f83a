"""What a bandit would have got, from a log whose choices were made by chance (floor 3); taught in chapter 15."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from course_utils.als import ALS
from course_utils.bandits import Bandit
from course_utils.errors import InputError
from course_utils.interactions import Interactions
from course_utils.logged import RatedArms, UniformLog


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
