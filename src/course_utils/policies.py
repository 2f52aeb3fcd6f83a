"""Who fills the slates of a feedback loop: chance, an oracle, a recommender that learns (floor 4); chapter 14.

A policy is told of the world before round 0, gives a slate to each user in every round, and hears what was taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
import torch

from course_utils import metrics, rerank
from course_utils.errors import InputError
from course_utils.interactions import Interactions
from course_utils.loop_parts import Feedback, State, World, closeness, engagement


class RandomSlates:
    """No recommender: each slate is drawn from what the user has not taken yet. The control arm; chapter 14."""

    def start(self, world: World, generator: np.random.Generator) -> None:
        """Keep the generator."""
        self.generator = generator

    def slate(self, state: State, users: torch.Tensor) -> torch.Tensor:
        """Unseen items at random, ``(len(users), K)``."""
        return metrics.top_k(random_scores(self.generator, state.seen[users]), state.slate_size)

    def update(self, feedback: Feedback) -> None:
        """Learn nothing."""


class Oracle:
    """Knows every taste and shows what engages most, or what satisfies most: the end of the road; chapter 14.

    Args:
        objective: ``"engagement"`` or ``"satisfaction"``.
    """

    def __init__(self, objective: Literal["engagement", "satisfaction"] = "engagement") -> None:
        self.objective = _one_of("objective", objective, ("engagement", "satisfaction"))

    def start(self, world: World, generator: np.random.Generator) -> None:
        """Nothing to forget."""

    def slate(self, state: State, users: torch.Tensor) -> torch.Tensor:
        """The best unseen items by the true value, ``(len(users), K)``."""
        taste, world = state.tastes[users, None], state.world
        if self.objective == "engagement":
            value = engagement(taste, world.positions, state.appetite, state.bait_pull * world.bait)
        else:
            value = closeness(taste, world.positions) * ~world.bait
        return metrics.top_k(value.masked_fill(state.seen[users], -torch.inf), state.slate_size)

    def update(self, feedback: Feedback) -> None:
        """Nothing to learn."""


class Retrained:
    """A recommender of this book, fitted again to everything that was taken so far; chapter 14.

    Args:
        model: makes a fresh recommender, with ``fit(interactions)`` and ``score(users)``.
        objective: what it is fitted to: ``"engagement"`` takes everything that was taken, ``"satisfaction"`` only
            what the user was satisfied with.
        exploration: share of the places that are filled at random, in 0..1.
        diversity: weight of unlikeness in the slate, in 0..1: one minus the trade-off of ``rerank.mmr``.
        every: rounds between two fits, at least 1.
    """

    def __init__(
        self,
        model: Callable[[], object],
        *,
        objective: Literal["engagement", "satisfaction"] = "engagement",
        exploration: float = 0.0,
        diversity: float = 0.0,
        every: int = 1,
    ) -> None:
        for name, value in (("exploration", exploration), ("diversity", diversity)):
            if not 0 <= value <= 1:
                raise InputError(name, got=value, expected="a number in 0..1")
        self.objective = _one_of("objective", objective, ("engagement", "satisfaction"))
        self.model, self.exploration, self.diversity, self.every = model, exploration, diversity, every

    def start(self, world: World, generator: np.random.Generator) -> None:
        """Forget all rounds; keep what was taken before round 0."""
        self.generator, self.world = generator, world
        past = world.history
        kept = past.ratings > 0 if self.objective == "satisfaction" else torch.ones(len(past), dtype=bool)
        self._log = [(past.users[kept], past.items[kept])]

    def slate(self, state: State, users: torch.Tensor) -> torch.Tensor:
        """The best unseen items by the model's scores, ``(len(users), K)``; fits first when its time has come."""
        if state.round % self.every == 0:
            self.fitted = self.model().fit(self.log())
        seen, size = state.seen[users], state.slate_size
        # equal scores are decided by chance, never by the last digit of a sum
        ties = torch.from_numpy(self.generator.random(seen.shape)) * 1e-6
        scores = (self.fitted.score(users).double() + ties).masked_fill(seen, -torch.inf)
        slates = self._diverse(scores, size) if self.diversity else metrics.top_k(scores, size)
        if self.exploration:
            slates = self._explored(slates, seen)
        return slates

    def update(self, feedback: Feedback) -> None:
        """Keep what was taken, or what satisfied."""
        kept = feedback.satisfied if self.objective == "satisfaction" else feedback.taken >= 0
        self._log.append((kept.nonzero().squeeze(1), feedback.taken[kept]))

    def log(self) -> Interactions:
        """Everything that the model is fitted to."""
        users, items = (torch.cat(column) for column in zip(*self._log, strict=True))
        return coded_interactions(users, items, self.world.history.n_users, len(self.world.positions))

    def _diverse(self, scores: torch.Tensor, size: int) -> torch.Tensor:
        items, relevance = rerank.shortlist(scores, min(50, scores.shape[1]))
        x = self.world.positions[items]
        likeness = closeness(x[:, :, None], x[:, None, :])
        return items.gather(1, rerank.mmr(relevance, likeness, size, 1 - self.diversity))

    def _explored(self, slates: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Some places filled with unseen items that are not in the slate yet."""
        other = random_scores(self.generator, seen).scatter(1, slates, -torch.inf)
        chosen = torch.from_numpy(self.generator.random(slates.shape)) < self.exploration
        return torch.where(chosen, metrics.top_k(other, slates.shape[1]), slates)


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


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise InputError(name, got=repr(value), expected=f"one of {known}")
    return value
