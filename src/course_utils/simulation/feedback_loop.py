"""A feedback loop of people, a catalogue and a recommender that learns from its own lists; chapter 14.

Everything lies on one axis from -1 to 1: a user's **taste**, an item's **position**, whose distance from 0 is its
**extremity**. Each round a policy shows a slate, users take one item or none, tastes may follow, policies learn.

The world, what users do, the policy and the evaluation have random numbers of their own. What a user does with an
item in a round has one number, whatever else is shown: two policies meet the same people with the same moods.

    loop = FeedbackLoop(appetite=1.0, drift=0.1, seed=0)
    loop.run(Retrained(lambda: EASE(20))).table()["taste extremity"]
"""

from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from torch import Tensor

from course_utils import ranking
from course_utils.data.interactions import check_codes
from course_utils.errors import InputError, check_counts, check_range, check_shape, refuse
from course_utils.simulation import world as parts


@dataclass(eq=False)
class FeedbackLoop:
    r"""People, a catalogue, and what happens when lists are shown; taught in chapter 14.

    A user takes item i of a slate with probability :math:`w_i / (w_0 + \sum_j w_j)`, where :math:`w` is
    :func:`engagement` and :math:`w_0` the weight of taking nothing. Then
    :math:`\theta \leftarrow \theta + \zeta (x_i - \theta)`. ``world`` is who and what is there before round 0.
    """

    n_users: int = 500  # U
    n_items: int = 500  # I, more than rounds + warm_up + 2 slate_size, so that nobody runs out of items
    rounds: int = 50  # T
    _: KW_ONLY
    slate_size: int = 5  # K, at least 2
    appetite: float = 1.0  # ψ, 0 or more: how much extremity itself attracts
    drift: float = 0.1  # ζ in 0..1: the share of the way that a taste goes towards what was taken
    nothing: float = 2.0  # w₀, above 0
    bait_share: float = 0.0  # share of the items that are bait
    bait_pull: float = 0.0  # m, 0 or more: how much more bait attracts
    warm_up: int = 10  # rounds of random slates before round 0, with tastes at rest
    tastes: float = 0.5  # at the start they lie evenly within ± this number, in 0..1
    seed: int = 0  # another one gives another world and other moods

    def __post_init__(self) -> None:
        check_counts(rounds=self.rounds, warm_up=self.warm_up)
        check_counts(2, n_users=self.n_users, slate_size=self.slate_size)
        check_counts(self.rounds + self.warm_up + 2 * self.slate_size + 1, n_items=self.n_items)
        check_range("0 or more", appetite=self.appetite, bait_pull=self.bait_pull)
        check_range("from 0 to 1", drift=self.drift, bait_share=self.bait_share, tastes=self.tastes)
        check_range("above 0", nothing=self.nothing)
        self._make_world()

    def run(self, policy: parts.Policy) -> parts.Run:
        """All rounds with one policy, which is held to the rules of slates; the same numbers each time."""
        policy.start(self.world, np.random.default_rng([self.seed, parts.POLICY]))
        users, knobs = torch.arange(self.n_users), (self.slate_size, self.appetite, self.bait_pull)
        tastes, seen, rounds = [self.world.tastes], self.world.history.mask(), []
        for now in range(self.rounds):
            state = parts.State(self.world, seen.clone(), tastes[-1], *knobs)
            slates = self._checked(policy.slate(state, users), seen)
            taken, satisfied = self._take(slates, tastes[-1], seen, self.warm_up + now)
            policy.update(parts.Feedback(slates, taken, satisfied))
            step = self.drift * (self.world.positions[taken] - tastes[-1])
            tastes.append(torch.where(taken >= 0, tastes[-1] + step, tastes[-1]))
            rounds.append((slates, taken, satisfied))
        return parts.Run(self.world, torch.stack(tastes), *map(torch.stack, zip(*rounds, strict=True)), self.seed)

    def _make_world(self) -> None:
        """Items, users, and their history from random slates."""
        items, people = (np.random.default_rng([self.seed, purpose]) for purpose in (parts.WORLD, parts.PEOPLE))
        positions = torch.from_numpy(items.uniform(-1, 1, self.n_items))
        bait = torch.from_numpy(items.random(self.n_items)) < self.bait_share
        tastes = torch.from_numpy(people.uniform(-self.tastes, self.tastes, self.n_users))
        self.world = parts.World(tastes, positions, bait, history=None)  # it is about to happen
        seen, rows = torch.zeros(self.n_users, self.n_items, dtype=torch.bool), []
        for now in range(self.warm_up):
            slates = ranking.top_k(parts.random_scores(people, seen), self.slate_size)
            taken, satisfied = self._take(slates, tastes, seen, now)
            users = (taken >= 0).nonzero().squeeze(1)
            rows.append((users, taken[users], satisfied[users].double()))
        columns = (torch.cat(column) for column in zip(*rows, strict=True))
        self.world = self.world._replace(history=parts.coded_interactions(*columns, self.n_users, self.n_items))

    def _take(self, slates: Tensor, tastes: Tensor, seen: Tensor, now: int) -> tuple[Tensor, Tensor]:
        """What each user takes, ``(U,)``, seen from now on, and whether it satisfied; a mood a round, user and item."""
        world, draws = self.world, np.random.default_rng([self.seed, parts.MOODS, now])
        moods = torch.from_numpy(draws.gumbel(size=(self.n_users, self.n_items + 1)))
        doubt = torch.from_numpy(draws.random(self.n_users))
        bait = self.bait_pull * world.bait[slates]
        weight = parts.engagement(tastes[:, None], world.positions[slates], self.appetite, bait)
        # The largest of log weight + Gumbel noise wins with a chance in proportion to its weight.
        best, place = (weight.log() + moods.gather(1, slates)).max(dim=1)
        taken = slates.gather(1, place[:, None]).squeeze(1)
        taken = taken.masked_fill(best < np.log(self.nothing) + moods[:, -1], -1)
        users = (taken >= 0).nonzero().squeeze(1)
        seen[users, taken[users]] = True
        worth = parts.closeness(tastes, world.positions[taken]) * ~world.bait[taken]
        return taken, (taken >= 0) & (doubt < worth)

    def _checked(self, slates: Tensor, seen: Tensor) -> Tensor:
        slates = torch.as_tensor(slates)
        check_shape(self.n_users, self.slate_size, slate=slates)
        refuse(slates.dtype != torch.long, "slate", slates.dtype, "item codes, torch.long")
        check_codes(slates.flatten(), self.n_items, "slate")
        if seen.gather(1, slates).any() or (slates.sort(dim=1).values.diff(dim=1) == 0).any():
            raise InputError("slate", got="an item twice, or one that its user has taken", expected="new items")
        return slates
