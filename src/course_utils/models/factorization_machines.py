"""Factorization machines: for codes, and for ratings with what is known about them; chapters 7 and 15."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional as F

from course_utils.data.interactions import Interactions, check_codes, check_pairs, csr_tensor
from course_utils.errors import InputError, check_counts, check_range, check_shape, refuse
from course_utils.learning import loop
from course_utils.models.base import Described
from course_utils.models.embedding_bags import Codes, Dense, EmbeddingBags, Offsets, Weights, check_dense

Contexts = torch.Tensor | None  # codes (n, C), one for each further context of a rating


class FactorizationMachine(nn.Module):
    r"""Linear terms plus a dot product for each pair of features; taught in chapter 8.

    Rendle (2010), equations 1 and 4: with features :math:`x_j`, weights :math:`w_j`, factors :math:`v_j` of length k,

    .. math:: s = w_0 + \sum_j w_j x_j + \sum_{j < l} v_j^\top v_l\, x_j x_l
              = w_0 + \sum_j w_j x_j + \tfrac12 \sum_{t=1}^{k} \Bigl[\bigl(\sum_j v_{jt} x_j\bigr)^2
              - \sum_j v_{jt}^2 x_j^2\Bigr]

    The right side takes k times as many operations as there are non-zero features, and not the square of that. Here
    a feature is a dense column, or one code of a categorical feature with :math:`x_j` its weight; two codes in one bag
    are two features and meet like any others. :math:`w_0` is ``bias``, :math:`w_j` and :math:`v_j` of codes are
    ``linear`` and ``embeddings``, those of dense features ``dense_linear`` and ``dense_factors``.
    """

    def __init__(self, cardinalities: Sequence[int], factors: int, *, num_dense: int = 0) -> None:
        super().__init__()
        check_counts(0, num_dense=num_dense)
        self.num_dense = num_dense
        self.bias = nn.Parameter(torch.zeros(()))
        self.linear = EmbeddingBags(cardinalities, 1)
        self.embeddings = EmbeddingBags(cardinalities, factors)
        self.dense_linear = nn.Parameter(torch.zeros(num_dense))
        self.dense_factors = nn.Parameter(torch.empty(num_dense, factors))
        nn.init.zeros_(self.linear.weight)
        nn.init.normal_(self.embeddings.weight, std=0.01)  # from zeros none would get a gradient
        nn.init.normal_(self.dense_factors, std=0.01)

    def forward(self, dense: Dense, indices: Codes, offsets: Offsets = None, weights: Weights = None) -> torch.Tensor:
        """Logits, ``(B,)``, or ratings if you train it on ratings; arguments as in :class:`DLRM`."""
        rows, starts, factors = self.embeddings.flatten(indices, offsets, weights)
        n_rows = len(starts) // len(self.embeddings)  # B
        lengths = starts.diff(append=starts.new_tensor([len(rows)]))
        owner = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths) % n_rows
        v = F.embedding(rows, self.embeddings.weight, sparse=self.embeddings.sparse)  # (n, k)
        w = F.embedding(rows, self.linear.weight, sparse=self.linear.sparse)  # (n, 1)
        if factors is not None:
            v, w = v * factors[:, None], w * factors[:, None]
        zeros = v.new_zeros(n_rows, v.shape[1])
        total = zeros.index_add(0, owner, v)  # sum of v_j x_j, (B, k)
        squares = zeros.index_add(0, owner, v.square())  # sum of (v_j x_j)^2, (B, k)
        x = check_dense(dense, self.num_dense, total)
        total = total + x @ self.dense_factors
        squares = squares + x.square() @ self.dense_factors.square()
        linear = zeros[:, :1].index_add(0, owner, w)[:, 0] + x @ self.dense_linear
        return self.bias + linear + (total.square() - squares).sum(1) / 2


class ContextFM(Described, nn.Module):
    r"""Ratings from pairs of features of user, item and context; taught in chapter 15.

    A factorization machine (Rendle 2010) whose features come in blocks: those of the user, those of the item, and one
    code for each further context. With :math:`z_b = \sum_{j \in b} x_j v_j` and :math:`w_b = \sum_{j \in b} x_j w_j`,

    .. math:: \hat r = w_0 + \sum_b w_b + \sum_{b < c} z_b^\top z_c
              = w_0 + \sum_b w_b + \tfrac12 \Big[ \big|\sum_b z_b\big|^2 - \sum_b |z_b|^2 \Big] .

    A user's :math:`z_b` is computed once for all of the user's rows. Pairs inside a block are left out: they say
    something of the user or the item alone, as the :math:`w_j` do. With ids alone it is matrix factorization.

    The user's block holds the id, ``user_features``, and with ``history`` the items that the user rated in the
    training part, :math:`1/\sqrt{n_u}` each, whatever the ratings (as in SVD++, and likewise for items). While a rating
    is learned its own item is part of the history; when a new one is asked for, it is not.

    Training minimises squared error + ``regularization`` · mean over rows of :math:`\sum_b |z_b|^2` of user and item
    + ``shrinkage`` / rows · sum of their squared weights + ``context_shrinkage`` / rows · sum of those of the further
    contexts, by Adam with a step size that falls to 0. Defaults: validation on MovieLens-100K, chapter 15.

    ``user_features`` are numbers ``(n_users, d)``, or None for the id alone; ``item_features`` likewise. ``history``:
    whether users know their items and items their users. ``cardinalities`` has the number of codes of each further
    context. ``tables`` hold (w, v) of the features of users, of items and of each context, ``(size, 1 + k)``.
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
        check_counts(factors=factors, epochs=epochs, cardinalities=min(cardinalities, default=1))
        weights = {"regularization": regularization, "shrinkage": shrinkage, "context_shrinkage": context_shrinkage}
        check_range("0 or more", **weights)
        self.features = (user_features, item_features)
        self.history, self.cardinalities, self.factors = history, tuple(cardinalities), factors
        self.epochs, self.lr, self.batch_size, self.seed = epochs, lr, batch_size, seed
        self.regularization, self.shrinkage, self.context_shrinkage = regularization, shrinkage, context_shrinkage
        self.mean = nn.Parameter(torch.zeros(()))
        self.tables = nn.ParameterList()
        self._blocks: list[tuple[torch.Tensor, torch.Tensor]] | None = None  # of users, of items: features, transposed

    def forward(self, users: torch.Tensor, items: torch.Tensor, contexts: Contexts = None) -> torch.Tensor:
        """Predicted ratings, ``(B,)``, not clipped, with codes of the contexts ``(B, C)``."""
        return self._rate(self._rows(users, items, contexts))

    def _sides(self) -> tuple[torch.Tensor, torch.Tensor]:  # (w, z): (n_users, 1 + k) and (n_items, 1 + k)
        user, item = self._blocks
        return _Product.apply(*user, self.tables[0]), _Product.apply(*item, self.tables[1])

    def _rows(self, users: torch.Tensor, items: torch.Tensor, contexts: Contexts) -> list[torch.Tensor]:
        """(w, z) of each block for each row, ``(B, 1 + k)`` each."""
        user, item = self._sides()
        return [user[users], item[items], *(t[contexts[:, c]] for c, t in enumerate(self.tables[2:]))]

    def _rate(self, rows: list[torch.Tensor]) -> torch.Tensor:
        total = sum(rows)  # (B, 1 + k)
        squares = sum(row[:, 1:].square() for row in rows)  # (B, k)
        return self.mean + total[:, 0] + (total[:, 1:].square() - squares).sum(1) / 2

    def fit(self, interactions: Interactions, contexts: Contexts = None) -> Self:
        """Learn from the ratings; with ``cardinalities``, each has its codes, ``(n_interactions, C)``."""
        size = len(interactions)
        check_counts(interactions=size)
        contexts = self._contexts(contexts, size)
        self._build(interactions)
        generator = torch.Generator().manual_seed(self.seed)
        tensors = (interactions.users, interactions.items, interactions.ratings, contexts)
        batches = loop.batches(*tensors, batch_size=self.batch_size, generator=generator)

        def loss(module: ContextFM, batch: loop.Batch) -> dict[str, torch.Tensor]:
            users, items, ratings, codes = batch
            rows = module._rows(users, items, codes)
            length = sum(z[:, 1:].square().sum(1).mean() for z in rows[:2])
            lengths = [table.square().sum() for table in module.tables]
            shrunk = module.shrinkage * sum(lengths[:2]) + module.context_shrinkage * sum(lengths[2:])
            penalty = module.regularization * length + shrunk / size
            return {"mse": F.mse_loss(module._rate(rows), ratings), "penalty": penalty}

        loop.fit(self, batches, loss, epochs=self.epochs, lr=self.lr, decay=True)
        return self

    @torch.no_grad()
    def predict(self, users: torch.Tensor, items: torch.Tensor, contexts: Contexts = None) -> torch.Tensor:
        """Predicted ratings of pairs, ``(n,)``, not clipped; with ``cardinalities``, of contexts ``(n, C)``."""
        users, items = check_pairs(users, items, *self._sizes())
        return self(users, items, self._contexts(contexts, len(users)))

    @torch.no_grad()
    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Predicted ratings of all items, ``(len(users), n_items)``; for a model without further contexts."""
        users = check_codes(users, self._sizes()[0], "users")
        refuse(self.cardinalities, "users", "no contexts", "predict(users, items, contexts)")
        user, item = self._sides()
        return self.mean + user[users, :1] + item[:, 0] + user[users, 1:] @ item[:, 1:].T

    def _sizes(self) -> list[int]:
        return [matrix.shape[0] for matrix, _ in self._fitted(self._blocks)]

    def _contexts(self, contexts: Contexts, n: int) -> torch.Tensor:
        contexts = torch.zeros(n, 0, dtype=torch.long) if contexts is None else contexts
        check_shape(n, len(self.cardinalities), contexts=contexts)
        for c, size in enumerate(self.cardinalities):
            check_codes(contexts[:, c], size, f"contexts[:, {c}]")
        return contexts

    def _build(self, interactions: Interactions) -> None:
        """Blocks and fresh tables for these users and items."""
        seen = interactions.csr(binary=True)
        users = _columns(seen, self.features[0], self.history, "user_features")
        items = _columns(seen.T.tocsr(), self.features[1], self.history, "item_features")
        self._blocks = [(_to_torch(side), _to_torch(side.T.tocsr())) for side in (users, items)]
        generator = torch.Generator().manual_seed(self.seed)
        sizes = [users.shape[1], items.shape[1], *self.cardinalities]
        tables = [0.01 * torch.randn(size, 1 + self.factors, generator=generator) for size in sizes]
        for table in tables:
            table[:, 0] = 0.0
        self.tables = nn.ParameterList(tables)
        self.mean.data.fill_(interactions.ratings.mean())


class _Product(torch.autograd.Function):
    """Sparse times dense. The transpose is at hand for the way back: torch's own makes it anew in every step."""

    @staticmethod
    def forward(ctx, matrix: torch.Tensor, transposed: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        ctx.transposed = transposed
        return matrix @ table

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple:
        return None, None, ctx.transposed @ grad


def _columns(seen: sparse.csr_array, features: np.ndarray | None, history: bool, name: str) -> sparse.csr_array:
    """Id, features and history side by side, ``(n, width)``."""
    n = seen.shape[0]
    parts = [sparse.eye_array(n)]
    if features is not None:
        if np.ndim(features) != 2 or len(features) != n or not np.isfinite(features).all():
            raise InputError(name, got=f"shape {np.shape(features)}", expected=f"finite numbers, ({n}, d)")
        parts.append(sparse.csr_array(np.asarray(features, dtype=float)))
    if history:
        parts.append(sparse.diags_array(1 / np.sqrt(np.maximum(np.diff(seen.indptr), 1))) @ seen)
    return sparse.csr_array(sparse.hstack(parts))


def _to_torch(matrix: sparse.csr_array) -> torch.Tensor:
    matrix.sort_indices()
    values = torch.from_numpy(matrix.data).to(torch.get_default_dtype())
    starts, columns = (torch.from_numpy(x.astype(np.int32)) for x in (matrix.indptr, matrix.indices))
    return csr_tensor(starts, columns, values, matrix.shape)
