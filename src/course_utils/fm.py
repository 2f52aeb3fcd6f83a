"""Factorisation machine: a linear model plus all pairs, in linear time (floor 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.embedding_bags import Codes, EmbeddingBags, Weights, check_dense
from course_utils.errors import InputError


class FactorizationMachine(nn.Module):
    r"""Linear terms plus a dot product for each pair of features; taught in chapter 8.

    Rendle (2010), equations 1 and 4: with features :math:`x_j`, weights :math:`w_j` and factors :math:`v_j`
    of length k,

    .. math:: s = w_0 + \sum_j w_j x_j + \sum_{j < l} v_j^\top v_l\, x_j x_l
              = w_0 + \sum_j w_j x_j + \tfrac12 \sum_{t=1}^{k} \Bigl[\bigl(\sum_j v_{jt} x_j\bigr)^2
              - \sum_j v_{jt}^2 x_j^2\Bigr]

    The right side takes k times as many operations as there are non-zero features, and not the square of that. Here
    a feature is a dense column, or one code of a categorical feature with :math:`x_j` its weight; two codes in one bag
    are two features and meet like any others.

    Args:
        cardinalities: number of codes of each categorical feature.
        factors: k, at least 1.
        num_dense: number of dense features, 0 or more.
        std: standard deviation of the factors at the start, above 0; all other weights start at 0.

    Attributes:
        bias: :math:`w_0`, shape ``()``.
        linear: :class:`EmbeddingBags` of width 1, the :math:`w_j` of the codes.
        embeddings: :class:`EmbeddingBags` of width k, their :math:`v_j`.
        dense_linear, dense_factors: the same for dense features, ``(num_dense,)`` and ``(num_dense, k)``.

    Raises:
        InputError: a size is out of range.
    """

    def __init__(
        self, cardinalities: Sequence[int], factors: int, *, num_dense: int = 0, std: float = 0.01
    ) -> None:
        super().__init__()
        if num_dense < 0:
            raise InputError("num_dense", got=num_dense, expected="0 or more")
        if not std > 0:  # from zero factors none gets a gradient
            raise InputError("std", got=std, expected="a number above 0")
        self.num_dense = num_dense
        self.bias = nn.Parameter(torch.zeros(()))
        self.linear = EmbeddingBags(cardinalities, 1)
        self.embeddings = EmbeddingBags(cardinalities, factors)
        self.dense_linear = nn.Parameter(torch.zeros(num_dense))
        self.dense_factors = nn.Parameter(torch.empty(num_dense, factors))
        nn.init.zeros_(self.linear.weight)
        nn.init.normal_(self.embeddings.weight, std=std)
        nn.init.normal_(self.dense_factors, std=std)

    def forward(
        self,
        dense: torch.Tensor | None,
        indices: Codes,
        offsets: Sequence[torch.Tensor] | None = None,
        weights: Weights = None,
    ) -> torch.Tensor:
        """Logits, ``(B,)``, or ratings if you train it on ratings.

        Args:
            dense: dense features ``(B, num_dense)``, scaled; with ``num_dense=0`` None will do.
            indices: codes ``(B, F)``, one a feature; or F flat code vectors beside offsets.
            offsets: F vectors ``(B,)``, as :class:`course_utils.embedding_bags.EmbeddingBags` takes them.
            weights: of the codes, their :math:`x_j`, in the form of ``indices``; None: all 1.

        Raises:
            InputError: a code is out of range, a dense feature is nan, or shapes or offsets do not fit.
        """
        bags = self.embeddings.flatten(indices, offsets, weights)
        n_rows = len(bags.offsets) // len(self.embeddings)  # B
        lengths = bags.offsets.diff(append=bags.offsets.new_tensor([len(bags.rows)]))
        owner = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths) % n_rows
        v = F.embedding(bags.rows, self.embeddings.weight, sparse=self.embeddings.sparse)  # (n, k)
        w = F.embedding(bags.rows, self.linear.weight, sparse=self.linear.sparse)  # (n, 1)
        if bags.weights is not None:
            v, w = v * bags.weights[:, None], w * bags.weights[:, None]
        zeros = v.new_zeros(n_rows, v.shape[1])
        total = zeros.index_add(0, owner, v)  # sum of v_j x_j, (B, k)
        squares = zeros.index_add(0, owner, v.square())  # sum of (v_j x_j)^2, (B, k)
        x = check_dense(dense, self.num_dense, total)
        total = total + x @ self.dense_factors
        squares = squares + x.square() @ self.dense_factors.square()
        linear = zeros[:, :1].index_add(0, owner, w)[:, 0] + x @ self.dense_linear
        return self.bias + linear + (total.square() - squares).sum(1) / 2
