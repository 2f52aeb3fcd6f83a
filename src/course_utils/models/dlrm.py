"""Click models: DLRM, DCN and a plain network, one forward for all.

B is the number of rows in a batch, F the number of categorical features, D the width of an embedding. Each model's
``forward(dense, indices, offsets=None, weights=None)`` gives logits ``(B,)``: the log odds of a click. Train them with
``binary_cross_entropy_with_logits``; ``logits.sigmoid()`` is the probability. Weights start from torch's global
generator, as in torch's own modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils.errors import InputError, check_counts
from course_utils.models.embedding_bags import Codes, EmbeddingBags, Weights, check_dense

# ---- what a click model takes ----------------------------------------------------------------------------------


def inputs(batch: Sequence[torch.Tensor]) -> tuple:
    """The arguments of a click model from a batch ``(dense, codes, *bags, labels)``; taught in chapter 8.

    Args:
        batch: rows of :meth:`Rows.tensors`.

    Returns:
        ``dense``, then ``indices, offsets`` as the models of this file and the factorization machine take
        them: ``codes, None`` without
        bags, else a list of flat code vectors and a list of their starts ``(B,)``, one a feature.
    """
    dense, codes, *bags, _ = batch
    if not bags:
        return dense, codes, None
    values, offsets = list(codes.T), [torch.arange(len(codes))] * codes.shape[1]
    for bag in bags:
        kept = bag >= 0
        values.append(bag[kept])
        offsets.append(kept.sum(dim=1).cumsum(0) - kept.sum(dim=1))
    return dense, values, offsets


def click_loss(module: nn.Module, batch: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean cross entropy of a click model over a batch, a tensor of shape ``()``; taught in chapter 8.

    Args:
        module: takes :func:`inputs` and gives logits, ``(B,)``.
        batch: rows of :meth:`Rows.tensors`.
    """
    return binary_cross_entropy_with_logits(module(*inputs(batch)), batch[-1])


# ---- cross layers ----------------------------------------------------------------------------------------------


class CrossNetwork(nn.Module):
    r"""Layers that multiply the input by a function of the last output; taught in chapter 8.

    With :math:`x_0` the input, layer l gives

    - version 1: :math:`x_{l+1} = x_0\, (x_l^\top w_l) + b_l + x_l` (Wang et al. 2017, equation 3): one number times
      :math:`x_0`, so with zero biases each output is a multiple of it;
    - version 2: :math:`x_{l+1} = x_0 \odot (W_l x_l + b_l) + x_l` (Wang et al. 2021, equation 1): one number an entry.
      With ``rank`` r, :math:`W_l = U_l V_l^\top` with two matrices of r columns (equation 2).

    After L layers the output holds products of up to L + 1 entries of the input.

    Args:
        width: length d of the input, at least 1.
        layers: number of layers L, at least 1.
        version: 1 or 2.
        rank: for version 2: columns of the two factors, at least 1; None: a full matrix.

    Attributes:
        layers: the L layers. A layer has ``weight`` and ``bias``, both ``(d,)``, in version 1; ``linear`` in version 2,
            one ``nn.Linear(d, d)``, or two with r numbers between them.

    Raises:
        InputError: an argument is out of range, or a rank stands beside version 1.
    """

    def __init__(self, width: int, layers: int, *, version: int = 2, rank: int | None = None) -> None:
        super().__init__()
        check_counts(width=width, layers=layers, rank=1 if rank is None else rank)
        if version not in (1, 2):
            raise InputError("version", got=version, expected="1 or 2")
        if version == 1 and rank is not None:
            raise InputError("rank", got=rank, expected="None in version 1")
        self.width = width
        made = (_Cross1(width) if version == 1 else _Cross2(width, rank) for _ in range(layers))
        self.layers = nn.ModuleList(made)

    def forward(self, x0: torch.Tensor) -> torch.Tensor:
        """The last layer's output, ``(B, d)``.

        Args:
            x0: input, ``(B, d)``.

        Raises:
            InputError: another width.
        """
        if x0.ndim != 2 or x0.shape[1] != self.width:
            raise InputError("x0", got=f"shape {tuple(x0.shape)}", expected=f"(B, {self.width})")
        x = x0
        for layer in self.layers:
            x = layer(x0, x)
        return x


