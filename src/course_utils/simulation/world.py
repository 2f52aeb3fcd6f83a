"""Parts of a feedback loop: the world, what a policy sees and hears, what a run leaves; chapter 14.

Sizes: ``U`` users, ``I`` items, ``T`` rounds, slates of ``K``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from course_utils.data.interactions import Interactions
from course_utils.evaluation import beyond_accuracy

WIDTH = 0.18  # of the closeness: at a distance of 0.3 it is 0.61
WORLD, PEOPLE, MOODS, POLICY, EVALUATION = range(5)  # streams


def closeness(taste: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    r""":math:`\exp(-(x - \theta)^2 / 0.18)`, in (0, 1]: 1 where the item is what the user likes best.

    Args:
        taste: θ, in -1..1, any shape that broadcasts with ``position``.
        position: x, in -1..1.
    """
    return torch.exp(-((position - taste) ** 2) / WIDTH)


def engagement(
    taste: torch.Tensor, position: torch.Tensor, appetite: float, bait: torch.Tensor | float = 0.0
) -> torch.Tensor:
    r"""Weight with which an item attracts: :math:`\text{closeness}\,(1 + \psi |x|)(1 + m)`, 0 or more; chapter 14.

    Args:
        taste: θ, in -1..1.
        position: x, in -1..1; all arguments broadcast.
        appetite: ψ, 0 or more. 0: people are drawn to what they like, and to nothing else.
        bait: m, 0 or more: how much a title promises that the item does not hold.
    """
    return closeness(taste, position) * (1 + appetite * position.abs()) * (1 + bait)


@dataclass(frozen=True)
class World:
    """Who is there and what there is. Every policy of one seed meets the same world.

    Attributes:
        tastes: at the start, ``(U,)``, in -1..1.
        positions: ``(I,)``, in -1..1.
        bait: True where an item is bait, ``(I,)``: it attracts more and satisfies nobody.
        history: what the users took from random slates before round 0, rated 1 where it satisfied and 0 where not.
    """

    tastes: torch.Tensor
    positions: torch.Tensor
    bait: torch.Tensor
    history: Interactions


@dataclass(frozen=True)
class State:
    """What a policy may look at before a round.

    Attributes:
        round: 0..T-1.
        world: the catalogue; an honest policy leaves ``world.tastes`` alone.
        seen: True where a user has taken an item already, ``(U, I)``; a slate must not hold it.
        tastes: now, ``(U,)``. Hidden in real life: for oracles alone.
        slate_size: K.
        appetite, bait_pull: the knobs of the loop. Likewise for oracles alone.
    """

    round: int
    world: World
    seen: torch.Tensor
    tastes: torch.Tensor
    slate_size: int
    appetite: float
    bait_pull: float


@dataclass(frozen=True)
class Feedback:
    """What came back in a round.

    Attributes:
        round: 0..T-1.
        slates: what was shown, ``(U, K)``.
        taken: the item that each user took, ``(U,)``, -1 for none.
        satisfied: answer to "was it worth it?", bool ``(U,)``, False where nothing was taken.
    """

    round: int
    slates: torch.Tensor
    taken: torch.Tensor
    satisfied: torch.Tensor


class Policy(Protocol):
    """Whatever fills slates. The loop calls ``start`` once a run, then ``slate`` and ``update`` each round."""

    def start(self, world: World, generator: np.random.Generator) -> None:
        """Forget every earlier run; all random numbers of the policy come from this generator."""

    def slate(self, state: State, users: torch.Tensor) -> torch.Tensor:
        """Item codes, ``(len(users), K)``, best first, different, none of them seen."""

    def update(self, feedback: Feedback) -> None:
        """Learn from a round."""


@dataclass(frozen=True)
class Run:
    """Everything that happened in a run; the last rounds say where it went.

    Attributes:
        world: the world.
        tastes: before each round and after the last, ``(T + 1, U)``.
        slates: ``(T, U, K)``.
        taken: ``(T, U)``, -1 for none.
        satisfied: bool ``(T, U)``.
        seed: of the loop.
    """

    world: World
    tastes: torch.Tensor
    slates: torch.Tensor
    taken: torch.Tensor
    satisfied: torch.Tensor
    seed: int

    @cached_property
    def satisfaction(self) -> torch.Tensor:
        """True worth of what was taken, ``(T, U)``: closeness, 0 for bait and where nothing was taken."""
        x, real = self.world.positions[self.taken], self.taken >= 0
        return closeness(self.tastes[:-1], x) * (real & ~self.world.bait[self.taken])

    def table(self) -> pd.DataFrame:
        """One row a round: what was shown, what was taken, and who the users have become.

        Positions are in units of the axis, which is 2 long. ``shown breadth`` is the mean distance of two items
        of a slate, ``polarization`` the standard deviation of the tastes after the round. ``from shown`` and
        ``from taken`` are mean distances from the user's taste before the round.
        """
        x, before, after = self.world.positions, self.tastes[:-1], self.tastes[1:]
        shown, real, n = x[self.slates], self.taken >= 0, self.slates.shape[2]
        own, total = x[self.taken], real.sum(dim=1)
        pairs = (shown[..., :, None] - shown[..., None, :]).abs().sum(dim=(2, 3)) / (n * (n - 1))
        columns = {
            "click rate": real.double().mean(dim=1),
            "satisfaction": self.satisfaction.sum(dim=1) / total,
            "shown extremity": shown.abs().mean(dim=(1, 2)),
            "taken extremity": (own.abs() * real).sum(dim=1) / total,
            "taste extremity": after.abs().mean(dim=1),
            "polarization": after.std(dim=1),
            "shown breadth": pairs.mean(dim=1),
            "from shown": (shown - before[..., None]).abs().mean(dim=(1, 2)),
            "from taken": ((own - before).abs() * real).sum(dim=1) / total,
            "bait shown": self.world.bait[self.slates].double().mean(dim=(1, 2)),
            "bait taken": (self.world.bait[self.taken] & real).sum(dim=1) / total,
        }
        return pd.DataFrame({name: c.numpy() for name, c in columns.items()}).rename_axis("round")

    def alike(self, pairs: int = 2000) -> float:
        """Mean Jaccard index of what two users took, over random pairs of users: 0 nothing in common, 1 the same."""
        took = torch.zeros(self.taken.shape[1], len(self.world.positions), dtype=torch.bool)
        rounds, users = (self.taken >= 0).nonzero(as_tuple=True)
        took[users, self.taken[rounds, users]] = True
        drawn = stream(self.seed, EVALUATION)
        first = torch.from_numpy(drawn.integers(0, len(took), pairs))
        other = (first + torch.from_numpy(drawn.integers(1, len(took), pairs))) % len(took)
        both, either = (took[first] & took[other]).sum(dim=1), (took[first] | took[other]).sum(dim=1)
        return float((both / either.clamp(min=1)).mean())

    def gini(self) -> float:
        """Gini index of how often each item was taken: 0 equally often, towards 1 always the same few."""
        return beyond_accuracy.gini(self.taken.T, len(self.world.positions))


def stream(seed: int, *key: int) -> np.random.Generator:
    """Random numbers of their own for each purpose; chapter 14.

    Args:
        seed: of the loop.
        *key: one of the purposes WORLD, PEOPLE, MOODS, POLICY and EVALUATION, and perhaps a round.
    """
    return np.random.default_rng([seed, *key])


def random_scores(generator: np.random.Generator, seen: torch.Tensor) -> torch.Tensor:
    """A number by chance for each unseen item, the lowest for those that were seen."""
    return torch.from_numpy(generator.random(seen.shape)).masked_fill(seen, -torch.inf)


def coded_interactions(
    users: torch.Tensor, items: torch.Tensor, n_users: int, n_items: int, ratings: torch.Tensor | None = None
) -> Interactions:
    """Interactions over codes that are their own ids; every rating is 1 unless given."""
    if ratings is None:
        ratings = torch.ones(len(users), dtype=torch.float64)
    ids = pd.RangeIndex(n_users), pd.RangeIndex(n_items)
    return Interactions(users, items, ratings, torch.zeros_like(users), *ids)
