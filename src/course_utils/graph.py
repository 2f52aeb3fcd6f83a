"""Recommenders on graphs of users, items and more (floor 3); taught in chapter 9.

A graph is ``edge_index``, ``(2, n_edges)``: each edge twice, once in each direction, as PyTorch Geometric has it. Nodes
are numbered users first, then items, then what else there is. How graphs are made is in ``graph_data``, training and
scores in ``graph_base``, the product with the normalised adjacency in ``propagation``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils import losses
from course_utils.errors import InputError
from course_utils.graph_base import GraphRecommender
from course_utils.graph_data import bipartite_graph, hetero_graph
from course_utils.interactions import Interactions
from course_utils.propagation import propagate

if TYPE_CHECKING:  # at run time graph_data imports PyG, without its warning
    from torch_geometric.data import HeteroData

__all__ = ["GCNRecommender", "HeteroLightGCN", "LightGCN", "bipartite_graph", "hetero_graph"]


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
        history: what ``train.fit`` returned, after :meth:`fit`.

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
        history: what ``train.fit`` returned, after :meth:`fit`.

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