class _Cross1(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.weight, std=width**-0.5)

    def forward(self, x0: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x0 * (x @ self.weight)[:, None] + self.bias + x  # (B, d)


class _Cross2(nn.Module):
    def __init__(self, width: int, rank: int | None) -> None:
        super().__init__()
        if rank is None:
            self.linear = nn.Linear(width, width)
        else:
            self.linear = nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, width))

    def forward(self, x0: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x0 * self.linear(x) + x  # (B, d)


# ---- models ----------------------------------------------------------------------------------------------------


def mlp(widths: Sequence[int], *, last_relu: bool = True) -> nn.Sequential:
    """Linear layers with ReLU between them; taught in chapter 7.

    Args:
        widths: of the input and of each layer's output; a single width gives no layer at all.
        last_relu: whether the last layer has a ReLU after it too.

    Raises:
        InputError: a width is below 1.
    """
    if len(widths) > 1 and min(widths) < 1:
        raise InputError("widths", got=list(widths), expected="widths of at least 1")
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += [nn.Linear(wide, narrow), nn.ReLU(inplace=True)]  # nobody else reads the linear output
    return nn.Sequential(*(layers if last_relu else layers[:-1]))


class DotInteraction(nn.Module):
    r"""Dot products of all pairs among N vectors; taught in chapter 7.

    The strictly lower triangle of :math:`Z = X X^\top`, row by row: :math:`(1, 0), (2, 0), (2, 1), \dots`. The dense
    vector is row 0 of X, and stands unchanged in front of the products (Naumov et al. 2019, section 2.1.3).

    Args:
        vectors: N, the number of vectors, at least 2.
        width: length D of each of them.
        dense: whether the first vector is the dense one.

    Attributes:
        width: length of the output, N (N - 1) / 2, and D more with a dense vector.

    Raises:
        InputError: fewer than two vectors.
    """

    def __init__(self, vectors: int, width: int, dense: bool = True) -> None:
        super().__init__()
        if vectors < 2:
            raise InputError("vectors", got=vectors, expected="at least 2 for a pair")
        rows, columns = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("lower", rows * vectors + columns, persistent=False)
        self.width = vectors * (vectors - 1) // 2 + (width if dense else 0)

    def forward(self, dense: torch.Tensor | None, embedded: torch.Tensor) -> torch.Tensor:
        """Dense vector ``(B, D)`` or None, embeddings ``(B, F, D)`` -> ``(B, width)``."""
        if dense is None:
            return self._pairs(embedded)
        return torch.cat([dense, self._pairs(torch.cat([dense[:, None], embedded], dim=1))], dim=1)

    def _pairs(self, x: torch.Tensor) -> torch.Tensor:
        gram = torch.bmm(x, x.transpose(1, 2))  # (B, N, N)
        return gram.flatten(1).index_select(1, self.lower)  # (B, N (N - 1) / 2)


class ConcatInteraction(nn.Module):
    """No product: the N vectors side by side, ``(B, N * D)``; taught in chapter 7.

    Args:
        vectors: N, the number of vectors.
        width: length D of each of them.
        dense: whether the first vector is the dense one; the output is as wide either way.
    """

    def __init__(self, vectors: int, width: int, dense: bool = True) -> None:
        super().__init__()
        self.width = vectors * width

    def forward(self, dense: torch.Tensor | None, embedded: torch.Tensor) -> torch.Tensor:
        """Dense vector ``(B, D)`` or None, embeddings ``(B, F, D)`` -> ``(B, width)``."""
        flat = embedded.flatten(1)
        return flat if dense is None else torch.cat([dense, flat], dim=1)


class DLRM(nn.Module):
    r"""Deep Learning Recommendation Model (Naumov et al. 2019); taught in chapters 7 and 8.

    The embeddings :math:`e_1, \dots, e_F` and :math:`d = \text{bottom}(x)`, all of width D, meet in dot products:
    :math:`\text{logit} = \text{top}([d;\; e_1 \cdot d;\; e_2 \cdot d,\, e_2 \cdot e_1;\; \dots])`.

    Matrix factorisation is the case ``DLRM(0, [n_users, n_items], factors, [], [])``.

    Args:
        num_dense: number of dense features; 0 for none, and then ``bottom_mlp`` is empty.
        cardinalities: number of codes of each categorical feature.
        embedding_dim: D.
        bottom_mlp: layer widths on the dense features, ReLU after each, the last equal to D. Empty: the dense features
            themselves, D of them.
        top_mlp: layer widths, ReLU between them, the last 1. Empty: the interaction itself, if it is one number.
        sparse_mlp: layer widths of a small network for each embedding, ReLU after each, the last equal to D.
        interaction: ``"dot"``, or ``"cat"`` for the vectors side by side.

    Attributes:
        embeddings, bottom_mlp, sparse_mlps, interaction, top_mlp: the boxes of the diagram, in this order.

    Raises:
        InputError: widths that do not fit each other, or an unknown interaction.
    """

    def __init__(
        self,
        num_dense: int,
        cardinalities: Sequence[int],
        embedding_dim: int,
        bottom_mlp: Sequence[int],
        top_mlp: Sequence[int],
        *,
        sparse_mlp: Sequence[int] | None = None,
        interaction: str = "dot",
    ) -> None:
        super().__init__()
        kinds = {"dot": DotInteraction, "cat": ConcatInteraction}
        if interaction not in kinds:
            raise InputError("interaction", got=repr(interaction), expected="'dot' or 'cat'")
        if num_dense < 0 or (num_dense == 0 and len(bottom_mlp)):
            got = f"{num_dense} beside bottom_mlp {list(bottom_mlp)}"
            raise InputError("num_dense", got=got, expected="at least 1, or 0 and an empty bottom_mlp")
        self.num_dense = num_dense
        self.embeddings = EmbeddingBags(cardinalities, embedding_dim)
        if num_dense:
            _check_last("bottom_mlp", [num_dense, *bottom_mlp], embedding_dim, "embedding_dim")
        self.bottom_mlp = mlp([num_dense, *bottom_mlp])
        self.sparse_mlps = nn.ModuleList()
        if sparse_mlp is not None:
            _check_last("sparse_mlp", [embedding_dim, *sparse_mlp], embedding_dim, "embedding_dim")
            self.sparse_mlps.extend(mlp([embedding_dim, *sparse_mlp]) for _ in cardinalities)
        vectors = len(cardinalities) + bool(num_dense)
        self.interaction = kinds[interaction](vectors, embedding_dim, bool(num_dense))
        _check_last("top_mlp", [self.interaction.width, *top_mlp], 1, "one logit")
        self.top_mlp = mlp([self.interaction.width, *top_mlp], last_relu=False)

    def forward(
        self,
        dense: torch.Tensor | None,
        indices: Codes,
        offsets: Sequence[torch.Tensor] | None = None,
        weights: Weights = None,
    ) -> torch.Tensor:
        """Logits, ``(B,)``.

        Args:
            dense: dense features ``(B, num_dense)``, scaled; with ``num_dense=0`` None will do.
            indices: codes ``(B, F)``, one a feature; or F flat code vectors beside offsets.
            offsets: F vectors ``(B,)``, as :class:`course_utils.models.embedding_bags.EmbeddingBags` takes them.
            weights: of the codes, in the form of ``indices``; None: all 1.

        Raises:
            InputError: a code is out of range, a dense feature is nan, or shapes or offsets do not fit.
        """
        embedded = self.embeddings(indices, offsets, weights)  # (B, F, D)
        if self.sparse_mlps:
            parts = zip(self.sparse_mlps, embedded.unbind(1), strict=True)
            embedded = torch.stack([network(column) for network, column in parts], dim=1)
        checked = check_dense(dense, self.num_dense, embedded)
        bottom = self.bottom_mlp(checked) if self.num_dense else None  # (B, D)
        return self.top_mlp(self.interaction(bottom, embedded))[:, 0]


class DNN(nn.Module):
    """The baseline without products: dense features and embeddings side by side, then one network; chapter 8.

    Args:
        num_dense: number of dense features, 0 or more.
        cardinalities: number of codes of each categorical feature.
        embedding_dim: D.
        deep: widths of the hidden layers, ReLU after each; the logit is one more linear layer.

    Raises:
        InputError: a size is out of range.
    """

    def __init__(
        self, num_dense: int, cardinalities: Sequence[int], embedding_dim: int, deep: Sequence[int]
    ) -> None:
        super().__init__()
        self.num_dense = num_dense
        self.embeddings = EmbeddingBags(cardinalities, embedding_dim)
        self.network = mlp([num_dense + len(cardinalities) * embedding_dim, *deep, 1], last_relu=False)

    def forward(
        self,
        dense: torch.Tensor | None,
        indices: Codes,
        offsets: Sequence[torch.Tensor] | None = None,
        weights: Weights = None,
    ) -> torch.Tensor:
        """Logits, ``(B,)``; arguments and errors as in :meth:`DLRM.forward`."""
        return self.network(_side_by_side(self, dense, indices, offsets, weights))[:, 0]


class DCN(nn.Module):
    """Deep & Cross Network, version 1 (Wang et al. 2017) or 2 (Wang et al. 2021); taught in chapter 8.

    Raw dense features and embeddings side by side are the input :math:`x_0` of a cross network and of a deep one.

    Args:
        num_dense: number of dense features, 0 or more.
        cardinalities: number of codes of each categorical feature.
        embedding_dim: D.
        cross_layers: layers of the cross network.
        deep: widths of the deep network's layers, ReLU after each; may be empty.
        version: of the cross network, 1 or 2.
        rank: of its matrices, for version 2.
        structure: ``"parallel"``: both see :math:`x_0`, and one linear layer reads the two outputs side by side (so
            with an empty ``deep`` it reads :math:`x_0` itself beside the cross network); ``"stacked"``: the deep
            network sees what the cross network gives.

    Attributes:
        embeddings, cross, deep, top: in this order.

    Raises:
        InputError: a size or a choice is out of range.
    """

    def __init__(
        self,
        num_dense: int,
        cardinalities: Sequence[int],
        embedding_dim: int,
        cross_layers: int,
        deep: Sequence[int],
        *,
        version: int = 2,
        rank: int | None = None,
        structure: str = "parallel",
    ) -> None:
        super().__init__()
        if structure not in ("parallel", "stacked"):
            raise InputError("structure", got=repr(structure), expected="'parallel' or 'stacked'")
        self.num_dense, self.structure = num_dense, structure
        self.embeddings = EmbeddingBags(cardinalities, embedding_dim)
        width = num_dense + len(cardinalities) * embedding_dim
        self.cross = CrossNetwork(width, cross_layers, version=version, rank=rank)
        self.deep = mlp([width, *deep])
        last = [width, *deep][-1]
        self.top = nn.Linear(last + width if structure == "parallel" else last, 1)

    def forward(
        self,
        dense: torch.Tensor | None,
        indices: Codes,
        offsets: Sequence[torch.Tensor] | None = None,
        weights: Weights = None,
    ) -> torch.Tensor:
        """Logits, ``(B,)``; arguments and errors as in :meth:`DLRM.forward`."""
        x0 = _side_by_side(self, dense, indices, offsets, weights)
        crossed = self.cross(x0)  # (B, width)
        if self.structure == "stacked":
            return self.top(self.deep(crossed))[:, 0]
        return self.top(torch.cat([crossed, self.deep(x0)], dim=1))[:, 0]


def _side_by_side(
    model: DNN | DCN,
    dense: torch.Tensor | None,
    indices: Codes,
    offsets: Sequence[torch.Tensor] | None,
    weights: Weights,
) -> torch.Tensor:
    """Dense features first, then the embeddings: ``(B, num_dense + F * D)``."""
    embedded = model.embeddings(indices, offsets, weights)
    return torch.cat([check_dense(dense, model.num_dense, embedded), embedded.flatten(1)], dim=1)


def _check_last(name: str, widths: Sequence[int], wanted: int, what: str) -> None:
    if widths[-1] != wanted:
        raise InputError(name, got=f"a last width of {widths[-1]}", expected=f"{wanted}, {what}")
