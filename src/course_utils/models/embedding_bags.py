"""One table for all categorical features: the part that every click model here has in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.errors import InputError, check_counts

Codes = torch.Tensor | Sequence[torch.Tensor]
Weights = torch.Tensor | Sequence[torch.Tensor | None] | None


class Bags(NamedTuple):
    """A batch of bags in one line, feature after feature: what ``EmbeddingBag`` takes.

    Attributes:
        rows: rows of the fused table, ``(n,)``.
        offsets: where each bag begins in ``rows``, ``(F * B,)``: all rows of feature 0 first.
        weights: one for each entry of ``rows``, ``(n,)``, or None for all 1.
    """

    rows: torch.Tensor
    offsets: torch.Tensor
    weights: torch.Tensor | None


class EmbeddingBags(nn.Module):
    r"""Embeddings of F categorical features, each a bag of codes: :math:`e_c = a_c^\top W_c`; taught in chapter 7.

    Feature c has a table :math:`W_c` of its own, ``cardinalities[c]`` rows. :math:`a_c` is a weighted multi-hot
    vector: the sum of the rows in the bag, each times its weight (Naumov et al. 2019, section 2.1.1). An empty bag
    gives the zero vector. The tables stand below each other in one parameter, so that one look-up and one update
    serve all features; the numbers are those of F separate ``nn.EmbeddingBag(mode="sum")``.

    The start is uniform in :math:`\pm 1 / \sqrt{\text{rows of the table}}`, from torch's global generator.

    Args:
        cardinalities: number of codes of each feature, each at least 1.
        embedding_dim: width D of a row, at least 1.

    Attributes:
        weight: the fused table, ``(sum(cardinalities), D)``; ``table(c)`` is feature c's share.
        sparse: set it to True, and ``weight.grad`` names the rows in the batch alone; for optimizers that know it,
            such as :class:`course_utils.learning.optimizers.RowwiseAdagrad` or ``torch.optim.SGD``.

    Raises:
        InputError: a size is below 1, or there is no feature.
    """

    def __init__(self, cardinalities: Sequence[int], embedding_dim: int) -> None:
        super().__init__()
        if len(cardinalities) == 0 or min(cardinalities) < 1:
            raise InputError(
                "cardinalities", got=list(cardinalities), expected="one or more sizes, each at least 1"
            )
        check_counts(embedding_dim=embedding_dim)
        self.cardinalities, self.embedding_dim, self.sparse = list(cardinalities), embedding_dim, False
        sizes = torch.tensor(self.cardinalities)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)
        self.weight = nn.Parameter(torch.empty(int(sizes.sum()), embedding_dim))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all tables anew."""
        for feature, size in enumerate(self.cardinalities):
            self.table(feature).uniform_(-1 / math.sqrt(size), 1 / math.sqrt(size))

    def table(self, feature: int) -> torch.Tensor:
        """The rows of one feature, ``(cardinalities[feature], D)``: a view, so writing to it changes the module."""
        return self.weight.detach().split(self.cardinalities)[feature]

    def __len__(self) -> int:
        """Number of features, F."""
        return len(self.cardinalities)

    def forward(
        self, indices: Codes, offsets: Sequence[torch.Tensor] | None = None, weights: Weights = None
    ) -> torch.Tensor:
        """Embeddings of a batch, ``(B, F, D)``.

        Args:
            indices: codes ``(B, F)``, one a feature; or F flat code vectors of any lengths.
            offsets: beside F flat vectors: F vectors ``(B,)`` that say where each row's bag begins, the first entry
                0, none smaller than the one before. Two equal entries in a row mean an empty bag.
            weights: of the codes, in the same form as ``indices``; None, or a None in place of a vector: all 1.

        Raises:
            InputError: a code is out of range, or shapes, offsets or weights do not fit each other.
        """
        if isinstance(indices, torch.Tensor):
            rows, weights = self._rows(indices, offsets, weights)
            embedded = F.embedding(rows, self.weight, sparse=self.sparse)  # (B, F, D)
            return embedded if weights is None else embedded * weights[..., None]
        bags = self.flatten(indices, offsets, weights)
        pooled = F.embedding_bag(
            bags.rows,
            self.weight,
            bags.offsets,
            mode="sum",
            sparse=self.sparse,
            per_sample_weights=bags.weights,
        )
        return pooled.unflatten(0, (len(self), -1)).transpose(0, 1)  # (F * B, D) -> (B, F, D)

    def flatten(
        self, indices: Codes, offsets: Sequence[torch.Tensor] | None = None, weights: Weights = None
    ) -> Bags:
        """The same batch, checked, as bags in one line; arguments and errors as in :meth:`forward`."""
        if isinstance(indices, torch.Tensor):
            rows, weights = self._rows(indices, offsets, weights)
            starts = torch.arange(rows.numel(), device=rows.device)  # each entry is a bag of its own
            return Bags(rows.T.reshape(-1), starts, None if weights is None else weights.T.reshape(-1))
        self._check_lists(indices, offsets, weights)
        shifts, length = [], 0
        for feature, (codes, begins) in enumerate(zip(indices, offsets, strict=True)):
            self._check_range(codes, feature)
            shifts.append(begins.long() + length)
            length += len(codes)
        rows = torch.cat([codes.long() + start for codes, start in zip(indices, self.starts, strict=True)])
        if weights is None or all(vector is None for vector in weights):
            return Bags(rows, torch.cat(shifts), None)
        filled = [
            self.weight.new_ones(len(codes)) if vector is None else vector.to(self.weight.dtype)
            for codes, vector in zip(indices, weights, strict=True)
        ]
        return Bags(rows, torch.cat(shifts), torch.cat(filled))

    def _rows(
        self, indices: torch.Tensor, offsets: object, weights: Weights
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Rows of the fused table, ``(B, F)``, of codes one a feature; and the checked weights."""
        if indices.ndim != 2 or indices.shape[1] != len(self):
            raise InputError("indices", got=f"shape {tuple(indices.shape)}", expected=f"(B, {len(self)})")
        if offsets is not None:
            raise InputError("offsets", got="a value", expected="None beside one code a feature")
        if weights is not None and (not isinstance(weights, torch.Tensor) or weights.shape != indices.shape):
            got = f"shape {tuple(weights.shape)}" if isinstance(weights, torch.Tensor) else "a list"
            raise InputError("weights", got=got, expected=f"shape {tuple(indices.shape)}, as the codes")
        _check_whole(indices, "indices")
        if ((indices < 0) | (indices >= self.sizes)).any():
            outside = ((indices < 0) | (indices >= self.sizes)).any(0).nonzero()
            self._check_range(indices[:, int(outside[0])], int(outside[0]))
        return indices + self.starts, weights

    def _check_range(self, codes: torch.Tensor, feature: int) -> None:
        size = self.cardinalities[feature]
        if len(codes) and not (int(codes.min()) >= 0 and int(codes.max()) < size):
            got = f"codes {int(codes.min())}..{int(codes.max())}"
            raise InputError(f"indices of feature {feature}", got=got, expected=f"codes in 0..{size - 1}")

    def _check_lists(self, indices: Codes, offsets: object, weights: Weights) -> None:
        """F vectors each, as many bags for each feature, offsets that begin at 0 and never fall."""
        for name, values in (("indices", indices), ("offsets", offsets), ("weights", weights)):
            if name == "weights" and values is None:
                continue
            if not isinstance(values, list | tuple) or len(values) != len(self):
                got = f"{len(values)} vectors" if isinstance(values, list | tuple) else type(values).__name__
                raise InputError(name, got=got, expected=f"a list of {len(self)} vectors, one a feature")
        for feature, (codes, begins) in enumerate(zip(indices, offsets, strict=True)):
            _check_whole(codes, f"indices of feature {feature}")
            _check_whole(begins, f"offsets of feature {feature}")
            name, count = f"offsets of feature {feature}", len(offsets[0])
            if codes.ndim != 1 or begins.ndim != 1 or len(begins) != count:
                shapes = f"shapes {tuple(codes.shape)} and {tuple(begins.shape)}"
                raise InputError(f"indices, {name}", got=shapes, expected=f"(n,) and ({count},)")
            if not count and len(codes):  # torch would read past the end (pytorch 175370)
                raise InputError(name, got="none", expected=f"where the bags of {len(codes)} codes begin")
            if count and (int(begins[0]) != 0 or (begins.diff() < 0).any() or int(begins[-1]) > len(codes)):
                expected = f"0 first, none smaller than the one before, none above {len(codes)}"
                raise InputError(name, got=f"{begins[:8].tolist()}{' …' * (count > 8)}", expected=expected)
            if weights is not None and weights[feature] is not None and weights[feature].shape != codes.shape:
                got = f"shape {tuple(weights[feature].shape)}"
                raise InputError(f"weights of feature {feature}", got=got, expected=f"({len(codes)},)")


def check_dense(dense: torch.Tensor | None, num_dense: int, like: torch.Tensor) -> torch.Tensor:
    """The dense features beside the embeddings of a batch: ``(B, num_dense)``, in the embeddings' number type.

    Args:
        dense: ``(B, num_dense)``; None when there are none.
        num_dense: how many the model wants.
        like: embeddings ``(B, ...)``.

    Raises:
        InputError: another shape, or a number that is nan or infinite.
    """
    if dense is None and num_dense == 0:
        return like.new_empty(len(like), 0)
    shape = tuple(dense.shape) if isinstance(dense, torch.Tensor) else type(dense).__name__
    if shape != (len(like), num_dense):
        raise InputError("dense", got=f"shape {shape}", expected=f"{(len(like), num_dense)}")
    if not dense.isfinite().all():
        bad = (~dense.isfinite()).any(0).nonzero()[:, 0].tolist()
        raise InputError("dense", got=f"nan or infinity in columns {bad[:8]}", expected="finite numbers")
    return dense.to(like.dtype)


def _check_whole(codes: object, name: str) -> None:
    if not isinstance(codes, torch.Tensor) or codes.dtype not in (torch.long, torch.int):
        got = codes.dtype if isinstance(codes, torch.Tensor) else type(codes).__name__
        raise InputError(name, got=got, expected="a tensor of whole numbers, torch.long")
