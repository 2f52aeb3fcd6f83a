"""What propagation does on MovieLens-100K, over three seeds. Chapter 9 shows ``results/ch09_graph.csv``.

    python experiments/ch09_graph.py                 everything
    python experiments/ch09_graph.py layers kinds    these only; the other rows stay

One row a number: ``experiment``, ``setting``, ``seed``, ``measure``, ``value``. All on ``random_split`` seeds 0, 1, 2.
The fitted models have their default settings but for what is named. LightGCN, GCN and the factorisation with the same
loss stand in the league table.

- ``untrained``: nothing trained, by number of layers: random embeddings of several widths, or one-hot ones, with edges
  both ways; and with edges from users to items alone.
- ``paths``: the score is the weight of all paths of one length.
- ``live``: what the chapter runs again.

The others compare settings with each other: ten epochs, in float32.

- ``layers``: 0 to 4 of them; 0 is a factorisation. A row reaches the score through a mean of K + 1 layers, so the
  penalty that holds it back falls with (K + 1) squared.
- ``leak``: the test edges left in the graph, while the loss sees training pairs alone.
- ``new users``: a tenth of the users joins after training. Their ratings enter the graph, both ways, or one way only.
- ``kinds``: LightGCN on ``hetero_graph``, one kind of edge at a time, then all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pandas as pd
import torch
from _tables import SEEDS, movielens, write
from torch_geometric.nn import LGConv

from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists
from course_utils.models.graph import HeteroLightGCN, LightGCN
from course_utils.models.graph_data import KINDS, bipartite_graph, hetero_graph

Row = tuple[str, str | int, int, str, float]
SHORT = 10  # epochs where settings are compared with each other; the league's LightGCN has its full training
PENALTY = {layers: 0.027 / (layers + 1) ** 2 for layers in range(5)}


class Fixed:
    """Scores of embeddings that somebody else made."""

    def __init__(self, nodes: torch.Tensor, n_users: int, n_items: int) -> None:
        self.users, self.items = nodes[:n_users], nodes[n_users : n_users + n_items]

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Dot products, ``(len(users), n_items)``."""
        return self.users[users] @ self.items.T


def one_way(model: LightGCN, past: Interactions) -> torch.Tensor:
    """LightGCN's embeddings when edges lead from users to items alone: users receive nothing."""
    edges, conv = bipartite_graph(past).edge_index[:, : len(past)], LGConv(normalize=False)
    degree = torch.bincount(edges.flatten(), minlength=len(model.embedding.weight))
    weight = (degree[edges[0]] * degree[edges[1]]).to(model.embedding.weight).rsqrt()
    layers = [model.embedding.weight.detach()]
    for _ in range(model.layers):
        layers.append(conv(layers[-1], edges, weight))
    return torch.stack(layers).mean(0)


