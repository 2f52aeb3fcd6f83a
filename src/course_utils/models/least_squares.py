"""Least squares for all rows of a sparse matrix at once; taught in chapter 5.

Alternating least squares solves one small regression for each user, then one for each item. This module groups
the rows so that a thousand such regressions are one batched product and one batched Cholesky factorisation.
Sizes: ``R`` rows, ``C`` columns, ``N`` stored entries, ``F`` factors; a batch has ``B`` rows of ``L`` places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn.functional import embedding

from course_utils.data.interactions import Interactions, csr_tensor
from course_utils.errors import InputError

_NUMBERS = 2**20  # in the largest array of a batch: 8 MB in float64, about what the caches hold


@dataclass(frozen=True)
class Rows:
    """The stored entries of a sparse matrix, grouped by row.

    Attributes:
        starts: entries of row ``r`` are ``starts[r] .. starts[r + 1] - 1``; ``(R + 1,)``.
        columns: column of each entry, ``(N,)``.
        values: value of each entry, ``(N,)``.
        n_columns: number of columns, ``C``.
    """

    starts: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor
    n_columns: int

    @classmethod
    def from_entries(
        cls, rows: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, n_rows: int, n_columns: int
    ) -> Rows:
        """Sort entries ``(row, column, value)``, each tensor ``(N,)``, by row and then by column."""
        order = torch.argsort(rows * n_columns + columns)
        starts = torch.zeros(n_rows + 1, dtype=torch.long)
        starts[1:] = torch.bincount(rows, minlength=n_rows).cumsum(0)
        return cls(starts, columns[order], values[order], n_columns)

    @classmethod
    def both_sides(cls, interactions: Interactions, values: torch.Tensor) -> tuple[Rows, Rows]:
        """Interactions with a value each, ``(N,)``: a row a user, and again a row an item."""
        users, items = interactions.users, interactions.items
        n_users, n_items = interactions.n_users, interactions.n_items
        by_user = cls.from_entries(users, items, values, n_users, n_items)
        return by_user, cls.from_entries(items, users, values, n_items, n_users)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def lengths(self) -> torch.Tensor:
        """Number of entries of each row, ``(R,)``."""
        return self.starts.diff()

    def matrix(self, values: torch.Tensor) -> torch.Tensor:
        """A sparse ``(R, C)`` tensor with other values, ``(N,)``, in the places of the entries."""
        starts, columns = self._short
        return csr_tensor(starts, columns, values, (len(self), self.n_columns))

    @cached_property
    def _short(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Starts and columns in 32 bits, as the sparse product wants them: it would convert them at each call."""
        return self.starts.int(), self.columns.int()

    def products(self, X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        r"""Products :math:`x_u \cdot y_i` in the places of the entries alone, ``(N,)``.

        Args:
            X: a vector for each row, ``(R, F)``.
            Y: a vector for each column, ``(C, F)``.
        """
        return torch.sparse.sampled_addmm(self._zeros, X, Y.mT, beta=0).values()

    @cached_property
    def _zeros(self) -> torch.Tensor:
        """The pattern of the entries, with zeros in their places."""
        return self.matrix(torch.zeros_like(self.values))

    @cached_property
    def _groups(self) -> list[tuple[torch.Tensor, int]]:
        """Rows of similar length: their codes, and how many places the longest of them needs.

        Lengths within a factor of 1.25 share a group, so that padding costs about a tenth.
        """
        order = torch.argsort(self.lengths, stable=True)
        level = (self.lengths[order].clamp(min=1).double().log() / math.log(1.25)).ceil()
        sizes = torch.unique_consecutive(level, return_counts=True)[1].tolist()
        return [(ids, int(self.lengths[ids[-1]])) for ids in order.split(sizes)]

    def batches(self, width: int) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """All rows in batches that are padded to one length and bounded in memory; kept for the next call.

        Args:
            width: numbers that the caller will fetch for each place, ``F`` as a rule.

        Returns:
            For each batch: codes of the rows ``(B,)``; the column of each place ``(B, L)``, where ``C`` marks
            padding; and its place among the entries ``(B, L)``, where ``N`` marks padding.
        """
        if width not in self._batches:
            columns = pad(self.columns, self.n_columns)
            self._batches[width] = []
            for group, length in self._groups:
                places = torch.arange(length)
                for ids in group.split(max(1, _NUMBERS // (max(length, width) * width))):
                    entries = self.starts[ids, None] + places
                    entries = torch.where(places < self.lengths[ids, None], entries, len(self.columns))
                    self._batches[width].append((ids, columns[entries], entries))
        return self._batches[width]

    @cached_property
    def _batches(self) -> dict[int, list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]]:
        return {}


def pad(values: torch.Tensor, filler: float = 0) -> torch.Tensor:
    """The tensor with one more row that holds ``filler``: what the places of the padding fetch."""
    return torch.cat([values, values.new_full((1, *values.shape[1:]), filler)])


def solve(gram: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Solve positive definite systems ``(B, F, F)`` with right-hand sides ``(B, F)`` by Cholesky: ``(B, F)``.

    Raises:
        InputError: a system is singular, as happens without regularization when a row is shorter than ``F``.
    """
    factor, failed = torch.linalg.cholesky_ex(gram)
    if failed.any():
        raise InputError("regularization", got="a singular system", expected="a larger value")
    return torch.cholesky_solve(right[..., None], factor)[..., 0]


def ridge(rows: Rows, design: torch.Tensor, target: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
    r"""One ridge regression a row: :math:`x_u = (Y_u^\top Y_u + \Lambda_u)^{-1} Y_u^\top t_u`.

    Zhou et al. (2008), section 3.1. The rows of :math:`Y_u` are the design vectors of the row's columns.

    Args:
        rows: the entries.
        design: a vector for each column, ``(C, F)``.
        target: a target for each entry, ``(N,)``.
        penalty: the diagonal of :math:`\Lambda_u`, ``(R, F)``.

    Returns:
        The solutions, ``(R, F)``. A row without entries gets zeros.

    Raises:
        InputError: a system is singular.
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


def start(given: torch.Tensor | None, shape: tuple[int, int], name: str, drawn: torch.Tensor) -> torch.Tensor:
    """Vectors to start from: the given ones, refused when they have another shape, or those drawn.

    Raises:
        InputError: the shape is wrong.
    """
    if given is None:
        return drawn
    if tuple(given.shape) != shape:
        raise InputError(name, got=f"shape {tuple(given.shape)}", expected=f"shape {shape}")
    return given.to(drawn.dtype)
