r"""Who fills the slates of a feedback loop: chance, an oracle, a recommender that learns; chapter 14.

And, in chapter 15, one that looks ahead: :func:`explore` counts how often action a in state s led to state s', and
what it gave; from the counts :func:`plan` finds the value of each action, now and later.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch

from course_utils import ranking
from course_utils.errors import check_choice, check_range, check_shape
from course_utils.simulation import world as parts
from course_utils.simulation.feedback_loop import FeedbackLoop

Objective = Literal["engagement", "satisfaction"]


class RandomSlates(parts.Policy):
    """No recommender: each slate is drawn from what the user has not taken yet. The control arm; chapter 14."""

    def slate(self, state: parts.State, users: torch.Tensor) -> torch.Tensor:
        """Unseen items at random, ``(len(users), K)``."""
        return ranking.top_k(parts.random_scores(self.generator, state.seen[users]), state.slate_size)


class Oracle(parts.Policy):
    """Knows every taste and shows what engages most, or what satisfies most: the end of the road; chapter 14."""

    def __init__(self, objective: Objective = "engagement") -> None:
        check_choice(get_args(Objective), objective=objective)
        self.objective = objective

    def slate(self, state: parts.State, users: torch.Tensor) -> torch.Tensor:
        """The best unseen items by the true value, ``(len(users), K)``."""
        taste, world = state.tastes[users, None], state.world
        if self.objective == "engagement":
            value = parts.engagement(taste, world.positions, state.appetite, state.bait_pull * world.bait)
        else:
            value = parts.closeness(taste, world.positions) * ~world.bait
        return ranking.top_k(value.masked_fill(state.seen[users], -torch.inf), state.slate_size)


@dataclass(eq=False)
class Retrained:
    """A recommender of this book, fitted again in each round to what was taken so far; chapter 14."""

    model: Callable[[], object]  # makes a fresh recommender, with fit(interactions) and score(users)
    _: KW_ONLY
    objective: Objective = "engagement"  # fitted to everything taken; or to what the user was satisfied with alone
    exploration: float = 0.0  # share of the places that are filled at random, in 0..1
    diversity: float = 0.0  # weight of unlikeness in the slate, in 0..1: one minus the trade-off of ranking.mmr

    def __post_init__(self) -> None:
        check_range("from 0 to 1", exploration=self.exploration, diversity=self.diversity)
        check_choice(get_args(Objective), objective=self.objective)

    def start(self, world: parts.World, generator: np.random.Generator) -> None:
        """Forget all rounds; keep what was taken before round 0."""
        self.generator, self.world = generator, world
        past = world.history
        kept = (past.ratings > 0) | (self.objective == "engagement")
        self._log = [(past.users[kept], past.items[kept])]

    def slate(self, state: parts.State, users: torch.Tensor) -> torch.Tensor:
        """The best unseen items by the model's scores, ``(len(users), K)``."""
        who, what = (torch.cat(column) for column in zip(*self._log, strict=True))
        past = parts.coded_interactions(who, what, torch.ones(len(who), dtype=torch.float64), *state.seen.shape)
        fitted, seen, size = self.model().fit(past), state.seen[users], state.slate_size
        # equal scores are decided by chance, never by the last digit of a sum
        ties = torch.from_numpy(self.generator.random(seen.shape)) * 1e-6
        scores = (fitted.score(users).double() + ties).masked_fill(seen, -torch.inf)
        slates = self._diverse(scores, size) if self.diversity else ranking.top_k(scores, size)
        return self._explored(slates, seen) if self.exploration else slates

    def update(self, feedback: parts.Feedback) -> None:
        """Keep what was taken, or what satisfied."""
        kept = feedback.satisfied if self.objective == "satisfaction" else feedback.taken >= 0
        self._log.append((kept.nonzero().squeeze(1), feedback.taken[kept]))

    def _diverse(self, scores: torch.Tensor, size: int) -> torch.Tensor:
        items, relevance = ranking.shortlist(scores, min(50, scores.shape[1]))
        x = self.world.positions[items]
        likeness = parts.closeness(x[:, :, None], x[:, None, :])
        return items.gather(1, ranking.mmr(relevance, likeness, size, 1 - self.diversity))

    def _explored(self, slates: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Some places filled with unseen items that are not in the slate yet."""
        other = parts.random_scores(self.generator, seen).scatter(1, slates, -torch.inf)
        chosen = torch.from_numpy(self.generator.random(slates.shape)) < self.exploration
        return torch.where(chosen, ranking.top_k(other, slates.shape[1]), slates)


OFFSETS = np.array([-0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4])  # of the slate's middle, away from 0
STATES = 10  # bins of the distance of the guessed taste from 0: left and right are mirror images


class Counts(NamedTuple):
    """What followed what."""

    moves: np.ndarray  # how often action a in state s led to state s', (STATES, len(OFFSETS), STATES)
    clicks: np.ndarray  # how often an item was taken, (STATES, len(OFFSETS))
    satisfied: np.ndarray  # how often it was worth it, likewise


class OffsetPolicy:
    """Reads the value of each action in each state, ``(STATES, len(OFFSETS))``, from a table; taught in chapter 15.

    The guess of a taste starts with the mean position of what the user took before round 0 and moves a tenth of the
    way towards each item taken. The state is its distance from 0. The best action is taken, without a table any by
    chance: the slate are the unseen items nearest to the guess plus the offset, outwards.
    """

    def __init__(self, table: np.ndarray | None = None) -> None:
        if table is not None:
            check_shape(STATES, len(OFFSETS), table=table)
        self.table = table

    def start(self, world: parts.World, generator: np.random.Generator) -> None:
        """Forget the counts, and guess tastes from what was taken before round 0."""
        self.generator, self.positions = generator, world.positions.numpy()
        shape = STATES, len(OFFSETS)
        self.counts = Counts(np.zeros((*shape, STATES)), np.zeros(shape), np.zeros(shape))
        users, items = world.history.users.numpy(), world.history.items.numpy()
        count = np.bincount(users, minlength=world.history.n_users)
        self.guess = np.bincount(users, self.positions[items], len(count)) / np.maximum(count, 1)

    def slate(self, state: parts.State, users: torch.Tensor) -> torch.Tensor:
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

    def update(self, feedback: parts.Feedback) -> None:
        """Move the guesses, and count."""
        taken, satisfied = feedback.taken.numpy(), feedback.satisfied.numpy()
        took = taken >= 0
        self.guess = self.guess + 0.1 * took * (self.positions[taken] - self.guess)
        tried = self.states, self.actions
        np.add.at(self.counts.moves, (*tried, _state(self.guess)), 1)
        np.add.at(self.counts.clicks, tried, took)
        np.add.at(self.counts.satisfied, tried, satisfied)


def explore(seeds: tuple[int, ...], **knobs: object) -> Counts:
    """Try actions by chance in loops of these seeds and knobs, and count; judge a policy in others; chapter 15."""
    policies = [OffsetPolicy() for _ in seeds]
    for seed, policy in zip(seeds, policies, strict=True):
        FeedbackLoop(seed=seed, **knobs).run(policy)
    return Counts(*map(sum, zip(*(policy.counts for policy in policies), strict=True)))


def plan(counts: Counts, discount: float, reward: Literal["clicks", "satisfied"] = "clicks") -> np.ndarray:
    r"""The value of each action, now and later, ``(STATES, len(OFFSETS))``, in rewards; taught in chapter 15.

    Value iteration puts the right side of :math:`Q(s, a) = \bar r(s, a) + \gamma \sum_{s'} P(s' \mid s, a)
    \max_{a'} Q(s', a')` into the left until nothing changes. With a discount γ of 0 the policy is myopic: a bandit for
    each state. An action that was never tried in a state is worth nothing there.
    """
    check_range("0 or more, below 1", discount=discount)  # at 1 the sum of all rewards has no end
    check_choice(("clicks", "satisfied"), reward=reward)
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
