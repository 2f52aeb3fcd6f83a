"""Short lists for training: some of a user's items beside items that the user has not met."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, check_counts
from course_utils.learning import negatives

Slate = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class Slates:
    """Batches of slates; each pass over it is one epoch; taught in chapter 10.

    An epoch deals the interactions of each user into slates of at most ``positives`` items, in a new order each
    time. Each interaction occurs once. Beside them stand ``negatives`` items that the user has not met.
    A loss that compares inside a slate compares inside a user.

    Each pass yields tuples of four:

    - users: user codes, ``(B,)``; one slate each.
    - positives: item codes, ``(B, positives)``, padded with 0 where a user had no more.
    - real: True where a positive is not padding, ``(B, positives)``; at least one in a row.
    - negatives: item codes drawn by :func:`course_utils.learning.negatives.uniform`, ``(B, negatives)``.

    Args:
        interactions: the training part; an item is positive whatever its rating.
        positives: places for known items in a slate, at least 1.
        negatives: unseen items in a slate, at least 1.
        batch_size: slates a batch, at least 1; the last batch of an epoch may be shorter.
        generator: source of all the random numbers.

    Raises:
        InputError: a number is below 1, there is no interaction, or (in a pass) a user has met every item.
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
        if len(interactions.users) == 0:
            raise InputError("interactions", got="none", expected="at least one")
        self.interactions, self.generator = interactions, generator
        self.positives, self.negatives, self.batch_size = positives, negatives, batch_size
        counts = torch.bincount(interactions.users, minlength=interactions.n_users)
        self._starts = counts.cumsum(0) - counts  # where a user's interactions begin, users in order
        slates = -(-counts // positives)  # of each user, rounded up
        self._first = slates.cumsum(0) - slates  # a user's first slate
        self._users = torch.arange(interactions.n_users).repeat_interleave(slates)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._users) // self.batch_size)

    def __iter__(self) -> Iterator[Slate]:
        """One epoch, dealt anew."""
        items, real = self._deal()
        order = torch.randperm(len(self._users), generator=self.generator)
        for rows in order.split(self.batch_size):
            users = self._users[rows]
            unseen = negatives.uniform(self.interactions, users, self.negatives, generator=self.generator)
            yield users, items[rows], real[rows], unseen

    def _deal(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The positives of all slates and which of them are real, ``(n_slates, positives)`` each."""
        users = self.interactions.users
        order = torch.randperm(len(users), generator=self.generator)
        order = order[users[order].argsort(stable=True)]  # user by user, shuffled inside
        users = users[order]
        place = torch.arange(len(users)) - self._starts[users]  # 0, 1, 2, … for each user
        where = (self._first[users] + place // self.positives, place % self.positives)
        items = torch.zeros(len(self._users), self.positives, dtype=torch.long)
        real = torch.zeros_like(items, dtype=torch.bool)
        items[where], real[where] = self.interactions.items[order], True
        return items, real
