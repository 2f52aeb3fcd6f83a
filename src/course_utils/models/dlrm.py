"""Click models: DLRM, DCN and a plain network, one forward for all.

B is the number of rows in a batch, F the number of categorical features, D the width of an embedding. Each model gives
logits ``(B,)``, the log odds of a click, and is trained with :func:`click_loss`.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils.errors import InputError, check_choice, check_counts, check_shape, refuse
from course_utils.models.embedding_bags import Codes, Dense, EmbeddingBags, Offsets, Weights, check_dense, unpadded


def inputs(batch: Sequence[Tensor]) -> tuple:
    """``(dense, indices, offsets)`` of a click model from a batch of :meth:`Rows.tensors`; taught in chapter 8."""
    dense, codes, *bags, _ = batch
    if not bags:
        return dense, codes, None
    values, offsets = unpadded(bags)
    starts = [torch.arange(len(codes))] * codes.shape[1]  # of bags of one code each
    return dense, [*codes.T, *values], [*starts, *offsets]


def click_loss(module: nn.Module, batch: Sequence[Tensor]) -> Tensor:
    """Mean cross entropy of a click model over a batch of :meth:`Rows.tensors`, ``()``; taught in chapter 8."""
    return binary_cross_entropy_with_logits(module(*inputs(batch)), batch[-1])


def mlp(widths: Sequence[int], *, last_relu: bool = True) -> nn.Sequential:
    """A linear layer from each width to the next, a ReLU behind it, the last too if ``last_relu``; chapter 7."""
    if len(widths) > 1:
        check_counts(widths=min(widths))
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += [nn.Linear(wide, narrow), nn.ReLU(inplace=True)]  # nobody else reads the linear output
    return nn.Sequential(*(layers if last_relu else layers[:-1]))


class DotInteraction(nn.Module):
    r"""Dot products of all pairs among N vectors of length D; taught in chapter 7.

    The strictly lower triangle of :math:`Z = X X^\top`, row by row: :math:`(1, 0), (2, 0), (2, 1), \dots`. A dense
    vector is row 0 of X and stands unchanged in front, D more numbers (Naumov et al. 2019, section 2.1.3).
    """

    def __init__(self, vectors: int, width: int, dense: bool = True) -> None:
        super().__init__()
        check_counts(2, vectors=vectors)
        rows, columns = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("lower", rows * vectors + columns, persistent=False)
        self.width = vectors * (vectors - 1) // 2 + (width if dense else 0)

    def forward(self, dense: Dense, embedded: Tensor) -> Tensor:
        """Dense vector ``(B, D)`` or None, embeddings ``(B, F, D)`` -> ``(B, width)``."""
        x = embedded if dense is None else torch.cat([dense[:, None], embedded], dim=1)  # (B, N, D)
        gram = torch.bmm(x, x.transpose(1, 2))  # (B, N, N)
        pairs = gram.flatten(1).index_select(1, self.lower)  # (B, N (N - 1) / 2)
        return pairs if dense is None else torch.cat([dense, pairs], dim=1)


class ConcatInteraction(nn.Module):
    """No product: the N vectors of length D side by side, ``(B, N * D)``; taught in chapter 7."""

    def __init__(self, vectors: int, width: int, dense: bool = True) -> None:
        super().__init__()
        self.width = vectors * width

    def forward(self, dense: Dense, embedded: Tensor) -> Tensor:
        """Dense vector ``(B, D)`` or None, embeddings ``(B, F, D)`` -> ``(B, width)``."""
        return embedded.flatten(1) if dense is None else torch.cat([dense, embedded.flatten(1)], dim=1)


class CrossNetwork(nn.Module):
    r"""Layers that multiply the input by a function of the last output; taught in chapter 8.

    With :math:`x_0` the input, layer l gives

    - version 1: :math:`x_{l+1} = x_0\, (x_l^\top w_l) + b_l + x_l` (Wang et al. 2017, equation 3): one number a row;
    - version 2: :math:`x_{l+1} = x_0 \odot (W_l x_l + b_l) + x_l` (Wang et al. 2021, equation 1): one number an entry.
      With ``rank`` r, :math:`W_l = U_l V_l^\top` with two matrices of r columns (equation 2); None: a full matrix.

    After L layers the output holds products of up to L + 1 entries of the input. Each of ``layers`` has ``weight`` and
    ``bias``, both ``(width,)``, in version 1; in version 2 ``linear``, one ``nn.Linear``, or two with ``rank``.
    """

    def __init__(self, width: int, layers: int, *, version: int = 2, rank: int | None = None) -> None:
        super().__init__()
        check_counts(width=width, layers=layers, rank=1 if rank is None else rank)
        check_choice((1, 2), version=version)
        refuse(version == 1 and rank is not None, "rank", rank, "None in version 1")
        self.width = width
        self.layers = nn.ModuleList(_Cross1(width) if version == 1 else _Cross2(width, rank) for _ in range(layers))

    def forward(self, x0: Tensor) -> Tensor:
        """The last layer's output, ``(B, width)``, of an input ``(B, width)``."""
        check_shape("B", self.width, x0=x0)
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

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        return x0 * (x @ self.weight)[:, None] + self.bias + x  # (B, width)


class _Cross2(nn.Module):
    def __init__(self, width: int, rank: int | None) -> None:
        super().__init__()
        if rank is None:
            self.linear = nn.Linear(width, width)
        else:
            self.linear = nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, width))

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        return x0 * self.linear(x) + x  # (B, width)


