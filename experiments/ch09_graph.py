"""What propagation does on MovieLens-100K, over three seeds. Chapter 9 shows ``results/ch09_graph.csv``.

    python experiments/ch09_graph.py                 everything
    python experiments/ch09_graph.py layers kinds    these only; the other rows stay

One row a number: ``experiment``, ``setting``, ``seed``, ``measure``, ``value``. All on ``random_split`` seeds 0, 1, 2.
The fitted models have their default settings but for what is named. LightGCN, GCN and the factorisation with the same
loss stand in the league table.

- ``untrained``: nothing trained, by number of layers: random embeddings of several widths, or one-hot ones, with edges
  both ways; and with edges from users to items alone. ``ties``: all scores equal, what the rule for ties alone does.
- ``paths``: the score is the weight of all paths of one length.
- ``filter``: a closed form (Shen et al. 2021), its two settings chosen on a validation part of each seed's own training
  part, beside each of its two terms alone.
- ``live``: what the chapter runs again.

The others train LightGCN in float32.

- ``leak``: the test edges left in the graph while the loss sees training pairs alone: after the training, or during it.
- ``new users``: a tenth of the users joins after training. Nothing is trained again; what is computed from a user's
  items is computed for them, by LightGCN over edges both ways or one way only, and by models without a graph.
- ``layers``: 0 to 4 of them; 0 is a factorisation. A row reaches the score through a mean of K + 1 layers, so the
  penalty that holds it back falls with (K + 1) squared. Ten epochs each.
- ``kinds``: LightGCN on ``hetero_graph``, one kind of edge at a time, then all. Ten epochs each.
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
from course_utils.models.als import ImplicitALS, implicit_cholesky
from course_utils.models.graph import HeteroLightGCN, LightGCN, normalized_adjacency, propagate
from course_utils.models.graph_data import KINDS, bipartite_graph, hetero_graph
from course_utils.models.least_squares import Rows
from course_utils.models.neighbors import EASE, ItemKNN

Row = tuple[str, str | int, int, str, float]
SHORT = 10  # epochs where settings are compared with each other; the league's LightGCN has its full training
PENALTY = {layers: 0.027 / (layers + 1) ** 2 for layers in range(5)}
DIRECTIONS, WEIGHTS = (8, 16, 32, 64, 128), (0.1, 0.3, 1.0, 3.0, 10.0)  # of the filter: what validation chooses from


class Fixed:
    """Scores of embeddings that somebody else made."""

    def __init__(self, nodes: torch.Tensor, n_users: int, n_items: int) -> None:
        self.users, self.items = nodes[:n_users], nodes[n_users : n_users + n_items]

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Dot products, ``(len(users), n_items)``."""
        return self.users[users] @ self.items.T


def one_way(rows: torch.Tensor, past: Interactions, number: int) -> torch.Tensor:
    """The mean of layers when edges lead from users to items alone: users receive nothing."""
    edges, conv = bipartite_graph(past).edge_index[:, : len(past)], LGConv(normalize=False)
    degree = torch.bincount(edges.flatten(), minlength=len(rows))
    weight = (degree[edges[0]] * degree[edges[1]]).to(rows).rsqrt()
    layers = [rows]
    for _ in range(number):
        layers.append(conv(layers[-1], edges, weight))
    return torch.stack(layers).mean(0)


def block(past: Interactions) -> torch.Tensor:
    """The user-item block of the normalised adjacency, ``(n_users, n_items)``."""
    edges, (m, n) = bipartite_graph(past).edge_index, (past.n_users, past.n_items)
    return normalized_adjacency(edges, m + n).to_dense()[:m, m:]


