"""Factorization machines: for codes, and for ratings with what is known about them; chapters 7 and 15."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import mse_loss

from course_utils.data.interactions import Interactions, check_codes, csr_tensor
from course_utils.errors import InputError, NotFittedError, check_counts
from course_utils.learning import loop
from course_utils.models.embedding_bags import Codes, EmbeddingBags, Weights, check_dense


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
            offsets: F vectors ``(B,)``, as :class:`course_utils.models.embedding_bags.EmbeddingBags` takes them.
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


# ---- with what is known of a rating ----------------------------------------------------------------------------


WEEKS, DAYS = 41, 9  # codes of the two contexts of rating_times


def rating_times(train: Interactions, asked: Interactions) -> torch.Tensor:
    """When a rating was given: the week of the data, and how long the user had been there; taught in chapter 15.

    Args:
        train: the training part; the first week and each user's first day come from it.
        asked: the ratings in question.

    Returns:
        Codes ``(len(asked), 2)``: weeks since the first training rating, 0..40, and the whole part of
        ``log2(1 + days)`` since the user's own first one, 0..8.
    """
    first = torch.full((train.n_users,), int(asked.timestamps.max()))
    first = first.scatter_reduce(0, train.users, train.timestamps, "amin")
    weeks = (asked.timestamps - train.timestamps.min()).clamp(min=0) // (7 * 86400)
    days = (asked.timestamps - first[asked.users]).clamp(min=0).double() / 86400
    return torch.stack([weeks.clamp(max=WEEKS - 1), torch.log2(1 + days).long().clamp(max=DAYS - 1)], dim=1)


class ContextFM(nn.Module):
    r"""Ratings from pairs of features of user, item and context; taught in chapter 15.

    A factorization machine (Rendle 2010) whose features come in blocks: what belongs to the user, what belongs to the
    item, and one code for each further context. With :math:`z_b = \sum_{j \in b} x_j v_j` and
    :math:`w_b = \sum_{j \in b} x_j w_j` for block b,

    .. math:: \hat r = w_0 + \sum_b w_b + \sum_{b < c} z_b^\top z_c
              = w_0 + \sum_b w_b + \tfrac12 \Big[ \big|\sum_b z_b\big|^2 - \sum_b |z_b|^2 \Big] .

    The :math:`z_b` of a user serve all of the user's rows, so they are computed once. Pairs inside a
    block are left out: they say something about the user alone, or the item alone, as the :math:`w_j` do. With ids
    alone this is matrix factorization with biases.

    The user's block holds the id, ``user_features``, and with ``history`` the items that the user rated in the
    training part, :math:`1/\sqrt{n_u}` each, whatever the ratings (as SVD++ has it, and its mirror image for items).

    The history comes from the interactions given to ``fit``, and from nothing else. While a rating is learned its own
    item is part of the history; when a new one is asked for, it is not.

    Training minimises squared error + ``regularization`` · mean over rows of :math:`\sum_b |z_b|^2` of user and item
    + ``shrinkage`` / rows · sum of their squared weights + ``context_shrinkage`` / rows · sum of those of the further
    contexts, by Adam with a step size that falls to 0. The defaults were chosen on a tenth of the training part of
    the first fold of ``k_fold(seed=0)`` of MovieLens-100K.

    Args:
        user_features: ``(n_users, d)``, a table of numbers; None: the id alone.
        item_features: ``(n_items, d)``; None: the id alone.
        history: whether users know their items and items their users.
        cardinalities: number of codes of each further context; a rating then needs one code for each.
        factors: k, at least 1.
        epochs, lr, batch_size: of the training.
        regularization, shrinkage, context_shrinkage: 0 or more.
        seed: seed of the start and of the batches.

    Attributes:
        mean: :math:`w_0`, the mean rating of the training part at the start.
        tables: the (w, v) of users' features, items' features and each context, ``(features, 1 + k)``.

    Raises:
        InputError: a size is out of range.
    """

    def __init__(
        self,
        user_features: np.ndarray | None = None,
        item_features: np.ndarray | None = None,
        *,
        history: bool = True,
        cardinalities: tuple[int, ...] = (),
        factors: int = 32,
        epochs: int = 15,
        lr: float = 0.02,
        batch_size: int = 2048,
        regularization: float = 0.02,
        shrinkage: float = 20.0,
        context_shrinkage: float = 2000.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_counts(factors=factors, epochs=epochs)
        if any(size < 1 for size in cardinalities):
            raise InputError("cardinalities", got=cardinalities, expected="at least 1 each")
        penalties = (regularization, shrinkage, context_shrinkage)
        if not all(penalty >= 0 for penalty in penalties):
            names = "regularization, shrinkage, context_shrinkage"
            raise InputError(names, got=penalties, expected="0 or more each")
        self.features = (user_features, item_features)
        self.history, self.cardinalities, self.factors = history, tuple(cardinalities), factors
        self.epochs, self.lr, self.batch_size = epochs, lr, batch_size
        self.regularization, self.shrinkage, self.context_shrinkage = penalties
        self.seed = seed
        self.mean = nn.Parameter(torch.zeros(()))
        self.tables = nn.ParameterList()
        self.training_history: pd.DataFrame | None = None
        self._blocks: list[_Block] = []

    def blocks(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(w, z) of every user, ``(n_users, 1 + k)``, and of every item, ``(n_items, 1 + k)``."""
        return tuple(block(table) for block, table in zip(self._blocks, self.tables, strict=False))

    def forward(
        self, users: torch.Tensor, items: torch.Tensor, contexts: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predicted ratings, ``(B,)``, not clipped.

        Args:
            users: user codes, ``(B,)``.
            items: item codes, ``(B,)``.
            contexts: codes, ``(B, C)``; None without further contexts.
        """
        return self._rate(self._rows(users, items, contexts, self.blocks()))

    def _rows(
        self,
        users: torch.Tensor,
        items: torch.Tensor,
        contexts: torch.Tensor | None,
        blocks: tuple[torch.Tensor, torch.Tensor],
    ) -> list[torch.Tensor]:
        """(w, z) of each block for each row, ``(B, 1 + k)`` each."""
        rows = [blocks[0][users], blocks[1][items]]
        return rows + [table[contexts[:, c]] for c, table in enumerate(self.tables[2:])]

    def _rate(self, rows: list[torch.Tensor]) -> torch.Tensor:
        total = sum(rows)
        squares = sum(row[:, 1:].square() for row in rows)
        return self.mean + total[:, 0] + (total[:, 1:].square() - squares).sum(1) / 2

    def fit(self, interactions: Interactions, contexts: torch.Tensor | None = None) -> Self:
        """Start anew and learn from the ratings.

        Args:
            interactions: the training part.
            contexts: codes of each rating, ``(n_interactions, C)``; only with ``cardinalities``.

        Raises:
            InputError: features or contexts do not fit.
        """
        if len(interactions) == 0:
            raise InputError("interactions", got="none", expected="at least one")
        contexts = self._check(contexts, len(interactions))
        self._build(interactions)
        generator = torch.Generator().manual_seed(self.seed)
        tensors = (interactions.users, interactions.items, interactions.ratings, contexts)
        batches = loop.batches(*tensors, batch_size=self.batch_size, generator=generator)
        size = len(interactions)

        def loss(module: ContextFM, batch: loop.Batch) -> dict[str, torch.Tensor]:
            users, items, ratings, codes = batch
            rows = module._rows(users, items, codes, module.blocks())
            length = rows[0][:, 1:].square().sum(1).mean() + rows[1][:, 1:].square().sum(1).mean()
            lengths = [table.square().sum() for table in module.tables]
            shrunk = module.shrinkage * sum(lengths[:2]) + module.context_shrinkage * sum(lengths[2:])
            return {
                "mse": mse_loss(module._rate(rows), ratings),
                "penalty": module.regularization * length + shrunk / size,
            }

        self.training_history = loop.fit(self, batches, loss, epochs=self.epochs, lr=self.lr, decay=True)
        return self

    @torch.no_grad()
    def predict(
        self, users: torch.Tensor, items: torch.Tensor, contexts: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predicted ratings of pairs, ``(n,)``, not clipped; see :meth:`forward`.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown, or contexts are missing.
        """
        if not self._blocks:
            raise NotFittedError(self)
        users = check_codes(users, self._blocks[0].n, "users")
        items = check_codes(items, self._blocks[1].n, "items")
        return self(users, items, self._check(contexts, len(users)))

    @torch.no_grad()
    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Predicted ratings of all items, ``(len(users), n_items)``; for a model without further contexts.

        Raises:
            NotFittedError: ``fit`` was not called.
            InputError: a code is unknown, or the model needs contexts.
        """
        if not self._blocks:
            raise NotFittedError(self)
        if self.cardinalities:
            raise InputError("users", got="no contexts", expected="predict(users, items, contexts)")
        user, item = self.blocks()
        user = user[check_codes(users, self._blocks[0].n, "users")]
        return self.mean + user[:, :1] + item[:, 0] + user[:, 1:] @ item[:, 1:].T

    def _check(self, contexts: torch.Tensor | None, n: int) -> torch.Tensor:
        width = len(self.cardinalities)
        contexts = torch.zeros(n, 0, dtype=torch.long) if contexts is None else contexts
        if tuple(contexts.shape) != (n, width):
            raise InputError(
                "contexts", got=f"shape {tuple(contexts.shape)}", expected=f"shape ({n}, {width})"
            )
        for c, size in enumerate(self.cardinalities):
            check_codes(contexts[:, c], size, f"contexts[:, {c}]")
        return contexts

    def _build(self, interactions: Interactions) -> None:
        """Blocks and fresh tables for these users and items."""
        seen = interactions.csr(binary=True)
        self._blocks = [
            _Block(_columns(seen, self.features[0], self.history, "user_features")),
            _Block(_columns(seen.T.tocsr(), self.features[1], self.history, "item_features")),
        ]
        generator = torch.Generator().manual_seed(self.seed)
        sizes = [*(block.width for block in self._blocks), *self.cardinalities]
        tables = [0.01 * torch.randn(size, 1 + self.factors, generator=generator) for size in sizes]
        for table in tables:
            table[:, 0] = 0.0
        self.tables = nn.ParameterList(tables)
        with torch.no_grad():
            self.mean.fill_(float(interactions.ratings.mean()))


class _Block:
    """A sparse table of features; called with its weights it gives their sums, with a gradient."""

    def __init__(self, matrix: sparse.csr_array) -> None:
        self.n, self.width = matrix.shape
        self._forward, self._backward = _to_torch(matrix), _to_torch(matrix.T.tocsr())

    def __call__(self, table: torch.Tensor) -> torch.Tensor:
        return _Product.apply(self._forward, self._backward, table)


class _Product(torch.autograd.Function):
    """Sparse times dense. The transpose is at hand for the way back: torch's own makes it anew in every step."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        matrix: torch.Tensor,
        transposed: torch.Tensor,
        table: torch.Tensor,
    ) -> torch.Tensor:
        ctx.transposed = transposed
        return matrix @ table

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor) -> tuple:
        return None, None, ctx.transposed @ grad


def _columns(
    seen: sparse.csr_array, features: np.ndarray | None, history: bool, name: str
) -> sparse.csr_array:
    """Id, features and history side by side, ``(n, width)``."""
    n = seen.shape[0]
    parts = [sparse.eye_array(n)]
    if features is not None:
        if np.ndim(features) != 2 or len(features) != n or not np.isfinite(features).all():
            expected = f"finite numbers, ({n}, d)"
            raise InputError(name, got=f"shape {np.shape(features)}", expected=expected)
        parts.append(sparse.csr_array(np.asarray(features, dtype=float)))
    if history:
        counts = np.maximum(np.diff(seen.indptr), 1)
        parts.append(sparse.diags_array(1 / np.sqrt(counts)) @ seen)
    return sparse.csr_array(sparse.hstack(parts))


def _to_torch(matrix: sparse.csr_array) -> torch.Tensor:
    matrix.sort_indices()
    values = torch.from_numpy(matrix.data).to(torch.get_default_dtype())
    starts, columns = (torch.from_numpy(x.astype(np.int32)) for x in (matrix.indptr, matrix.indices))
    return csr_tensor(starts, columns, values, matrix.shape)
