"""Short lists for training: some of a user's items beside items that the user has not met."""

from collections.abc import Iterator

import torch
from torch import Tensor

from course_utils.data.interactions import Interactions, check_sizes
from course_utils.errors import check_counts
from course_utils.learning import negatives


class Slates:
    """Batches of slates; each pass over it is one epoch; taught in chapter 10.

    An epoch deals the interactions of each user, whatever their ratings, into slates of at most ``positives`` items, in
    a new order each time; each interaction occurs once. A batch is a tuple: user codes, ``(B,)``, one slate each; the
    codes of positives, ``(B, positives)``, padded with 0; True where one is real, not padding; and codes drawn by
    :func:`course_utils.learning.negatives.uniform`, ``(B, negatives)``.
    """

    def __init__(
        self,
        interactions: Interactions,
        *,
        positives: int = 5,
        negatives: int = 25,
        batch_size: int = 256,
        generator: torch.Generator,
    ) -> None:
        check_counts(positives=positives, negatives=negatives, batch_size=batch_size)
        check_sizes(interactions)
        self.interactions, self.generator = interactions, generator
        self.positives, self.negatives, self.batch_size = positives, negatives, batch_size
        counts = torch.bincount(interactions.users, minlength=interactions.n_users)
        self._starts = counts.cumsum(0) - counts  # where a user's interactions begin, users in order
        slates = -(-counts // positives)  # of each user, rounded up
        self._first = slates.cumsum(0) - slates  # a user's first slate
        self._users = torch.arange(interactions.n_users).repeat_interleave(slates)

    def __len__(self) -> int:
        return -(-len(self._users) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        users = self.interactions.users
        order = torch.randperm(len(users), generator=self.generator)
        order = order[users[order].argsort(stable=True)]  # user by user, shuffled inside
        users = users[order]
        place = torch.arange(len(users)) - self._starts[users]  # 0, 1, 2, … for each user
        where = (self._first[users] + place // self.positives, place % self.positives)
        items = torch.zeros(len(self._users), self.positives, dtype=torch.long)  # of all slates
        real = torch.zeros_like(items, dtype=torch.bool)
        items[where], real[where] = self.interactions.items[order], True
        order = torch.randperm(len(self._users), generator=self.generator)
        for rows in order.split(self.batch_size):
            users = self._users[rows]
            unseen = negatives.uniform(self.interactions, users, self.negatives, generator=self.generator)
            yield users, items[rows], real[rows], unseen