def untrained(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """How well do embeddings that nobody trained recommend after so many layers?"""
    m, n = past.n_users, past.n_items
    adjacency = normalized_adjacency(bipartite_graph(past).edge_index, m + n)
    drawn = torch.Generator().manual_seed(seed)
    ties = {"by code": torch.zeros(m, n), "at random": torch.rand(m, n, generator=drawn)}
    for name, scores in ties.items():
        ndcg = measure_lists(Fixed(torch.cat([scores, torch.eye(n)]), m, n), past, test)["ndcg@10"]
        yield "untrained", f"ties, {name}", seed, "ndcg@10", ndcg
    for width in (64, 256, 1024, "one-hot"):
        generator = torch.Generator().manual_seed(seed)
        rows = torch.eye(m + n) if width == "one-hot" else torch.randn(m + n, width, generator=generator)
        for number in range(5):
            found = {f"{width}, both ways": propagate(rows, adjacency, [1 / (number + 1)] * (number + 1))}
            if width == 1024:
                found[f"{width}, one way"] = one_way(rows, past, number)
            for name, nodes in found.items():
                ndcg = measure_lists(Fixed(nodes, m, n), past, test)["ndcg@10"]
                yield "untrained", f"{number}, {name}", seed, "ndcg@10", ndcg


def paths(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """Score by the weight of all paths of one length from a user to an item: entries of a power of the adjacency."""
    one = power = block(past)
    for length in range(1, 26, 2):
        nodes = torch.cat([power, torch.eye(past.n_items)])
        ndcg = measure_lists(Fixed(nodes, past.n_users, past.n_items), past, test)["ndcg@10"]
        yield "paths", length, seed, "ndcg@10", ndcg
        power = one @ (one.T @ power)


class Filter:
    """Item-item weights in closed form: a user's items times these are her scores. Shen et al. (2021), section 5."""

    def __init__(self, past: Interactions) -> None:
        one = block(past)
        self.degree = (one > 0).sum(0).clamp(min=1).to(one)
        self.linear, self.directions = one.T @ one, torch.linalg.svd(one, full_matrices=False).Vh

    def low_pass(self, directions: int) -> torch.Tensor:
        """The first so many singular directions whole, the others not at all, ``(n_items, n_items)``."""
        kept = self.directions[:directions]
        return self.degree.rsqrt()[:, None] * (kept.T @ kept) * self.degree.sqrt()

    def weights(self, directions: int, weight: float) -> torch.Tensor:
        """Both terms, ``(n_items, n_items)``."""
        return self.linear + weight * self.low_pass(directions)


def from_items(weights: torch.Tensor, past: Interactions) -> Fixed:
    """Sums of the weights ``(n_items, n_items)`` of each user's items."""
    owned = torch.from_numpy(past.csr(binary=True).toarray()).to(weights)
    return Fixed(torch.cat([owned, weights.T]), past.n_users, past.n_items)


def choose(data: MovieLens, seed: int, past: Interactions) -> Iterator[Row]:
    """The filter's NDCG by both settings on a validation part of the training part."""
    fitted, held = map(data.interactions, splits.random_split(frame(past, past.users >= 0), seed=seed))
    made = Filter(fitted)
    for directions in DIRECTIONS:
        low_pass = made.low_pass(directions)
        terms = {f"{weight:g}": made.linear + weight * low_pass for weight in WEIGHTS} | {"alone": low_pass}
        for weight, weights in terms.items():
            ndcg = measure_lists(from_items(weights, fitted), fitted, held)["ndcg@10"]
            yield "filter", f"{directions}, {weight}", seed, "validation", ndcg


def filters(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """What a filter does that no gradient has touched."""
    grid = list(choose(data, seed, past))
    yield from grid
    ndcgs, made = {row[1]: row[-1] for row in grid}, Filter(past)
    both = max((name for name in ndcgs if "alone" not in name), key=ndcgs.get)
    alone = max((name for name in ndcgs if "alone" in name), key=ndcgs.get)
    directions, weight = both.split(", ")
    yield "filter", "both terms", seed, "directions", int(directions)
    yield "filter", "both terms", seed, "weight", float(weight)
    yield "filter", "low-pass alone", seed, "directions", int(alone.split(", ")[0])
    terms = {
        "both terms": made.weights(int(directions), float(weight)),
        "low-pass alone": made.low_pass(int(alone.split(", ")[0])),
        "linear alone": made.linear,
    }
    for name, weights in terms.items():
        yield "filter", name, seed, "ndcg@10", measure_lists(from_items(weights, past), past, test)["ndcg@10"]


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
    """What a forgotten split does: both models have their full training."""
    sizes = past.n_users, past.n_items
    clean, leaky = LightGCN(*sizes, seed=seed).fit(past), Leaky(*sizes, seed=seed)
    leaky.extra = test
    leaky.fit(past)
    without, with_test = bipartite_graph(past).edge_index, leaky.edges(past)
    arms = {
        "trained without, asked without": clean(without),
        "trained without, asked with": clean(with_test),
        "trained with, asked with": leaky(with_test),
        "trained with, asked without": leaky(without),
    }
    for name, nodes in arms.items():
        ndcg = measure_lists(Fixed(nodes.detach(), *sizes), past, test)["ndcg@10"]
        yield "leak", name, seed, "ndcg@10", ndcg


def new_users(data: MovieLens, seed: int, past: Interactions, test: Interactions) -> Iterator[Row]:
    """Users whom the training never met, by what computes their scores."""
    torch.set_default_dtype(torch.float64)
    generator = torch.Generator().manual_seed(seed)
    new = torch.rand(past.n_users, generator=generator) < 0.1
    known = data.interactions(frame(past, ~new[past.users]))
    theirs = data.interactions(frame(test, new[test.users]))
    sizes = past.n_users, past.n_items
    torch.set_default_dtype(torch.float32)  # for LightGCN alone
    model = LightGCN(*sizes, seed=seed).fit(known)
    one = one_way(model.embedding.weight.detach(), past, model.layers)
    found = {
        "LightGCN, both ways": Fixed(model(bipartite_graph(past).edge_index).detach(), *sizes),
        "LightGCN, one way": Fixed(one, *sizes),
    }
    torch.set_default_dtype(torch.float64)
    for name, other in without_training(known, past, seed).items():
        found[name] = other
    popular = torch.bincount(known.items, minlength=past.n_items).double()
    found["popularity"] = Fixed(torch.cat([torch.ones(past.n_users, 1), popular[:, None]]), *sizes)
    for name, other in found.items():
        yield "new users", name, seed, "ndcg@10", measure_lists(other, past, theirs)["ndcg@10"]


def without_training(known: Interactions, past: Interactions, seed: int) -> dict[str, Fixed]:
    """Models of known users that compute a user from her items, asked about everyone in ``past``."""
    als, knn = ImplicitALS(seed=seed).fit(known), ItemKNN(k=300).fit(known)
    rows, _ = Rows.both_sides(past, als.alpha * past.ratings)
    solved = implicit_cholesky(rows, als.item_factors, als.regularization)
    best, nearest = knn.similarities.topk(knn.k, dim=1)
    kept = torch.zeros_like(knn.similarities).scatter_(1, nearest, best)  # row: the target; column: its neighbour
    walks = Filter(past)
    return {
        "implicit ALS, one solve": Fixed(torch.cat([solved, als.item_factors]), past.n_users, past.n_items),
        "EASE": from_items(EASE().fit(known).weights, past),
        "item kNN": from_items(kept.T, past),
        "low-pass filter": from_items(Filter(known).low_pass(32), past),
        "paths of three": from_items(walks.linear / walks.degree[:, None].sqrt(), past),
    }


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


PARTS = {part.__name__: part for part in (untrained, paths, filters, live, leak, new_users, layers, kinds)}
SINGLE = {"leak", "new_users", "layers", "kinds"}  # in float32, in half the time


def main(wanted: list[str]) -> None:
    """Run the named experiments, all of them when none is named: about twenty minutes."""
    data, rows = movielens(), []
    for seed in SEEDS:
        torch.set_default_dtype(torch.float64)
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
