"""What all graph recommenders share: a table of nodes, its training on edges, scores (floor 3); taught in chapter 9."""

from __future__ import annotations

from typing import ClassVar, Self

import pandas as pd
import torch
from torch import nn
from torch.nn.functional import embedding

from course_utils import sampling, train
from course_utils.errors import InputError, NotFittedError
from course_utils.graph_data import bipartite_graph
from course_utils.interactions import Interactions, check_codes, check_sizes
from course_utils.propagation import normalized_adjacency


class GraphRecommender(nn.Module):
    """A table with a row for each node, its training on edges, and scores as dot products of what ``forward`` makes."""

    defaults: ClassVar[dict[str, float]]
    self_loops: ClassVar[bool] = False

    def __init__(self, sizes: dict[str, int], n_nodes: int, layers: int, std: float, seed: int) -> None:
        super().__init__()
        for name, size in sizes.items():
            if size < 1:
                raise InputError(name, got=size, expected="at least 1")
        if layers < 0:
            raise InputError("layers", got=layers, expected="0 or more")
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
        **loop: object,
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
            loop: ``validate``, ``patience``, ``higher_is_better``, ``progress`` of
                :func:`course_utils.train.fit`, which refuses any other.

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
        batches = train.batches(*pairs, batch_size=batch_size, generator=generator)

        def loss(module: Self, batch: train.Batch) -> dict[str, torch.Tensor]:
            users = batch[0][:, None]  # (B, 1)
            unseen = sampling.uniform(interactions, batch[0], negatives, generator=generator)
            items = torch.cat([batch[1][:, None], unseen], dim=1) + module.n_users  # (B, 1 + negatives)
            nodes = module(module.adjacency)
            scores = (embedding(items, nodes) @ embedding(users, nodes).mT)[..., 0]  # (B, 1 + negatives)
            penalty = module.penalty(users, items)
            return {"error": module.error(scores), "penalty": chosen["regularization"] * penalty}

        self.history = train.fit(
            self, batches, loss, epochs=chosen["epochs"], lr=chosen["lr"], decay=True, **loop
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
