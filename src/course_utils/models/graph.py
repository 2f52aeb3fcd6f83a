"""LightGCN, its kin with more kinds of nodes, GCN, and the propagation that they share; taught in chapter 9.

A graph is ``edge_index``, ``(2, n_edges)``: each edge twice, once in each direction, as PyTorch Geometric has it. Nodes
are numbered users first, then items, then what else there is. How graphs are made is in
``graph_data``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self

import pandas as pd
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, embedding

from course_utils.data.interactions import Interactions, check_codes, check_sizes, csr_tensor
from course_utils.errors import InputError, NotFittedError, check_counts
from course_utils.learning import loop, losses
from course_utils.learning.negatives import uniform
from course_utils.models.graph_data import bipartite_graph, check_undirected

# ---- propagation -----------------------------------------------------------------------------------------------


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


# ---- what all graph recommenders share -------------------------------------------------------------------------


class GraphRecommender(nn.Module):
    """A table with a row for each node, its training on edges, and scores as dot products of what ``forward`` makes."""

    defaults: ClassVar[dict[str, float]]
    self_loops: ClassVar[bool] = False

    def __init__(self, sizes: dict[str, int], n_nodes: int, layers: int, std: float, seed: int) -> None:
        super().__init__()
        check_counts(**sizes)
        check_counts(0, layers=layers)
        if not std > 0:  # from zero embeddings there is no gradient
            raise InputError("std", got=std, expected="a number above 0")
        self.n_users, self.n_items = sizes["n_users"], sizes["n_items"]
        self.layers, self.std, self.seed = layers, std, seed
        self.embedding = nn.Embedding(n_nodes, sizes["factors"])
        self.adjacency: torch.Tensor | None = None
        self.history: pd.DataFrame | None = None

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Go back to the start: the same numbers for the same seed."""
        generator = torch.Generator(self.embedding.weight.device).manual_seed(self.seed)
        self.embedding.weight.normal_(0.0, self.std, generator=generator)

    def penalty(self, *nodes: torch.Tensor) -> torch.Tensor:
        """The sum over the given sets of nodes of their rows' mean squared length before propagation, of shape ``()``.

        A row counts as often as it occurs. So it is enough to count: no row is looked up.

        Args:
            nodes: node numbers, any shape.
        """
        length = self.embedding.weight.square().sum(-1)
        share = [torch.bincount(some.flatten(), minlength=len(length)) / some.numel() for some in nodes]
        return sum(share).to(length) @ length

    def normalized(self, edge_index: torch.Tensor) -> torch.Tensor:
        """The normalised adjacency of this model, ``(n_nodes, n_nodes)`` in CSR form: what ``forward`` also takes.

        Args:
            edge_index: ``(2, n_edges)``, undirected.

        Raises:
            InputError: an edge stands there twice, goes one way only, or to an unknown node.
        """
        weight = self.embedding.weight
        return normalized_adjacency(edge_index, len(weight), self_loops=self.self_loops, dtype=weight.dtype)

    def edges(self, interactions: Interactions) -> torch.Tensor:
        """The edges to train on, ``(2, n_edges)``: those of the interactions, in both directions.

        Args:
            interactions: the training part.

        Raises:
            InputError: they are not what the model's graph was made of.
        """
        return bipartite_graph(interactions).edge_index

    def forward(self, edge_index: torch.Tensor) -> torch.Tensor:
        """Embeddings of all nodes, ``(n_nodes, factors)``, users first, then items.

        Args:
            edge_index: ``(2, n_edges)``, undirected; or :meth:`normalized` of it, which saves making it each time.

        Raises:
            InputError: the edges are not undirected.
        """
        if edge_index.layout != torch.sparse_csr:
            edge_index = self.normalized(edge_index)
        return self.encode(edge_index)

    def encode(self, adjacency: torch.Tensor) -> torch.Tensor:
        """What ``forward`` gives, from the normalised adjacency.

        Args:
            adjacency: ``(n_nodes, n_nodes)``, of :meth:`normalized`.
        """
        raise NotImplementedError

    def error(self, scores: torch.Tensor) -> torch.Tensor:
        """The loss of a batch without its penalty, of shape ``()``.

        Args:
            scores: ``(B, 1 + negatives)``; column 0 is the interaction, the others are unseen items of the same user.
        """
        raise NotImplementedError

    def fit(
        self,
        interactions: Interactions,
        *,
        epochs: int | None = None,
        lr: float | None = None,
        regularization: float | None = None,
        batch_size: int = 2048,
        negatives: int = 4,
        **options: object,
    ) -> Self:
        """Build the graph from these interactions and no other, start anew, and train; Adam, its step falling to 0.

        Args:
            interactions: the training part.
            epochs: passes over the interactions; ``defaults`` of the class unless given, as the next two.
            lr: step size at the start.
            regularization: weight of the penalty: the mean over users and items of the batch of the squared length
                of their rows in the table, before any propagation. 0 or more.
            batch_size: interactions a step. Each step propagates over the whole graph.
            negatives: unseen items for each interaction, drawn uniformly and anew in each epoch.
            options: ``validate``, ``patience``, ``higher_is_better``, ``progress`` of
                :func:`course_utils.learning.loop.fit`, which refuses any other.

        Raises:
            InputError: an argument is out of range, or the interactions have other sizes than the model.
            DivergedError: a loss became nan or infinite.
        """
        given = {"epochs": epochs, "lr": lr, "regularization": regularization}
        chosen = self.defaults | {name: value for name, value in given.items() if value is not None}
        check_sizes(interactions, self.n_users, self.n_items)
        for name, value, least in (
            ("regularization", chosen["regularization"], 0),
            ("negatives", negatives, 1),
        ):
            if not value >= least:
                raise InputError(name, got=value, expected=f"{least} or more")
        self.adjacency = self.normalized(self.edges(interactions))
        self.reset_parameters()
        generator = torch.Generator().manual_seed(self.seed)
        pairs = interactions.users, interactions.items
        batches = loop.batches(*pairs, batch_size=batch_size, generator=generator)

        def loss(module: Self, batch: loop.Batch) -> dict[str, torch.Tensor]:
            users = batch[0][:, None]  # (B, 1)
            unseen = uniform(interactions, batch[0], negatives, generator=generator)
            items = torch.cat([batch[1][:, None], unseen], dim=1) + module.n_users  # (B, 1 + negatives)
            nodes = module(module.adjacency)
            scores = (embedding(items, nodes) @ embedding(users, nodes).mT)[..., 0]  # (B, 1 + negatives)
            penalty = module.penalty(users, items)
            return {"error": module.error(scores), "penalty": chosen["regularization"] * penalty}

        self.history = loop.fit(
            self, batches, loss, epochs=chosen["epochs"], lr=chosen["lr"], decay=True, **options
        )
        return self

    @torch.no_grad()
    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all items, ``(len(users), n_items)``, higher is better.

        Args:
            users: user codes, ``(n,)``.

        Raises:
            NotFittedError: ``fit`` was not called, so there is no graph.
            InputError: a code is unknown.
        """
        if self.adjacency is None:
            raise NotFittedError(self)
        users = check_codes(users, self.n_users, "users")
        nodes = self(self.adjacency)
        return nodes[users] @ nodes[self.n_users : self.n_users + self.n_items].T


# ---- models ----------------------------------------------------------------------------------------------------


if TYPE_CHECKING:  # at run time graph_data imports PyG, without its warning
    from torch_geometric.data import HeteroData


class LightGCN(GraphRecommender):
    r"""Embeddings averaged over paths: :math:`\frac{1}{K+1} \sum_{l=0}^{K} \tilde A^l E`, trained with BPR.

    He et al. (2020), equations 3, 4 and 8. :math:`E`, one row a node, is all that is learned. The score of a user and
    an item is the dot product of their averaged rows. With ``layers=0`` it is matrix factorisation without biases.

    Chosen on MovieLens-100K, inside the training part of ``random_split(seed=0)``, by NDCG@10: .275. Step size .02
    .271; regularization 1e-3 .261, 5e-3 .264; two negatives .261. One layer .269, three .264.

    Args:
        n_users: number of user codes.
        n_items: number of item codes.
        factors: length of a row, at least 1.
        layers: K, 0 or more.
        std: standard deviation of the rows at the start, above 0.
        seed: seed of the start, and of the batches in :meth:`fit`.

    Attributes:
        embedding: the table, weight ``(n_users + n_items, factors)``, users first.
        adjacency: the graph's normalised adjacency in CSR form, after :meth:`fit`.
        history: what ``loop.fit`` returned, after :meth:`fit`.

    Raises:
        InputError: an argument is out of range.
    """

    defaults: ClassVar = {"epochs": 30, "lr": 0.04, "regularization": 3e-3}

    def __init__(
        self,
        n_users: int,
        n_items: int,
        factors: int = 64,
        layers: int = 2,
        *,
        std: float = 0.1,
        seed: int = 0,
    ) -> None:
        sizes = {"n_users": n_users, "n_items": n_items, "factors": factors}
        super().__init__(sizes, n_users + n_items, layers, std, seed)
        self.reset_parameters()

    def encode(self, adjacency: torch.Tensor) -> torch.Tensor:
        """The mean of layers 0 to K, ``(n_nodes, factors)``."""
        weights = [1 / (self.layers + 1)] * (self.layers + 1)
        return propagate(self.embedding.weight, adjacency, weights)

    def error(self, scores: torch.Tensor) -> torch.Tensor:
        """BPR: the interaction, column 0, shall lead each unseen item beside it."""
        return losses.bpr_loss(scores[:, :1].expand_as(scores[:, 1:]), scores[:, 1:])


class HeteroLightGCN(LightGCN):
    """LightGCN on a graph with more kinds of nodes and edges than users and items.

    A node is a node: each has a row in the table, and each edge carries messages both ways, whatever its kind. BPR on
    users and items trains all of them.

    Args:
        graph: of :func:`hetero_graph`: node kinds ``"user"`` and ``"item"`` first.
        factors: as in :class:`LightGCN`, as the next three.
        layers: see there.
        std: see there.
        seed: see there.

    Raises:
        InputError: an argument is out of range, or the first two node kinds are others.
    """

    def __init__(
        self, graph: HeteroData, factors: int = 64, layers: int = 2, *, std: float = 0.1, seed: int = 0
    ) -> None:
        if graph.node_types[:2] != ["user", "item"]:
            raise InputError("graph", got=f"node kinds {graph.node_types}", expected="'user', 'item', others")
        sizes = {"n_users": graph["user"].num_nodes, "n_items": graph["item"].num_nodes, "factors": factors}
        GraphRecommender.__init__(self, sizes, graph.num_nodes, layers, std, seed)
        self.graph = graph
        self.reset_parameters()

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
    r"""Link prediction with a graph convolutional network: encoder, dot product, cross entropy with negatives.

    A layer of the encoder is :math:`X \leftarrow \tilde A X W + b`, with a ReLU after each but the last (Kipf and
    Welling 2017, equation 2); :math:`\tilde A` has self-loops, and X starts as a learned row for each node. The dot
    product of a user's and an item's row is the log odds of an edge.

    Args:
        n_users: number of user codes.
        n_items: number of item codes.
        factors: length of a row, in each layer.
        layers: number of layers, 1 or more.
        std: standard deviation of the rows at the start, above 0.
        seed: seed of the start, and of the batches in :meth:`fit`.

    Attributes:
        embedding: the table, weight ``(n_users + n_items, factors)``, users first.
        convolutions: one linear map a layer.
        adjacency: the graph's normalised adjacency in CSR form, after :meth:`fit`.
        history: what ``loop.fit`` returned, after :meth:`fit`.

    Raises:
        InputError: an argument is out of range.
    """

    defaults: ClassVar = {"epochs": 40, "lr": 0.01, "regularization": 1e-3}
    self_loops: ClassVar = True

    def __init__(
        self,
        n_users: int,
        n_items: int,
        factors: int = 64,
        layers: int = 2,
        *,
        std: float = 0.1,
        seed: int = 0,
    ) -> None:
        sizes = {"n_users": n_users, "n_items": n_items, "factors": factors}
        super().__init__(sizes, n_users + n_items, layers, std, seed)
        self.convolutions = nn.ModuleList(nn.Linear(factors, factors) for _ in range(layers))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Go back to the start: the same numbers for the same seed; maps by Glorot's rule, biases 0."""
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
        """Cross entropy: column 0 is an edge, the others are none."""
        return binary_cross_entropy_with_logits(
            scores, torch.eye(1, scores.shape[1]).to(scores).expand_as(scores)
        )
