r"""Who fills the slates of a feedback loop: chance, an oracle, a recommender that learns; chapter 14.

A policy is told of the world before round 0, gives a slate to each user in every round, and hears what was taken.

The loop of chapter 14 lies on one axis. What a user is like is guessed from what the user took: the **state**. The
**action** is how far out from there the slate lies. The **reward** is what comes back in the round. Both are few, so
what happens can be counted: :func:`explore` counts how often action a in state s led to state s', and what it gave.
:func:`plan` turns the counts into the value of each action, now and later,

.. math:: Q(s, a) = \bar r(s, a) + \gamma \sum_{s'} P(s' \mid s, a) \max_{a'} Q(s', a') ,

by putting the right side into the left until nothing changes (value iteration). With
:math:`\gamma = 0` the policy is myopic: a bandit for each state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from course_utils import ranking
from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.simulation.feedback_loop import FeedbackLoop
from course_utils.simulation.world import (
    Feedback,
    State,
    World,
    closeness,
    coded_interactions,
    engagement,
    random_scores,
)


class RandomSlates:
    """No recommender: each slate is drawn from what the user has not taken yet. The control arm; chapter 14."""

    def start(self, world: World, generator: np.random.Generator) -> None:
        """Keep the generator."""
        self.generator = generator

    def slate(self, state: State, users: torch.Tensor) -> torch.Tensor:
        """Unseen items at random, ``(len(users), K)``."""
        return ranking.top_k(random_scores(self.generator, state.seen[users]), state.slate_size)

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
        return ranking.top_k(value.masked_fill(state.seen[users], -torch.inf), state.slate_size)

    def update(self, feedback: Feedback) -> None:
        """Nothing to learn."""


class Retrained:
    """A recommender of this book, fitted again to everything that was taken so far; chapter 14.

    Args:
        model: makes a fresh recommender, with ``fit(interactions)`` and ``score(users)``.
        objective: what it is fitted to: ``"engagement"`` takes everything that was taken, ``"satisfaction"`` only
            what the user was satisfied with.
        exploration: share of the places that are filled at random, in 0..1.
        diversity: weight of unlikeness in the slate, in 0..1: one minus the trade-off of ``ranking.mmr``.
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
        slates = self._diverse(scores, size) if self.diversity else ranking.top_k(scores, size)
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
        items, relevance = ranking.shortlist(scores, min(50, scores.shape[1]))
        x = self.world.positions[items]
        likeness = closeness(x[:, :, None], x[:, None, :])
        return items.gather(1, ranking.mmr(relevance, likeness, size, 1 - self.diversity))

    def _explored(self, slates: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Some places filled with unseen items that are not in the slate yet."""
        other = random_scores(self.generator, seen).scatter(1, slates, -torch.inf)
        chosen = torch.from_numpy(self.generator.random(slates.shape)) < self.exploration
        return torch.where(chosen, ranking.top_k(other, slates.shape[1]), slates)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise InputError(name, got=repr(value), expected=f"one of {known}")
    return value


# ---- a policy that looks ahead ---------------------------------------------------------------------------------


OFFSETS = np.array([-0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4])  # of the slate's middle, away from 0
STATES = 10  # bins of the distance of the guessed taste from 0


@dataclass(frozen=True)
class Counts:
    """What followed what.

    Attributes:
        moves: how often action a in state s led to state s', ``(STATES, len(OFFSETS), STATES)``.
        clicks: how often an item was taken, ``(STATES, len(OFFSETS))``.
        satisfied: how often it was worth it, ``(STATES, len(OFFSETS))``.
    """

    moves: np.ndarray
    clicks: np.ndarray
    satisfied: np.ndarray


class OffsetPolicy:
    """A policy for :class:`course_utils.simulation.feedback_loop.FeedbackLoop` that reads a table; chapter 15.

    The guess of a taste starts with the mean position of what the user took before round 0 and moves a tenth of the
    way towards each item taken. The state is its distance from 0 in ten bins: left and right are mirror images. The
    slate are the unseen items nearest to the guess plus the offset, outwards.

    Args:
        table: value of each action in each state, ``(STATES, len(OFFSETS))``; the best is taken. None: any action,
            by chance.

    Attributes:
        counts: what happened since ``start``.

    Raises:
        InputError: the table has another shape.
    """

    def __init__(self, table: np.ndarray | None = None) -> None:
        shape = (STATES, len(OFFSETS))
        if table is not None and np.shape(table) != shape:
            raise InputError("table", got=f"shape {np.shape(table)}", expected=f"shape {shape}")
        self.table = table

    def start(self, world: World, generator: np.random.Generator) -> None:
        """Forget the counts, and guess tastes from what was taken before round 0."""
        self.generator, self.positions = generator, world.positions.numpy()
        shape = (STATES, len(OFFSETS))
        self.counts = Counts(np.zeros((*shape, STATES)), np.zeros(shape), np.zeros(shape))
        users, items = world.history.users.numpy(), world.history.items.numpy()
        n = world.history.n_users
        self.guess = np.bincount(users, self.positions[items], n) / np.maximum(
            np.bincount(users, minlength=n), 1
        )

    def slate(self, state: State, users: torch.Tensor) -> torch.Tensor:
        """The unseen items nearest to where the action points, ``(len(users), K)``."""
        guess = self.guess[users.numpy()]
        self.states = _state(guess)
        if self.table is None:
            self.actions = self.generator.integers(0, len(OFFSETS), len(guess))
        else:
            self.actions = self.table.argmax(axis=1)[self.states]
        middle = np.clip(guess + np.sign(guess) * OFFSETS[self.actions], -1, 1)
        far = torch.from_numpy(np.abs(self.positions - middle[:, None])).round(decimals=9)
        return ranking.top_k((-far).masked_fill(state.seen[users], -torch.inf), state.slate_size)

    def update(self, feedback: Feedback) -> None:
        """Move the guesses, and count."""
        taken, satisfied = feedback.taken.numpy(), feedback.satisfied.numpy()
        took = taken >= 0
        self.guess = self.guess + 0.1 * took * (self.positions[taken] - self.guess)
        tried = (self.states, self.actions)
        np.add.at(self.counts.moves, (*tried, _state(self.guess)), 1)
        np.add.at(self.counts.clicks, tried, took)
        np.add.at(self.counts.satisfied, tried, satisfied)


def explore(seeds: tuple[int, ...], **knobs: object) -> Counts:
    """Try actions by chance in loops of these seeds, and count what followed; taught in chapter 15.

    Args:
        seeds: of the loops. Judge a policy in loops of other seeds.
        knobs: of :class:`course_utils.simulation.feedback_loop.FeedbackLoop`.
    """
    found = []
    for seed in seeds:
        policy = OffsetPolicy()
        FeedbackLoop(seed=seed, **knobs).run(policy)
        found.append(policy.counts)
    return Counts(*(sum(getattr(c, name) for c in found) for name in ("moves", "clicks", "satisfied")))


def plan(counts: Counts, discount: float, reward: Literal["clicks", "satisfied"] = "clicks") -> np.ndarray:
    """The value of each action by value iteration; taught in chapter 15.

    Args:
        counts: what followed what. An action that was never tried in a state is worth nothing there.
        discount: γ, 0 or more and below 1: what a reward one round later counts.
        reward: ``"clicks"``: 1 for an item taken; ``"satisfied"``: 1 for an item that was worth it.

    Returns:
        Q, ``(STATES, len(OFFSETS))``, in rewards.

    Raises:
        InputError: an argument is out of range.
    """
    if not 0 <= discount < 1:
        raise InputError("discount", got=discount, expected="0 or more, and below 1")
    if reward not in ("clicks", "satisfied"):
        raise InputError("reward", got=repr(reward), expected="'clicks' or 'satisfied'")
    tried = np.maximum(counts.moves.sum(axis=2), 1)
    mean, chance = getattr(counts, reward) / tried, counts.moves / tried[..., None]
    values, change = np.zeros_like(mean), np.inf
    while change > 1e-10:  # shrinks by the discount at each turn
        old = values
        values = mean + discount * chance @ old.max(axis=1)
        change = np.abs(values - old).max()
    return values


def _state(guess: np.ndarray) -> np.ndarray:
    """The bin of a guess's distance from 0."""
    return np.minimum((np.abs(guess) * STATES).astype(int), STATES - 1)
