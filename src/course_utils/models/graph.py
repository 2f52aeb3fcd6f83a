"""LightGCN, its kin with more kinds of nodes, GCN, and the propagation that they share; taught in chapter 9.

A graph is ``edge_index``, ``(2, n_edges)``: each edge twice, once in each direction, as PyTorch Geometric has it. Nodes
are numbered users first, then items, then what else there is. How graphs are made is in ``graph_data``.
"""

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, embedding

from course_utils.data.interactions import Interactions, check_codes, check_sizes, csr_tensor
from course_utils.errors import InputError, check_counts, check_range
from course_utils.learning import loop, losses
from course_utils.learning.negatives import uniform
from course_utils.models import graph_data
from course_utils.models.base import Codes, Described


def normalized_adjacency(
    edge_index: torch.Tensor, n_nodes: int, *, self_loops: bool = False, dtype: torch.dtype | None = None
) -> torch.Tensor:
    r"""The matrix :math:`\tilde A`, ``(n_nodes, n_nodes)`` in CSR form: :math:`1 / \sqrt{d_a d_b}` for each edge.

    d is a node's number of edges. The matrix is symmetric, its eigenvalues lie in [-1, 1]. He et al. (2020), equation
    3; with ``self_loops``, an edge from each node to itself that counts in d, Kipf and Welling (2017), equation 2. An
    edge twice, or without its way back, is an ``InputError``.
    """
    graph_data.check_undirected(edge_index, n_nodes)
    if self_loops:
        loops = torch.arange(n_nodes).expand(2, -1)
        edge_index = torch.cat([edge_index[:, edge_index[0] != edge_index[1]], loops], dim=1)
    row, column = edge_index[:, (edge_index[0] * n_nodes + edge_index[1]).argsort()]
    degree = torch.bincount(row, minlength=n_nodes)
    starts = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    weight = (degree[row] * degree[column]).to(dtype or torch.get_default_dtype()).rsqrt()
    return csr_tensor(starts, column, weight, (n_nodes, n_nodes))


