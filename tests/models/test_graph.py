"""Graph recommenders: construction, propagation, training; PyTorch Geometric is the referee."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.nn import GCNConv, LGConv
from torch_geometric.nn.models import LightGCN as Referee
from torch_geometric.utils import coalesce, is_undirected, to_dense_adj

from course_utils.data import splits
from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, NotFittedError
from course_utils.evaluation import protocol
from course_utils.models.graph import (
    GCNRecommender,
    HeteroLightGCN,
    LightGCN,
    normalized_adjacency,
    propagate,
)
from course_utils.models.graph_data import KINDS, bipartite_graph, check_undirected, hetero_graph

HAND = torch.tensor([[0, 0, 1, 2, 3, 3], [2, 3, 3, 0, 0, 1]])  # u1-i1, u1-i2, u2-i2; nodes u1 u2 i1 i2
START = torch.tensor([[1.0], [0.0], [0.0], [2.0]], dtype=torch.float64)


def coded(users: list[int], items: list[int], n_users: int, n_items: int) -> Interactions:
    """Interactions of given codes, with times two hours apart."""
    frame = pd.DataFrame({"user_id": users, "item_id": items, "timestamp": 7200 * np.arange(len(users))})
    return Interactions.from_frame(frame, user_ids=np.arange(n_users), item_ids=np.arange(n_items))


def two_tastes(n: int = 24, m: int = 20, seed: int = 0) -> tuple[Interactions, Interactions]:
    """Half of the users likes half of the items; a quarter of the likes is the test part."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero((np.arange(n)[:, None] % 2) == (np.arange(m) % 2))
    test = rng.random(len(users)) < 0.25
    return coded(users[~test], items[~test], n, m), coded(users[test], items[test], n, m)