def untrained(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """How well do embeddings that nobody trained recommend after so many layers?"""
    edges, sizes = bipartite_graph(past).edge_index, (past.n_users, past.n_items)
    for width in (64, 256, 1024, "one-hot"):
        for number in range(5):
            model = LightGCN(*sizes, factors=sum(sizes) if width == "one-hot" else width, layers=number, seed=seed)
            if width == "one-hot":
                model.embedding.weight.data = torch.eye(sum(sizes))
            found = {f"{width}, both ways": model(edges).detach()}
            if width == 1024:
                found[f"{width}, one way"] = one_way(model, past)
            for name, nodes in found.items():
                ndcg = measure_lists(Fixed(nodes, *sizes), past, test)["ndcg@10"]
                yield "untrained", f"{number}, {name}", seed, "ndcg@10", ndcg


def paths(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """Score by the weight of all paths of one length from a user to an item: entries of a power of the adjacency."""
    sizes = past.n_users, past.n_items
    block = LightGCN(*sizes, factors=1).normalized(bipartite_graph(past).edge_index).to_dense()
    block = block[: past.n_users, past.n_users :]
    power = block
    for length in range(1, 26, 2):
        nodes = torch.cat([power, torch.eye(past.n_items)])
        ndcg = measure_lists(Fixed(nodes, *sizes), past, test)["ndcg@10"]
        yield "paths", length, seed, "ndcg@10", ndcg
        power = block @ (block.T @ power)


def layers(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """Does a deeper model rank better once it is trained?"""
    for number, penalty in PENALTY.items():
        model = LightGCN(past.n_users, past.n_items, layers=number, seed=seed)
        model.fit(past, epochs=SHORT, regularization=penalty)
        yield "layers", number, seed, "ndcg@10", measure_lists(model, past, test)["ndcg@10"]


class Leaky(LightGCN):
    """LightGCN that propagates over edges which its loss never sees."""

    extra: Interactions

    def edges(self, interactions: Interactions) -> torch.Tensor:
        """The edges of the training part and those of the test part."""
        return torch.cat([bipartite_graph(part).edge_index for part in (interactions, self.extra)], dim=1)


def leak(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """What a forgotten split does."""
    model = Leaky(past.n_users, past.n_items, seed=seed)
    model.extra = test
    model.fit(past, epochs=SHORT)
    for measure in ("ndcg@10", "recall@10"):
        yield "leak", "test edges in the graph", seed, measure, measure_lists(model, past, test)[measure]


def new_users(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """Users whom the training never met, by how their ratings enter the graph."""
    generator = torch.Generator().manual_seed(seed)
    new = torch.rand(past.n_users, generator=generator) < 0.1
    known = data.interactions(frame(past, ~new[past.users]))
    theirs = data.interactions(frame(test, new[test.users]))
    model = LightGCN(past.n_users, past.n_items, seed=seed).fit(known, epochs=SHORT)
    after = {"both ways": model(bipartite_graph(past).edge_index).detach(), "one way": one_way(model, past)}
    popular = torch.bincount(past.items, minlength=past.n_items).double()
    after["popularity"] = torch.cat([torch.ones(past.n_users, 1), popular[:, None]])
    for name, nodes in after.items():
        values = measure_lists(Fixed(nodes, past.n_users, past.n_items), past, theirs)
        for measure in ("ndcg@10", "recall@10"):
            yield "new users", name, seed, measure, values[measure]


def frame(part: Interactions, kept: torch.Tensor) -> pd.DataFrame:
    """Some of the interactions as a table."""
    return pd.DataFrame(
        {
            "user_id": part.user_ids[part.users[kept].numpy()],
            "item_id": part.item_ids[part.items[kept].numpy()],
            "rating": part.ratings[kept].numpy(),
            "timestamp": part.timestamps[kept].numpy(),
        }
    )


def kinds(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """What each kind of node or edge adds to LightGCN on users and items alone, which is ``none``."""
    for kind in ("none", *KINDS, "all"):
        chosen = {"none": (), "all": KINDS}.get(kind, [kind])
        graph = hetero_graph(past, items=data.items, users=data.users, kinds=chosen)
        model = HeteroLightGCN(graph, seed=seed).fit(past, epochs=SHORT)
        yield "kinds", kind, seed, "ndcg@10", measure_lists(model, past, test)["ndcg@10"]


def live(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """What the chapter runs itself: all kinds, two epochs, in float64."""
    graph = hetero_graph(past, items=data.items, users=data.users)
    model = HeteroLightGCN(graph, seed=seed).fit(past, epochs=2)
    yield "live", "all kinds, 2 epochs", seed, "ndcg@10", measure_lists(model, past, test)["ndcg@10"]


PARTS = {part.__name__: part for part in (untrained, paths, live, leak, new_users, layers, kinds)}
SINGLE = {"leak", "new_users", "layers", "kinds"}  # in float32, in half the time


def main(wanted: list[str]) -> None:
    """Run the named experiments, all of them when none is named: about a quarter of an hour."""
    data, rows = movielens(), []
    for seed in SEEDS:
        past, test = map(data.interactions, splits.random_split(data.ratings, seed=seed))
        for name in wanted or PARTS:
            torch.set_default_dtype(torch.float32 if name in SINGLE else torch.float64)
            for row in PARTS[name](data, seed, past, test):
                rows.append(row)
                print(*row, flush=True)
    columns = ["experiment", "setting", "seed", "measure", "value"]
    write("ch09_graph", pd.DataFrame(rows, columns=columns), keys=columns[:-1], keep_others=bool(wanted))


if __name__ == "__main__":
    main(sys.argv[1:])
