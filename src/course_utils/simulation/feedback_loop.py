"""A feedback loop of people, a catalogue and a recommender that learns from its own lists; chapter 14.

Everything lies on one axis from -1 to 1: a **taste** for each user, a **position** for each item. How far a position
is from the middle is its **extremity**. Each round a policy shows each user a slate, the user takes one item or
none, the taste may follow what was taken, and the policy may learn. Sizes: ``U`` users, ``I`` items, ``T`` rounds,
slates of ``K``.

Random numbers come from streams of their own: one for the world, one for what users do, one for the policy, one for
evaluation. What a user does with an item in a round has one number, whatever else is shown: two policies meet the
same people with the same moods. Chapter 15 puts a learned policy in.

    loop = FeedbackLoop(appetite=1.0, drift=0.1, seed=0)
    with_it, without = loop.run(Retrained(lambda: EASE(20))), loop.run(RandomSlates())
    with_it.table()["taste extremity"] - without.table()["taste extremity"]
"""

from __future__ import annotations

import numpy as np
import torch

from course_utils import ranking
from course_utils.errors import InputError
from course_utils.simulation.world import (
    MOODS,
    PEOPLE,
    POLICY,
    WORLD,
    Feedback,
    Policy,
    Run,
    State,
    World,
    closeness,
    coded_interactions,
    engagement,
    random_scores,
    stream,
)


