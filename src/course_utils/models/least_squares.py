"""Least squares for all rows of a sparse matrix at once; taught in chapter 5.

Sizes: ``R`` rows, ``C`` columns, ``N`` stored entries, ``F`` factors; a batch has ``B`` rows of ``L`` places.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import embedding

from course_utils.data.interactions import Interactions, check_sizes, csr_tensor
from course_utils.errors import InputError, check_shape

_NUMBERS = 2**18  # in the largest array of a batch: 1 MB in float32, which the caches of a core hold


@dataclass(frozen=True)
class Rows:
    """The stored entries of a sparse matrix, grouped by row."""

    starts: Tensor  # entries of row r are starts[r] .. starts[r + 1] - 1; (R + 1,)
    columns: Tensor  # of each entry, (N,)
    values: Tensor  # (N,)
    n_columns: int  # C
    _batches: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = field(default_factory=dict, init=False)  # by width

    @classmethod
    def from_entries(cls, rows: Tensor, columns: Tensor, values: Tensor, n_rows: int, n_columns: int) -> Self:
        """Sort entries ``(row, column, value)``, each tensor ``(N,)``, by row and then by column."""
        order = torch.argsort(rows * n_columns + columns)
        starts = torch.zeros(n_rows + 1, dtype=torch.long)
        starts[1:] = torch.bincount(rows, minlength=n_rows).cumsum(0)
        return cls(starts, columns[order], values[order], n_columns)

    @classmethod
    def both_sides(cls, interactions: Interactions, values: Tensor) -> tuple[Self, Self]:
        """Interactions, one or more, with a value each, ``(N,)``: a row a user, and again a row an item."""
        check_sizes(interactions)
        pairs, shape = (interactions.users, interactions.items), (interactions.n_users, interactions.n_items)
        return cls.from_entries(*pairs, values, *shape), cls.from_entries(*pairs[::-1], values, *shape[::-1])

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def lengths(self) -> Tensor:
        """Number of entries of each row, ``(R,)``."""
        return self.starts.diff()

    def matrix(self, values: Tensor) -> Tensor:
        """A sparse ``(R, C)`` tensor with other values, ``(N,)``, in the places of the entries."""
        starts, columns = self._short
        return csr_tensor(starts, columns, values, (len(self), self.n_columns))

    @cached_property
    def _short(self) -> tuple[Tensor, Tensor]:
        """Starts and columns in 32 bits, which a sparse product would make at each call."""
        return self.starts.int(), self.columns.int()

    def products(self, X: Tensor, Y: Tensor) -> Tensor:
        r"""Products :math:`x_u \cdot y_i` of ``(R, F)`` and ``(C, F)`` in the places of the entries, ``(N,)``."""
        return torch.sparse.sampled_addmm(self.matrix(self.values), X, Y.mT, beta=0).values()

    def batches(self, width: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """All rows in batches, padded to one length and bounded in memory when a place fetches ``width`` numbers.

        Of each: codes of the rows ``(B,)``; the column of each place ``(B, L)``, ``C`` for padding; and its place among
        the entries ``(B, L)``, ``N`` for padding. Their lengths differ by a factor of 1.25 at most.
        """
        if width in self._batches:
            return self._batches[width]
        order = torch.argsort(self.lengths, stable=True)
        level = (self.lengths[order].clamp(min=1).double().log() / math.log(1.25)).ceil()
        sizes = torch.unique_consecutive(level, return_counts=True)[1].tolist()
        columns, batches = pad(self.columns, self.n_columns), []
        for group in order.split(sizes):
            numbers = width * max(int(self.lengths[group[-1]]), width)  # that a row of the group can take
            for ids in group.split(max(1, _NUMBERS // numbers)):
                places = torch.arange(int(self.lengths[ids[-1]]))
                inside = places < self.lengths[ids, None]
                entries = torch.where(inside, self.starts[ids, None] + places, len(self.columns))
                batches.append((ids, columns[entries], entries))
        self._batches[width] = batches
        return batches


def pad(values: Tensor, filler: float = 0) -> Tensor:
    """The tensor with one more row that holds ``filler``: what the places of the padding fetch."""
    return torch.cat([values, values.new_full((1, *values.shape[1:]), filler)])


def solve(gram: Tensor, right: Tensor) -> Tensor:
    """Solve positive definite systems ``(B, F, F)`` with right-hand sides ``(B, F)`` by Cholesky: ``(B, F)``."""
    factor, failed = torch.linalg.cholesky_ex(gram, upper=True)  # MKL is a quarter faster here than for the lower one
    if failed.any():  # as happens without regularization when a row is shorter than F
        raise InputError("regularization", got="a singular system", expected="a larger value")
    return torch.cholesky_solve(right[..., None], factor, upper=True)[..., 0]


def ridge(rows: Rows, design: Tensor, target: Tensor, penalty: Tensor) -> Tensor:
    r"""One ridge regression a row: :math:`x_u = (Y_u^\top Y_u + \Lambda_u)^{-1} Y_u^\top t_u`, ``(R, F)``.

    Zhou et al. (2008), section 3.1. :math:`Y_u` are rows of the design, ``(C, F)``; targets are ``(N,)``; the penalty,
    ``(R, F)``, is the diagonal of :math:`\Lambda_u`. A row without entries gets zeros.
    """
    solution = torch.zeros_like(penalty)
    penalty = torch.where(rows.lengths[:, None] == 0, 1.0, penalty)
    right = rows.matrix(target) @ design  # Y' t of every row in one sparse product, (R, F)
    design = pad(design)
    for ids, columns, _ in rows.batches(design.shape[1]):
        Y = embedding(columns, design)  # (B, L, F)
        gram = Y.mT @ Y
        gram.diagonal(dim1=1, dim2=2).add_(penalty[ids])
        solution[ids] = solve(gram, right[ids])
    return solution


def start(item_factors: Tensor | None, drawn: Tensor) -> Tensor:
    """The vectors drawn, unless others of their shape are given."""
    if item_factors is None:
        return drawn
    check_shape(*drawn.shape, item_factors=item_factors)
    return item_factors.to(drawn.dtype)
