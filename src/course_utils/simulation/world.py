"""What a feedback loop of U users, I items, T rounds and slates of K is made of; chapter 14."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from course_utils.data.interactions import Interactions
from course_utils.evaluation import beyond_accuracy

WIDTH = 0.18  # of the closeness
WORLD, PEOPLE, MOODS, POLICY, EVALUATION = range(5)  # each has random numbers of its own


def closeness(taste: Tensor, position: Tensor) -> Tensor:
    r""":math:`\exp(-(x - \theta)^2 / 0.18)` of taste θ and position x, in (0, 1]: 1 where one likes it best."""
    return torch.exp(-((position - taste) ** 2) / WIDTH)


def engagement(taste: Tensor, position: Tensor, appetite: float, bait: Tensor | float = 0.0) -> Tensor:
    r"""Weight with which an item attracts: :math:`\text{closeness}\,(1 + \psi |x|)(1 + m)`, 0 or more; chapter 14.

    ψ is the appetite for extremity, bait m how much a title promises that the item does not hold. All broadcast.
    """
    return closeness(taste, position) * (1 + appetite * position.abs()) * (1 + bait)


class World(NamedTuple):
    """Who is there and what there is. Every policy of one seed meets the same world."""

    tastes: Tensor  # at the start, (U,), in -1..1
    positions: Tensor  # (I,), in -1..1
    bait: Tensor  # bool (I,): it attracts more and satisfies nobody
    history: Interactions  # from random slates before round 0, rated 1 where it satisfied, else 0


class State(NamedTuple):
    """What a policy may look at before a round; what is hidden in real life is for oracles alone."""

    world: World  # the catalogue; world.tastes are hidden
    seen: Tensor  # True where a user has taken an item already, (U, I); a slate must not hold it
    tastes: Tensor  # now, (U,), hidden
    slate_size: int  # K
    appetite: float  # of the loop, hidden, as the next
    bait_pull: float


class Feedback(NamedTuple):
    """What came back in a round."""

    slates: Tensor  # what was shown, (U, K)
    taken: Tensor  # the item that each user took, (U,), -1 for none
    satisfied: Tensor  # answer to "was it worth it?", bool (U,), False where nothing was taken


class Policy(Protocol):
    """Whatever fills slates. The loop calls ``start`` once a run, then ``slate`` and ``update`` each round."""

    def start(self, world: World, generator: np.random.Generator) -> None:
        """Forget every earlier run; all random numbers of the policy come from this generator."""
        self.generator = generator

    def slate(self, state: State, users: Tensor) -> Tensor:
        """Item codes, ``(len(users), K)``, best first, different, none of them seen."""

    def update(self, feedback: Feedback) -> None:
        """Learn from a round."""


@dataclass(frozen=True)
class Run:
    """Everything that happened in a run; the last rounds say where it went."""

    world: World
    tastes: Tensor  # before each round and after the last, (T + 1, U)
    slates: Tensor  # (T, U, K)
    taken: Tensor  # (T, U), -1 for none
    satisfied: Tensor  # bool (T, U)
    seed: int  # of the loop

    @cached_property
    def satisfaction(self) -> Tensor:
        """True worth of what was taken, ``(T, U)``: closeness, 0 for bait and where nothing was taken."""
        real = self.taken >= 0
        return closeness(self.tastes[:-1], self.world.positions[self.taken]) * (real & ~self.world.bait[self.taken])

    def table(self) -> pd.DataFrame:
        """One row a round: what was shown, what was taken, and who the users have become.

        ``shown breadth`` is the mean distance of two items of a slate, ``polarization`` the standard deviation of the
        tastes after the round; ``from shown`` and ``from taken`` are mean distances from the taste before it.
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

    def alike(self) -> float:
        """Mean Jaccard index of what two users took, over 2,000 random pairs: 0 nothing in common, 1 the same."""
        took = torch.zeros(self.taken.shape[1], len(self.world.positions), dtype=torch.bool)
        rounds, users = (self.taken >= 0).nonzero(as_tuple=True)
        took[users, self.taken[rounds, users]] = True
        drawn = np.random.default_rng([self.seed, EVALUATION])
        first = torch.from_numpy(drawn.integers(0, len(took), 2000))
        other = (first + torch.from_numpy(drawn.integers(1, len(took), 2000))) % len(took)
        both, either = (took[first] & took[other]).sum(dim=1), (took[first] | took[other]).sum(dim=1)
        return float((both / either.clamp(min=1)).mean())

    def gini(self) -> float:
        """Gini index of how often each item was taken: 0 equally often, towards 1 always the same few."""
        return beyond_accuracy.gini(self.taken.T, len(self.world.positions))


def random_scores(generator: np.random.Generator, seen: Tensor) -> Tensor:
    """A number by chance for each unseen item, the lowest for those that were seen."""
    return torch.from_numpy(generator.random(seen.shape)).masked_fill(seen, -torch.inf)


def coded_interactions(users: Tensor, items: Tensor, ratings: Tensor, *sizes: int) -> Interactions:
    """Interactions over so many users and items whose codes are their own ids."""
    return Interactions(users, items, ratings, torch.zeros_like(users), *map(pd.RangeIndex, sizes))
