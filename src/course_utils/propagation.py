"""Propagation on an undirected graph: the normalised adjacency and its product (floor 3); taught in chapter 9."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from course_utils.errors import InputError
from course_utils.interactions import csr_tensor


def check_undirected(edge_index: torch.Tensor, n_nodes: int) -> None:
    """Refuse a list of edges that holds one twice, or one without its way back.

    Args:
        edge_index: ``(2, n_edges)``, each column one direction of an edge.
        n_nodes: number of nodes.

    Raises:
        InputError: the shape is wrong, a node is unknown, an edge stands there twice, or goes one way only.
    """
    if edge_index.ndim != 2 or len(edge_index) != 2:
        raise InputError("edge_index", got=f"shape {tuple(edge_index.shape)}", expected="shape (2, n_edges)")
    if edge_index.numel() == 0:
        return
    low, high = int(edge_index.min()), int(edge_index.max())
    if low < 0 or high >= n_nodes:
        raise InputError("edge_index", got=f"nodes {low}..{high}", expected=f"nodes in 0..{n_nodes - 1}")
    keys, counts = (edge_index[0] * n_nodes + edge_index[1]).unique(return_counts=True)  # sorted
    if (counts > 1).any():
        pair = divmod(int(keys[counts > 1][0]), n_nodes)
        got = f"{int((counts > 1).sum())} repeated edge(s), the first is {pair}"
        raise InputError("edge_index", got=got, expected="each edge once in each direction")
    back = keys % n_nodes * n_nodes + keys // n_nodes
    alone = ~torch.isin(keys, back)
    if alone.any():
        pair = divmod(int(keys[alone][0]), n_nodes)
        got = f"{int(alone.sum())} edge(s) without their way back, the first is {pair}"
        raise InputError("edge_index", got=got, expected="both directions: torch_geometric's to_undirected")


def normalized_adjacency(
    edge_index: torch.Tensor, n_nodes: int, *, self_loops: bool = False, dtype: torch.dtype | None = None
) -> torch.Tensor:
    r"""The matrix :math:`\tilde A`: entry :math:`1 / \sqrt{d_a d_b}` for each edge, d being a node's number of edges.

    It is symmetric, and its eigenvalues lie in [-1, 1]. Kipf and Welling (2017), equation 2, with ``self_loops``;
    He et al. (2020), equation 3, without. A node without an edge has a row of zeros.

    Args:
        edge_index: ``(2, n_edges)``, undirected, see :func:`check_undirected`.
        n_nodes: number of nodes.
        self_loops: True adds an edge from each node to itself and counts it in d.
        dtype: type of the entries, torch's default when left out.

    Returns:
        ``(n_nodes, n_nodes)``, sparse in CSR form.

    Raises:
        InputError: the edges are not undirected.
    """
    check_undirected(edge_index, n_nodes)
    if self_loops:
        loops = torch.arange(n_nodes).expand(2, -1)
        edge_index = torch.cat([edge_index[:, edge_index[0] != edge_index[1]], loops], dim=1)
    row, column = edge_index[:, (edge_index[0] * n_nodes + edge_index[1]).argsort()]
    degree = torch.bincount(row, minlength=n_nodes)
    starts = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    weight = (degree[row] * degree[column]).to(dtype or torch.get_default_dtype()).rsqrt()
    return csr_tensor(starts, column, weight, (n_nodes, n_nodes))


def propagate(embeddings: torch.Tensor, adjacency: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    r"""A weighted sum of layers, :math:`\sum_l \alpha_l \tilde A^l E`.

    The map is linear, and as symmetric as :math:`\tilde A`. So the gradient with respect to E is the same map applied
    to the gradient of the result: nothing of the way forward is kept, and the matrix is never transposed.

    Args:
        embeddings: E, ``(n_nodes, f)``.
        adjacency: :math:`\tilde A` of :func:`normalized_adjacency`. One that is not symmetric gets a wrong gradient.
        weights: :math:`\alpha_0, \alpha_1, \dots`, one a layer; layer 0 is E itself.

    Returns:
        ``(n_nodes, f)``.
    """
    return _Propagation.apply(embeddings, adjacency, tuple(weights))


class _Propagation(torch.autograd.Function):
    """The sum of layers by Horner's rule: one sparse product a layer, forward and backward alike."""

    @staticmethod
    def forward(ctx, embeddings, adjacency, weights):
        ctx.adjacency, ctx.weights = adjacency, weights
        *lower, last = weights
        out = last * embeddings
        for weight in reversed(lower):
            out = torch.addmm(embeddings, adjacency, out, beta=weight)
        return out

    @staticmethod
    def backward(ctx, gradient):
        return _Propagation.apply(gradient, ctx.adjacency, ctx.weights), None, None