def propagate(embeddings: torch.Tensor, adjacency: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    r"""A weighted sum of layers, :math:`\sum_l \alpha_l \tilde A^l E`, ``(n_nodes, f)``.

    Of the weights, :math:`\alpha_0` is that of E itself. The map is linear, and symmetric as :math:`\tilde A` must be:
    the gradient is the same map of the result's gradient, nothing is kept or transposed.
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


class GraphRecommender(Described, nn.Module):
    """A table with a row for each node, its training on edges, and scores as dot products of what ``forward`` makes.

    A model below says how: its ``encode`` makes the rows of all nodes, its ``error`` is the loss. ``embedding`` is the
    table, weight ``(n_nodes, factors)``: users, items, then ``n_others`` nodes of other kinds; it starts with standard
    deviation 0.1. After :meth:`fit`, ``adjacency`` is the normalised one, and ``history`` what ``loop.fit`` returned.
    """

    defaults: ClassVar[dict[str, float]]
    self_loops: ClassVar[bool] = False

    def __init__(
        self, n_users: int, n_items: int, factors: int = 64, layers: int = 2, *, seed: int = 0, n_others: int = 0
    ) -> None:
        super().__init__()
        check_counts(n_users=n_users, n_items=n_items, factors=factors)
        check_counts(0, layers=layers)
        self.n_users, self.n_items, self.factors, self.layers, self.seed = n_users, n_items, factors, layers, seed
        self.embedding = nn.Embedding(n_users + n_items + n_others, factors)
        self.adjacency = self.history = None
        GraphRecommender.reset_parameters(self)  # a subclass may not have all of its own yet

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Go back to the start: the same numbers for the same seed."""
        generator = torch.Generator(self.embedding.weight.device).manual_seed(self.seed)
        self.embedding.weight.normal_(0.0, 0.1, generator=generator)

    def penalty(self, *nodes: torch.Tensor) -> torch.Tensor:
        """The sum over sets of nodes of their rows' mean squared length before propagation, of shape ``()``."""
        length = self.embedding.weight.square().sum(-1)  # (n_nodes,); a row counts as often as it occurs
        share = [torch.bincount(some.flatten(), minlength=len(length)) / some.numel() for some in nodes]
        return sum(share).to(length) @ length

    def normalized(self, edge_index: torch.Tensor) -> torch.Tensor:
        """The :func:`normalized_adjacency` of this model, ``(n_nodes, n_nodes)``."""
        weight = self.embedding.weight
        return normalized_adjacency(edge_index, len(weight), self_loops=self.self_loops, dtype=weight.dtype)

    def edges(self, interactions: Interactions) -> torch.Tensor:
        """The edges to train on, ``(2, n_edges)``: those of the interactions, in both directions."""
        return graph_data.bipartite_graph(interactions).edge_index

    def forward(self, edge_index: torch.Tensor) -> torch.Tensor:
        """Embeddings of all nodes, ``(n_nodes, factors)``, from the edges or, which saves time, :meth:`normalized`."""
        if edge_index.layout != torch.sparse_csr:
            edge_index = self.normalized(edge_index)
        return self.encode(edge_index)

    def fit(self, interactions: Interactions, *, batch_size: int = 2048, negatives: int = 4, **options: object) -> Self:
        """Build the graph from these interactions and no other, start anew, and train; Adam, its step falling to 0.

        The ``negatives`` are unseen items for each interaction, drawn uniformly and anew in each epoch. Options are
        those of ``loop.fit``, such as ``epochs``, ``lr`` and ``validate``, and ``regularization``, which weighs the
        :meth:`penalty` of a batch's users and items; the class has ``defaults`` of three.
        """
        options = self.defaults | options
        weight = options.pop("regularization")
        check_sizes(interactions, self.n_users, self.n_items)
        check_range("0 or more", regularization=weight)
        check_counts(negatives=negatives)
        self.adjacency = self.normalized(self.edges(interactions))
        self.reset_parameters()
        pairs, generator = (interactions.users, interactions.items), torch.Generator().manual_seed(self.seed)
        batches = loop.batches(*pairs, batch_size=batch_size, generator=generator)

        def loss(module: Self, batch: loop.Batch) -> dict[str, torch.Tensor]:
            users = batch[0][:, None]  # (B, 1)
            unseen = uniform(interactions, batch[0], negatives, generator=generator)
            items = torch.cat([batch[1][:, None], unseen], dim=1) + module.n_users  # (B, 1 + negatives)
            nodes = module(module.adjacency)
            scores = (embedding(items, nodes) @ embedding(users, nodes).mT)[..., 0]  # (B, 1 + negatives)
            return {"error": module.error(scores), "penalty": weight * module.penalty(users, items)}

        self.history = loop.fit(self, batches, loss, decay=True, **options)
        return self

    @torch.no_grad()
    def score(self, users: Codes) -> torch.Tensor:
        """Dot products of each user's row with all items', ``(len(users), n_items)``."""
        nodes = self(self._fitted(self.adjacency))
        users = check_codes(users, self.n_users, "users")
        return nodes[users] @ nodes[self.n_users : self.n_users + self.n_items].T


class LightGCN(GraphRecommender):
    r"""Embeddings averaged over paths: :math:`\frac{1}{K+1} \sum_{l=0}^{K} \tilde A^l E`, trained with BPR.

    He et al. (2020), equations 3, 4 and 8. :math:`E`, one row a node, is all that is learned. With ``layers=0`` it is
    matrix factorisation without biases. Defaults: validation on MovieLens-100K.
    """

    defaults: ClassVar = {"epochs": 30, "lr": 0.04, "regularization": 3e-3}

    def encode(self, adjacency: torch.Tensor) -> torch.Tensor:
        """The mean of layers 0 to K, ``(n_nodes, factors)``."""
        return propagate(self.embedding.weight, adjacency, [1 / (self.layers + 1)] * (self.layers + 1))

    def error(self, scores: torch.Tensor) -> torch.Tensor:
        """BPR of ``(B, 1 + negatives)``: the interaction, column 0, shall lead each unseen item of its user."""
        return losses.bpr_loss(scores[:, :1].expand_as(scores[:, 1:]), scores[:, 1:])


class HeteroLightGCN(LightGCN):
    """LightGCN on a ``hetero_graph``: whatever its kind, a node has a row that is trained, an edge carries messages."""

    def __init__(self, graph: graph_data.HeteroData, factors: int = 64, layers: int = 2, *, seed: int = 0) -> None:
        if graph.node_types[:2] != ["user", "item"]:
            raise InputError("graph", got=f"node kinds {graph.node_types}", expected="'user', 'item', others")
        n_users, n_items = graph["user"].num_nodes, graph["item"].num_nodes
        super().__init__(n_users, n_items, factors, layers, seed=seed, n_others=graph.num_nodes - n_users - n_items)
        self.graph = graph

    def edges(self, interactions: Interactions) -> torch.Tensor:
        """All edges with the nodes of all kinds in one numbering; those of users and items must be the interactions."""
        rated = self.graph["user", "rated", "item"].edge_index
        known = rated[0] * self.n_items + rated[1]
        given = interactions.users * self.n_items + interactions.items
        if not known.sort().values.equal(given.sort().values):
            extra = int((~torch.isin(known, given)).sum())
            got = f"{len(given)} pairs, while the graph has {len(known)}, {extra} of them others"
            raise InputError("interactions", got=got, expected="the pairs that the graph was made of")
        return self.graph.to_homogeneous(add_node_type=False, add_edge_type=False).edge_index


class GCNRecommender(GraphRecommender):
    r"""Link prediction with a graph convolutional network: encoder, dot product as log odds, cross entropy.

    A layer is :math:`X \leftarrow \tilde A X W + b`, with a ReLU after each but the last (Kipf and Welling 2017,
    equation 2), a linear map of ``convolutions``; :math:`\tilde A` has self-loops, X starts as the table.
    """

    defaults: ClassVar = {"epochs": 40, "lr": 0.01, "regularization": 1e-3}
    self_loops: ClassVar = True

    def __init__(self, n_users: int, n_items: int, factors: int = 64, layers: int = 2, *, seed: int = 0) -> None:
        super().__init__(n_users, n_items, factors, layers, seed=seed)
        self.convolutions = nn.ModuleList(nn.Linear(factors, factors) for _ in range(layers))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Go back to the start: maps by Glorot's rule, biases 0."""
        super().reset_parameters()
        generator = torch.Generator(self.embedding.weight.device).manual_seed(self.seed)
        for linear in self.convolutions:
            nn.init.xavier_uniform_(linear.weight, generator=generator)
            linear.bias.zero_()

    def encode(self, adjacency: torch.Tensor) -> torch.Tensor:
        """The last layer, ``(n_nodes, factors)``."""
        x = self.embedding.weight
        for place, linear in enumerate(self.convolutions):
            x = propagate(x @ linear.weight.T, adjacency, (0.0, 1.0)) + linear.bias
            x = x.relu() if place < self.layers - 1 else x
        return x

    def error(self, scores: torch.Tensor) -> torch.Tensor:
        """Cross entropy of ``(B, 1 + negatives)``: column 0 is an edge, the others are none."""
        return binary_cross_entropy_with_logits(scores, torch.eye(1, scores.shape[1]).to(scores).expand_as(scores))