def tables(n_users: int, n_items: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    items = pd.DataFrame({"item_id": np.arange(n_items), "genres": ["A|B", "B", "", "C"] * (n_items // 4)})
    users = pd.DataFrame(
        {
            "user_id": np.arange(n_users)[::-1],  # in another order than the codes
            "occupation": ["x", "y"] * (n_users // 2),
            "zip_code": ["12345", "V1A2B", "99999", "02139"] * (n_users // 4),
        }
    )
    return items, users


class TestBipartiteGraph:
    @given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1))
    @settings(max_examples=25)
    def test_is_undirected_without_duplicates(self, pairs: set[tuple[int, int]]) -> None:
        users, items = zip(*pairs, strict=True)
        data = bipartite_graph(coded(users, items, 5, 6))
        assert data.num_nodes == 11
        assert data.edge_index.shape == (2, 2 * len(pairs))
        assert is_undirected(data.edge_index, num_nodes=11)
        assert coalesce(data.edge_index).shape == data.edge_index.shape
        assert {(u, i - 5) for u, i in data.edge_index.T.tolist() if u < 5} == pairs

    def test_refuses_a_repeated_pair(self) -> None:
        once = coded([0, 1], [1, 1], 2, 2)
        twice = Interactions(
            *(torch.cat([x, x[:1]]) for x in (once.users, once.items, once.ratings, once.timestamps)),
            once.user_ids,
            once.item_ids,
        )
        with pytest.raises(InputError, match=r"repeated edge.*\(0, 3\).*each edge once"):
            bipartite_graph(twice)

    @pytest.mark.parametrize(
        ("edges", "message"),
        [
            ([[0, 1], [1, 0], [0, 1]], "repeated"),
            ([[0, 1]], r"without their way back.*\(0, 1\)"),
            ([[0, 1], [1, 0], [1, 2]], r"without their way back.*\(1, 2\)"),
            ([[0, 7], [7, 0]], "nodes 0..7"),
            ([[0, -1], [-1, 0]], "nodes -1..0"),
        ],
    )
    def test_refuses_what_is_not_undirected(self, edges: list[list[int]], message: str) -> None:
        with pytest.raises(InputError, match=message):
            check_undirected(torch.tensor(edges).T, 4)
        with pytest.raises(InputError, match=message):
            LightGCN(2, 2)(torch.tensor(edges).T)

    def test_shape_and_empty(self) -> None:
        with pytest.raises(InputError, match="shape"):
            check_undirected(torch.zeros(3, 2, dtype=torch.long), 4)
        check_undirected(torch.zeros(2, 0, dtype=torch.long), 4)
        assert not normalized_adjacency(torch.zeros(2, 0, dtype=torch.long), 4).to_dense().any()


class TestPropagation:
    def test_by_hand(self) -> None:
        adjacency = normalized_adjacency(HAND, 4)
        half = 0.5**0.5
        expected = [[0, 0, half, 0.5], [0, 0, 0, half], [half, 0, 0, 0], [0.5, half, 0, 0]]
        torch.testing.assert_close(adjacency.to_dense(), torch.tensor(expected))
        layers = [propagate(START, adjacency, [0.0] * k + [1.0])[:, 0] for k in range(3)]
        torch.testing.assert_close(layers[0], START[:, 0])
        torch.testing.assert_close(layers[1], torch.tensor([1, 2 * half, half, 0.5]))
        torch.testing.assert_close(layers[2], torch.tensor([0.75, half / 2, half, 1.5]))
        mean = propagate(START, adjacency, [1 / 3] * 3)[:, 0]
        torch.testing.assert_close(mean, torch.stack(layers).mean(0))
        assert mean.tolist() == pytest.approx([0.917, 0.589, 0.471, 1.333], abs=5e-4)
        assert (mean[1] * mean[2]).item() == pytest.approx(0.278, abs=5e-4)

    def test_one_layer_is_lgconv(self) -> None:
        x = torch.randn(4, 3)
        ours = propagate(x, normalized_adjacency(HAND, 4), (0.0, 1.0))
        torch.testing.assert_close(ours, LGConv()(x, HAND))

    def test_spectrum(self) -> None:
        adjacency = normalized_adjacency(HAND, 4).to_dense()
        torch.testing.assert_close(adjacency, adjacency.T)
        values, vectors = torch.linalg.eigh(adjacency)
        torch.testing.assert_close(values, torch.tensor([-1, -0.5, 0.5, 1]))
        degree = torch.tensor([2.0, 1, 1, 2])
        torch.testing.assert_close(vectors[:, -1].abs(), (degree / degree.sum()).sqrt())
        late = [propagate(START, normalized_adjacency(HAND, 4), [0.0] * k + [1.0])[:, 0] for k in (51, 52)]
        assert late[0].tolist() == pytest.approx([1.333, 0.943, 0.471, 0.667], abs=5e-4)
        assert late[1].tolist() == pytest.approx([0.667, 0.471, 0.943, 1.333], abs=5e-4)

    @pytest.mark.parametrize("weights", [(1.0,), (0.0, 1.0), (0.3, 0.5, 0.2), (0.25,) * 4])
    def test_gradient(self, weights: tuple[float, ...]) -> None:
        adjacency = normalized_adjacency(HAND, 4)
        x = torch.randn(4, 2, requires_grad=True)
        assert torch.autograd.gradcheck(lambda e: propagate(e, adjacency, weights), x)
        assert torch.autograd.gradgradcheck(lambda e: propagate(e, adjacency, weights), x)

    def test_self_loops_are_those_of_gcnconv(self) -> None:
        conv = GCNConv(3, 5, bias=False)
        x = torch.randn(4, 3)
        ours = propagate(conv.lin(x), normalized_adjacency(HAND, 4, self_loops=True), (0.0, 1.0))
        torch.testing.assert_close(ours, conv(x, HAND))

    def test_node_without_edges_stays_alone(self) -> None:
        out = propagate(torch.ones(6, 1), normalized_adjacency(HAND, 6), (0.0, 1.0))
        assert out[4:].abs().max() == 0
        assert out.isfinite().all()


class TestLightGCN:
    @pytest.mark.parametrize("layers", [0, 1, 2, 3])
    def test_equals_pyg_with_copied_weights(self, layers: int) -> None:
        past, _ = two_tastes()
        edges = bipartite_graph(past).edge_index
        model = LightGCN(past.n_users, past.n_items, factors=7, layers=layers, seed=3)
        referee = Referee(past.n_users + past.n_items, 7, layers)
        referee.embedding.weight.data = model.embedding.weight.data.clone()
        assert model(edges).shape == (44, 7)
        torch.testing.assert_close(model(edges), referee.get_embedding(edges))
        torch.testing.assert_close(model(model.normalized(edges)), model(edges))
        weight = torch.randn(44, 7)  # and the gradients
        for module, out in ((model, model(edges)), (referee, referee.get_embedding(edges))):
            module.zero_grad()
            (out * weight).sum().backward()
        torch.testing.assert_close(model.embedding.weight.grad, referee.embedding.weight.grad)

    def test_loss_of_a_batch_against_pyg(self) -> None:
        model = LightGCN(3, 4)
        scores = torch.randn(6, 2)
        plain = Referee(7, 2, 1).recommendation_loss(scores[:, 0], scores[:, 1], lambda_reg=0)
        torch.testing.assert_close(model.error(scores), plain)

    def test_penalty_against_a_loop(self) -> None:
        model = LightGCN(3, 4, factors=5, std=1.0)
        users, items = torch.tensor([[0], [2], [2]]), torch.tensor([[3, 4], [3, 6], [5, 5]])
        squares = [[(model.embedding.weight[x] ** 2).sum() for x in s.flatten()] for s in (users, items)]
        expected = sum(sum(s) / len(s) for s in squares)
        torch.testing.assert_close(model.penalty(users, items), expected)

    def test_learns_two_tastes(self) -> None:
        past, test = two_tastes()
        model = LightGCN(past.n_users, past.n_items, factors=8)
        with pytest.raises(NotFittedError):
            model.score(torch.arange(2))
        model.fit(past, epochs=10, lr=0.05, batch_size=64, negatives=2, progress=False)
        assert protocol.measure_lists(model, past, test, k=3)["ndcg@3"] > 0.95
        assert list(model.history.columns) == ["loss", "error", "penalty"]
        nodes = model(bipartite_graph(past).edge_index)
        torch.testing.assert_close(model.score(torch.tensor([5])), nodes[5:6] @ nodes[24:].T)

    def test_same_seed_same_weights(self) -> None:
        past, _ = two_tastes()
        a, b, c = (LightGCN(past.n_users, past.n_items, 4, seed=seed) for seed in (1, 1, 2))
        for model in (a, b, c):
            torch.rand(3)  # the global generator has no part in it
            model.fit(past, epochs=2, progress=False)
        assert a.embedding.weight.equal(b.embedding.weight)
        assert not a.embedding.weight.equal(c.embedding.weight)
        again = a.embedding.weight.clone()
        assert a.fit(past, epochs=2, progress=False).embedding.weight.equal(again)

    def test_errors(self) -> None:
        past, _ = two_tastes()
        for settings_ in ({"factors": 0}, {"layers": -1}, {"std": 0.0}):
            with pytest.raises(InputError, match=next(iter(settings_))):
                LightGCN(24, 20, **settings_)
        with pytest.raises(InputError, match="interactions"):
            LightGCN(24, 21).fit(past)
        model = LightGCN(24, 20)
        for settings_ in ({"negatives": 0}, {"regularization": -1.0}, {"epochs": 0}, {"batch_size": 0}):
            with pytest.raises(InputError, match=next(iter(settings_))):
                model.fit(past, **settings_)
        model.fit(past, epochs=1, progress=False)
        with pytest.raises(InputError, match="users"):
            model.score(torch.tensor([24]))


class TestGCN:
    def test_equals_pyg_with_copied_weights(self) -> None:
        past, _ = two_tastes()
        edges = bipartite_graph(past).edge_index
        model = GCNRecommender(past.n_users, past.n_items, factors=6, layers=2)
        x = model.embedding.weight
        for place, linear in enumerate(model.convolutions):
            torch.nn.init.normal_(linear.bias)
            conv = GCNConv(6, 6)
            conv.lin.weight.data, conv.bias.data = linear.weight.data, linear.bias.data
            x = conv(x, edges)
            x = x.relu() if place == 0 else x
        torch.testing.assert_close(model(edges), x)

    def test_error_is_cross_entropy(self) -> None:
        scores = torch.tensor([[0.5, -1.0, 2.0]])
        p = scores.sigmoid()[0]
        expected = -(p[0].log() + (1 - p[1]).log() + (1 - p[2]).log()) / 3
        torch.testing.assert_close(GCNRecommender(2, 2).error(scores), expected)

    def test_learns_two_tastes(self) -> None:
        past, test = two_tastes()
        model = GCNRecommender(past.n_users, past.n_items, factors=8)
        model.fit(past, epochs=15, lr=0.05, batch_size=64, negatives=2, progress=False)
        assert protocol.measure_lists(model, past, test, k=3)["ndcg@3"] > 0.95


class TestHeteroGraph:
    def test_kinds_and_both_directions(self) -> None:
        past, _ = two_tastes()
        items, users = tables(24, 20)
        graph = hetero_graph(past, items=items, users=users, neighbors=2)
        assert graph.node_types == ["user", "item", "genre", "occupation", "region", "hour", "weekday"]
        assert graph.is_undirected()
        assert not graph.has_isolated_nodes() or graph["hour"].num_nodes == 24
        for store in graph.edge_stores:
            assert len(store.edge_index.T.unique(dim=0)) == store.edge_index.shape[1]
        whole = graph.to_homogeneous()
        check_undirected(whole.edge_index, graph.num_nodes)
        assert graph["genre"].names == ["A", "B", "C"]
        assert graph["region"].names == ["0", "1", "9", "other"]

    def test_edges_follow_the_tables(self) -> None:
        past, _ = two_tastes()
        items, users = tables(24, 20)
        graph = hetero_graph(past, items=items, users=users)
        genres = to_dense_pairs(graph["item", "has", "genre"].edge_index)
        assert {(0, 0), (0, 1), (1, 1), (3, 2)} <= genres
        assert not any(item == 2 for item, _ in genres)
        user = users.iloc[1]  # zip V1A2B
        assert (user.user_id, 3) in to_dense_pairs(graph["user", "lives_in", "region"].edge_index)
        assert (user.user_id, 1) in to_dense_pairs(graph["user", "works_as", "occupation"].edge_index)
        hours = to_dense_pairs(graph["user", "active_at", "hour"].edge_index)
        stamps = pd.to_datetime(past.timestamps.numpy(), unit="s")
        assert hours == {(u, h) for u, h in zip(past.users.tolist(), stamps.hour, strict=True)}
        days = to_dense_pairs(graph["user", "active_on", "weekday"].edge_index)
        assert days == {(u, d) for u, d in zip(past.users.tolist(), stamps.day_of_week, strict=True)}

    def test_nearest_share_a_taste(self) -> None:
        past, _ = two_tastes()
        graph = hetero_graph(past, kinds=["taste", "together"], neighbors=3)
        for kind in ("user", "item"):
            a, b = graph[kind, "alike", kind].edge_index
            assert (a != b).all()
            assert (a % 2 == b % 2).all()  # nodes of the other taste share nothing
            assert torch.bincount(a).min() >= 3

    def test_kinds_are_options(self) -> None:
        past, _ = two_tastes()
        items, users = tables(24, 20)
        assert hetero_graph(past, kinds=()).node_types == ["user", "item"]
        assert hetero_graph(past).node_types == ["user", "item", "hour", "weekday"]
        for kind in KINDS:
            graph = hetero_graph(past, items=items, users=users, kinds=[kind])
            assert len(graph.edge_types) == (3 if kind in ("taste", "together") else 4)

    def test_errors(self) -> None:
        past, _ = two_tastes()
        items, users = tables(24, 20)
        with pytest.raises(InputError, match="kinds: got 'genres'"):
            hetero_graph(past, items=items, kinds=["genres"])
        with pytest.raises(InputError, match="items: got no table"):
            hetero_graph(past, users=users, kinds=["genre"])
        with pytest.raises(InputError, match="users: got a table that lacks 4"):
            hetero_graph(past, users=users.iloc[4:], kinds=["region"])
        with pytest.raises(InputError, match="a column 'genres'"):
            hetero_graph(past, items=items.drop(columns="genres"), kinds=["genre"])
        with pytest.raises(InputError, match="neighbors"):
            hetero_graph(past, kinds=["taste"], neighbors=0)


def to_dense_pairs(edge_index: torch.Tensor) -> set[tuple[int, int]]:
    return {tuple(pair) for pair in edge_index.T.tolist()}


class TestHeteroLightGCN:
    def test_runs_end_to_end(self) -> None:
        past, test = two_tastes()
        items, users = tables(24, 20)
        graph = hetero_graph(past, items=items, users=users, neighbors=3)
        model = HeteroLightGCN(graph, factors=8)
        model.fit(past, epochs=10, lr=0.05, batch_size=64, negatives=2, progress=False)
        assert protocol.measure_lists(model, past, test, k=3)["ndcg@3"] > 0.9
        assert len(model.embedding.weight) == graph.num_nodes
        moved = model.embedding.weight - LightGCN.__mro__[0](24, 20, 8).embedding.weight.mean()
        assert moved[44:].abs().max() > 0

    def test_without_kinds_it_is_lightgcn(self) -> None:
        past, _ = two_tastes()
        plain = LightGCN(24, 20, 8).fit(past, epochs=2, progress=False)
        same = HeteroLightGCN(hetero_graph(past, kinds=()), 8).fit(past, epochs=2, progress=False)
        torch.testing.assert_close(same.score(torch.arange(24)), plain.score(torch.arange(24)))

    def test_propagates_over_all_kinds(self) -> None:
        past, _ = two_tastes()
        items, users = tables(24, 20)
        graph = hetero_graph(past, items=items, users=users, neighbors=3)
        model = HeteroLightGCN(graph, factors=3, layers=2)
        whole = graph.to_homogeneous().edge_index
        dense = to_dense_adj(whole, max_num_nodes=graph.num_nodes)[0]
        degree = dense.sum(0).clamp(min=1).rsqrt()
        matrix, e = degree[:, None] * dense * degree, model.embedding.weight
        torch.testing.assert_close(model(model.edges(past)), (e + matrix @ e + matrix @ matrix @ e) / 3)

    def test_refuses_a_graph_with_other_edges(self) -> None:
        past, test = two_tastes()
        with pytest.raises(InputError, match="others, expected the pairs"):
            HeteroLightGCN(hetero_graph(test)).fit(past)
        both = coded(
            torch.cat([past.users, test.users]).numpy(), torch.cat([past.items, test.items]).numpy(), 24, 20
        )
        with pytest.raises(InputError, match=f"{len(test)} of them others"):
            HeteroLightGCN(hetero_graph(both)).fit(past)

    def test_refuses_other_first_kinds(self) -> None:
        past, _ = two_tastes()
        graph = hetero_graph(past, kinds=())
        renamed = type(graph)()
        renamed["film"].num_nodes = 3
        with pytest.raises(InputError, match="node kinds"):
            HeteroLightGCN(renamed)


@pytest.fixture(scope="module")
def parts(movielens: object) -> tuple[Interactions, Interactions]:
    past, test = splits.random_split(movielens.ratings, seed=0)
    return movielens.interactions(past), movielens.interactions(test)


class TestMovieLens:
    def test_no_test_edge_in_any_training_graph(self, movielens: object, parts: tuple) -> None:
        past, test = parts
        forbidden = (test.users * 2625 + test.items + 943).sort().values
        plain = bipartite_graph(past).edge_index
        graph = hetero_graph(past, items=movielens.items, users=movielens.users)
        whole = HeteroLightGCN(graph, 2).edges(past)
        for edges in (plain, plain.flip(0), whole, whole.flip(0)):
            assert not torch.isin(edges[0] * 2625 + edges[1], forbidden).any()
        for model in (LightGCN(943, 1682, 2), GCNRecommender(943, 1682, 2), HeteroLightGCN(graph, 2)):
            model.fit(past, epochs=1, negatives=1, batch_size=80_000, progress=False)
            held = model.adjacency.to_dense()[test.users, 943 + test.items]
            assert held.abs().max() == 0
        check_undirected(whole, graph.num_nodes)

    def test_what_the_graph_holds(self, movielens: object, parts: tuple) -> None:
        graph = hetero_graph(parts[0], items=movielens.items, users=movielens.users)
        sizes = {kind: graph[kind].num_nodes for kind in graph.node_types}
        assert sizes == {
            **{"user": 943, "item": 1682, "genre": 18, "occupation": 21},
            **{"region": 11, "hour": 24, "weekday": 7},
        }


def test_the_committed_table_keeps_its_promise() -> None:
    path = Path(__file__).resolve().parents[2] / "results" / "ch17_league.csv"
    league = pd.read_csv(path).set_index("model")["ndcg@10"]
    assert league["LightGCN"].mean() >= 0.425