class FeedbackLoop:
    r"""People, a catalogue, and what happens when lists are shown; taught in chapter 14.

    A user takes item i of a slate with probability :math:`w_i / (w_0 + \sum_j w_j)`, where :math:`w` is
    :func:`engagement` and :math:`w_0` the weight of taking nothing. Then
    :math:`\theta \leftarrow \theta + \zeta (x_i - \theta)`.

    Args:
        n_users: U, at least 2.
        n_items: I, more than ``rounds + warm_up + 2 slate_size``.
        rounds: T, at least 1.
        slate_size: K, at least 2.
        appetite: ψ, 0 or more: how much extremity itself attracts.
        drift: ζ in 0..1: the share of the way that a taste goes towards what was taken.
        nothing: w₀, above 0.
        bait_share: share of the items that are bait, in 0..1.
        bait_pull: m, 0 or more: how much more bait attracts.
        warm_up: rounds of random slates before round 0, with tastes at rest, at least 1.
        tastes: tastes at the start lie evenly within ± this number, in 0..1.
        seed: another seed gives another world and other moods.

    Raises:
        InputError: a number is out of range.
    """

    def __init__(
        self,
        n_users: int = 500,
        n_items: int = 500,
        rounds: int = 50,
        *,
        slate_size: int = 5,
        appetite: float = 1.0,
        drift: float = 0.1,
        nothing: float = 2.0,
        bait_share: float = 0.0,
        bait_pull: float = 0.0,
        warm_up: int = 10,
        tastes: float = 0.5,
        seed: int = 0,
    ) -> None:
        for name, value, low in (
            ("n_users", n_users, 2),
            ("rounds", rounds, 1),
            ("slate_size", slate_size, 2),
            ("appetite", appetite, 0),
            ("bait_pull", bait_pull, 0),
            ("warm_up", warm_up, 1),
        ):
            if not value >= low:
                raise InputError(name, got=value, expected=f"{low} or more")
        for name, value in (("drift", drift), ("bait_share", bait_share), ("tastes", tastes)):
            if not 0 <= value <= 1:
                raise InputError(name, got=value, expected="a number in 0..1")
        if not nothing > 0:
            raise InputError("nothing", got=nothing, expected="a number above 0")
        if not n_items > rounds + warm_up + 2 * slate_size:
            expected = "more than rounds + warm_up + 2 slate_size, so that nobody runs out of items"
            raise InputError("n_items", got=n_items, expected=expected)
        self.n_users, self.n_items, self.rounds, self.slate_size = n_users, n_items, rounds, slate_size
        self.appetite, self.drift, self.nothing, self.bait_pull = appetite, drift, nothing, bait_pull
        self.warm_up, self.seed = warm_up, seed
        self.world = self._make_world(bait_share, tastes)

    def run(self, policy: Policy) -> Run:
        """All rounds with one policy. The same policy gives the same numbers again.

        Raises:
            InputError: a slate has the wrong shape, an unknown or a seen item, or the same item twice.
        """
        policy.start(self.world, stream(self.seed, POLICY))
        users = torch.arange(self.n_users)
        tastes, seen = [self.world.tastes], self.world.history.mask()
        shown, taken, satisfied = [], [], []
        for now in range(self.rounds):
            state = State(
                now, self.world, seen.clone(), tastes[-1], self.slate_size, self.appetite, self.bait_pull
            )
            slates = self._check(policy.slate(state, users), seen)
            choice, happy = self._take(slates, tastes[-1], self.warm_up + now)
            policy.update(Feedback(now, slates, choice, happy))
            real = choice >= 0
            seen[users[real], choice[real]] = True
            step = self.drift * (self.world.positions[choice] - tastes[-1])
            tastes.append(torch.where(real, tastes[-1] + step, tastes[-1]))
            for column, value in ((shown, slates), (taken, choice), (satisfied, happy)):
                column.append(value)
        return Run(self.world, *(torch.stack(c) for c in (tastes, shown, taken, satisfied)), seed=self.seed)

    def _make_world(self, bait_share: float, width: float) -> World:
        """Items, users, and their history from random slates."""
        items, people = stream(self.seed, WORLD), stream(self.seed, PEOPLE)
        positions = torch.from_numpy(items.uniform(-1, 1, self.n_items))
        bait = torch.from_numpy(items.random(self.n_items)) < bait_share
        tastes = torch.from_numpy(people.uniform(-width, width, self.n_users))
        empty = torch.zeros(0, dtype=torch.long)
        history = coded_interactions(empty, empty, self.n_users, self.n_items)
        self.world = World(tastes, positions, bait, history)
        seen, users, rows = history.mask(), torch.arange(self.n_users), []
        for now in range(self.warm_up):
            slates = ranking.top_k(random_scores(people, seen), self.slate_size)
            taken, satisfied = self._take(slates, tastes, now)
            real = taken >= 0
            seen[users[real], taken[real]] = True
            rows.append((users[real], taken[real], satisfied[real].double()))
        who, what, worth = (torch.cat(column) for column in zip(*rows, strict=True))
        return World(
            tastes, positions, bait, coded_interactions(who, what, self.n_users, self.n_items, worth)
        )

    def _take(
        self, slates: torch.Tensor, tastes: torch.Tensor, now: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What each user takes, ``(U,)``, and whether it satisfied. One mood a round, user and item."""
        draws = stream(self.seed, MOODS, now)
        moods = torch.from_numpy(draws.gumbel(size=(self.n_users, self.n_items + 1)))
        doubt = torch.from_numpy(draws.random(self.n_users))
        world = self.world
        bait = self.bait_pull * world.bait[slates]
        weight = engagement(tastes[:, None], world.positions[slates], self.appetite, bait)
        attraction = weight.log() + moods.gather(1, slates)
        best, place = attraction.max(dim=1)
        taken = slates.gather(1, place[:, None]).squeeze(1)
        taken = taken.masked_fill(best < np.log(self.nothing) + moods[:, -1], -1)
        worth = closeness(tastes, world.positions[taken]) * ~world.bait[taken]
        return taken, (taken >= 0) & (doubt < worth)

    def _check(self, slates: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        slates = torch.as_tensor(slates)
        shape = (self.n_users, self.slate_size)
        if tuple(slates.shape) != shape or slates.dtype != torch.long:
            got = f"{slates.dtype} {tuple(slates.shape)}"
            raise InputError("slate", got=got, expected=f"item codes, torch.long {shape}")
        if int(slates.min()) < 0 or int(slates.max()) >= self.n_items:
            got = f"codes {int(slates.min())}..{int(slates.max())}"
            raise InputError("slate", got=got, expected=f"codes in 0..{self.n_items - 1}")
        if bool(seen.gather(1, slates).any()):
            raise InputError("slate", got="an item that its user has taken", expected="unseen items")
        ordered = slates.sort(dim=1).values
        if bool((ordered[:, 1:] == ordered[:, :-1]).any()):
            raise InputError("slate", got="an item twice", expected="different items")
        return slates