class _ClickModel(nn.Module):
    """Looks the codes up; ``_logits`` of each model goes on: ``(B, num_dense)``, ``(B, F, D)`` -> ``(B, 1)``."""

    def __init__(self, num_dense: int, cardinalities: Sequence[int], embedding_dim: int) -> None:
        super().__init__()
        check_counts(0, num_dense=num_dense)
        self.num_dense = num_dense
        self.embeddings = EmbeddingBags(cardinalities, embedding_dim)

    def forward(self, dense: Dense, indices: Codes, offsets: Offsets = None, weights: Weights = None) -> Tensor:
        """Logits, ``(B,)``, of scaled dense features ``(B, num_dense)`` and of codes as in :class:`EmbeddingBags`."""
        embedded = self.embeddings(indices, offsets, weights)  # (B, F, D)
        return self._logits(check_dense(dense, self.num_dense, embedded), embedded)[:, 0]


class DLRM(_ClickModel):
    r"""Deep Learning Recommendation Model (Naumov et al. 2019); taught in chapters 7 and 8.

    The embeddings :math:`e_1, \dots, e_F` and :math:`d = \text{bottom}(x)`, all of width D, meet in dot products:
    :math:`\text{logit} = \text{top}([d;\; e_1 \cdot d;\; e_2 \cdot d,\, e_2 \cdot e_1;\; \dots])`.
    Matrix factorisation is the case ``DLRM(0, [n_users, n_items], factors, [], [])``.

    Args:
        num_dense: number of dense features; 0 for none, and then ``bottom_mlp`` is empty.
        cardinalities, embedding_dim: number of codes of each categorical feature; D.
        bottom_mlp: layer widths on the dense features, ReLU after each, the last D. Empty: the D features themselves.
        top_mlp: layer widths, ReLU between them, the last 1. Empty: the interaction itself, if it is one number.
        sparse_mlp: layer widths of a small network for each embedding, ReLU after each, the last D; None for none.
        interaction: ``"dot"``, or ``"cat"`` for the vectors side by side.
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
        kinds = {"dot": DotInteraction, "cat": ConcatInteraction}
        check_choice(kinds, interaction=interaction)
        super().__init__(num_dense, cardinalities, embedding_dim)
        if num_dense:
            _check_last("bottom_mlp", [num_dense, *bottom_mlp], embedding_dim)
        elif len(bottom_mlp):
            raise InputError("num_dense", got="0 beside a bottom_mlp", expected="at least 1, or no layers")
        self.bottom_mlp = mlp([num_dense, *bottom_mlp])
        sparse_widths = [embedding_dim, *(sparse_mlp or [])]
        _check_last("sparse_mlp", sparse_widths, embedding_dim)
        self.sparse_mlps = nn.ModuleList(mlp(sparse_widths) for _ in cardinalities if sparse_mlp is not None)
        vectors = len(cardinalities) + bool(num_dense)
        self.interaction = kinds[interaction](vectors, embedding_dim, bool(num_dense))
        _check_last("top_mlp", [self.interaction.width, *top_mlp], 1)
        self.top_mlp = mlp([self.interaction.width, *top_mlp], last_relu=False)

    def _logits(self, dense: Tensor, embedded: Tensor) -> Tensor:
        if self.sparse_mlps:
            parts = zip(self.sparse_mlps, embedded.unbind(1), strict=True)
            embedded = torch.stack([network(column) for network, column in parts], dim=1)
        bottom = self.bottom_mlp(dense) if self.num_dense else None  # (B, D)
        return self.top_mlp(self.interaction(bottom, embedded))


class DNN(_ClickModel):
    """The baseline: dense features and embeddings side by side, hidden layers of widths ``deep``; chapter 8."""

    def __init__(self, num_dense: int, cardinalities: Sequence[int], embedding_dim: int, deep: Sequence[int]) -> None:
        super().__init__(num_dense, cardinalities, embedding_dim)
        self.network = mlp([num_dense + len(cardinalities) * embedding_dim, *deep, 1], last_relu=False)

    def _logits(self, dense: Tensor, embedded: Tensor) -> Tensor:
        return self.network(torch.cat([dense, embedded.flatten(1)], dim=1))


class DCN(_ClickModel):
    """Deep & Cross Network, version 1 (Wang et al. 2017) or 2 (Wang et al. 2021); taught in chapter 8.

    Raw dense features and embeddings side by side are the input :math:`x_0` of a :class:`CrossNetwork` and of a deep
    network with layers of widths ``deep``, or none; one linear layer reads the two outputs.
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
    ) -> None:
        super().__init__(num_dense, cardinalities, embedding_dim)
        width = num_dense + len(cardinalities) * embedding_dim
        self.cross = CrossNetwork(width, cross_layers, version=version)
        self.deep = mlp([width, *deep])
        self.top = nn.Linear(width + [width, *deep][-1], 1)

    def _logits(self, dense: Tensor, embedded: Tensor) -> Tensor:
        x0 = torch.cat([dense, embedded.flatten(1)], dim=1)  # (B, width)
        return self.top(torch.cat([self.cross(x0), self.deep(x0)], dim=1))


def _check_last(name: str, widths: Sequence[int], wanted: int) -> None:
    refuse(widths[-1] != wanted, name, f"a last width of {widths[-1]}", wanted)
