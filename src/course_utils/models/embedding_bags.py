"""One table for all categorical features: the part that every click model here has in common."""

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.data.interactions import check_codes
from course_utils.errors import InputError, check_counts, check_shape, refuse

Dense = torch.Tensor | None
Codes = torch.Tensor | Sequence[torch.Tensor]
Offsets = Sequence[torch.Tensor] | None
Weights = torch.Tensor | Sequence[torch.Tensor | None] | None


class EmbeddingBags(nn.Module):
    r"""Embeddings of F categorical features, each a bag of codes: :math:`e_c = a_c^\top W_c`; taught in chapter 7.

    Feature c has a table :math:`W_c`, ``cardinalities[c]`` rows of width D, at the start uniform in
    :math:`\pm 1 / \sqrt{\text{rows}}`. :math:`a_c` is a weighted multi-hot vector: the sum of the rows in the bag, each
    times its weight (Naumov et al. 2019, section 2.1.1). An empty bag gives the zero vector. One look-up and one update
    serve all features; the numbers are those of F separate ``nn.EmbeddingBag(mode="sum")``.

    ``weight`` has the tables below each other, ``(sum(cardinalities), D)``; ``table(c)`` is feature c's share. Set
    ``sparse`` to True, and ``weight.grad`` names the rows in the batch alone; for optimizers that know it, such as
    :class:`course_utils.learning.optimizers.RowwiseAdagrad` or ``torch.optim.SGD``.
    """

    def __init__(self, cardinalities: Sequence[int], embedding_dim: int) -> None:
        super().__init__()
        check_counts(embedding_dim=embedding_dim, cardinalities=min(cardinalities, default=0))
        self.cardinalities, self.embedding_dim, self.sparse = list(cardinalities), embedding_dim, False
        sizes = torch.tensor(self.cardinalities)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)
        self.weight = nn.Parameter(torch.empty(int(sizes.sum()), embedding_dim))
        for feature, size in enumerate(self.cardinalities):
            self.table(feature).uniform_(-1 / math.sqrt(size), 1 / math.sqrt(size))

    def table(self, feature: int) -> torch.Tensor:
        """The rows of one feature, ``(cardinalities[feature], D)``: a view, so writing to it changes the module."""
        return self.weight.detach().split(self.cardinalities)[feature]

    def __len__(self) -> int:  # F
        return len(self.cardinalities)

    def forward(self, indices: Codes, offsets: Offsets = None, weights: Weights = None) -> torch.Tensor:
        """Embeddings of a batch, ``(B, F, D)``.

        ``indices`` are codes ``(B, F)``, one a feature, or F flat code vectors of any lengths. To these, ``offsets``
        are F vectors ``(B,)`` that say where each row's bag begins, the first entry 0; two equal entries in a row mean
        an empty bag. ``weights`` of the codes have the form of ``indices``; None, or a None for a vector: all 1.
        """
        if isinstance(indices, torch.Tensor):
            embedded = F.embedding(self._rows(indices, offsets, weights), self.weight, sparse=self.sparse)
            return embedded if weights is None else embedded * weights[..., None]  # (B, F, D)
        rows, starts, factors = self.flatten(indices, offsets, weights)
        options = {"mode": "sum", "sparse": self.sparse, "per_sample_weights": factors}
        pooled = F.embedding_bag(rows, self.weight, starts, **options)  # (F * B, D)
        return pooled.unflatten(0, (len(self), -1)).transpose(0, 1)

    def flatten(
        self, indices: Codes, offsets: Offsets = None, weights: Weights = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """The same batch as bags in one line, feature after feature, as ``nn.EmbeddingBag`` takes them.

        Rows of ``weight`` ``(n,)``; where each bag begins among them ``(F * B,)``; and their weights ``(n,)`` or None.
        """
        if isinstance(indices, torch.Tensor):
            rows = self._rows(indices, offsets, weights)
            starts = torch.arange(rows.numel(), device=rows.device)  # each code is a bag of its own
            return rows.T.reshape(-1), starts, None if weights is None else weights.T.reshape(-1)
        self._check_lists(indices, offsets, weights)
        rows = [codes.long() + start for codes, start in zip(indices, self.starts, strict=True)]
        lengths = accumulate(map(len, indices[:-1]), initial=0)
        starts = [begins.long() + length for begins, length in zip(offsets, lengths, strict=True)]
        if weights is None or all(vector is None for vector in weights):
            return torch.cat(rows), torch.cat(starts), None
        ones = [self.weight.new_ones(len(codes)) for codes in rows]
        factors = [one if vector is None else vector.to(one) for vector, one in zip(weights, ones, strict=True)]
        return torch.cat(rows), torch.cat(starts), torch.cat(factors)

    def _rows(self, indices: torch.Tensor, offsets: object, weights: object) -> torch.Tensor:
        """Rows of ``weight``, ``(B, F)``, of codes one a feature."""
        check_shape("B", len(self), indices=indices)
        refuse(offsets is not None, "offsets", "a value", "None beside one code a feature")
        if weights is not None:
            check_shape(*indices.shape, weights=weights if isinstance(weights, torch.Tensor) else None)
        _check_whole(indices=indices)
        outside = ((indices < 0) | (indices >= self.sizes)).any(0)  # (F,)
        for feature in outside.nonzero()[:, 0].tolist():
            check_codes(indices[:, feature], self.cardinalities[feature], f"indices of feature {feature}")
        return indices + self.starts

    def _check_lists(self, indices: object, offsets: object, weights: object) -> None:
        """F vectors each, as many bags for each feature, offsets that begin at 0 and never fall."""
        lists = {"indices": indices, "offsets": offsets} | ({} if weights is None else {"weights": weights})
        for name, vectors in lists.items():
            if not isinstance(vectors, list | tuple) or len(vectors) != len(self):
                got = f"{len(vectors)} vectors" if isinstance(vectors, list | tuple) else type(vectors).__name__
                raise InputError(name, got=got, expected=f"a list of {len(self)} vectors, one a feature")
        for feature, (codes, begins) in enumerate(zip(indices, offsets, strict=True)):
            name, place = f"indices of feature {feature}", f"offsets of feature {feature}"
            _check_whole(**{name: codes, place: begins})
            check_codes(codes, self.cardinalities[feature], name)
            check_shape(offsets[0].numel(), **{place: begins})
            if weights is not None and weights[feature] is not None:
                check_shape(len(codes), **{f"weights of feature {feature}": weights[feature]})
            edges = torch.cat([begins, begins.new_tensor([len(codes)])])
            if edges[0] != 0 or (edges.diff() < 0).any():  # torch would read past the end (pytorch 175370)
                expected = f"0 first, none smaller than the one before, none above {len(codes)}"
                raise InputError(place, got=begins[:8].tolist(), expected=expected)


def unpadded(bags: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Flat codes and offsets of bags that come as ``(B, longest)`` each, with -1 in empty places."""
    kept = [bag >= 0 for bag in bags]
    lengths = [full.sum(dim=1) for full in kept]
    return [bag[full] for bag, full in zip(bags, kept, strict=True)], [n.cumsum(0) - n for n in lengths]


def check_dense(dense: Dense, num_dense: int, like: torch.Tensor) -> torch.Tensor:
    """Dense features, finite, ``(B, num_dense)``, in the type of the embeddings ``like``, ``(B, ...)``; None: none."""
    if dense is None and num_dense == 0:
        return like.new_empty(len(like), 0)
    check_shape(len(like), num_dense, dense=dense if isinstance(dense, torch.Tensor) else None)
    bad = (~dense.isfinite()).any(0).nonzero()[:, 0].tolist()
    refuse(bad, "dense", f"nan or infinity in columns {bad[:8]}", "finite numbers")
    return dense.to(like.dtype)


def _check_whole(**vectors: object) -> None:
    for name, codes in vectors.items():
        if not isinstance(codes, torch.Tensor) or codes.dtype not in (torch.long, torch.int):
            got = codes.dtype if isinstance(codes, torch.Tensor) else type(codes).__name__
            raise InputError(name, got=got, expected="a tensor of whole numbers, torch.long")
