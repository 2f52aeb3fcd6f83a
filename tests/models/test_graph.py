import numpy as np
import pandas as pd
import pytest
import shared
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import refusals
from torch.testing import assert_close
from torch_geometric import data, nn, utils

from course_utils.errors import InputError
from course_utils.evaluation import protocol
from course_utils.models.graph import GCNRecommender, HeteroLightGCN, LightGCN, normalized_adjacency, propagate
from course_utils.models.graph_data import KINDS, bipartite_graph, check_undirected, hetero_graph
from course_utils.notebook import results

HAND = torch.tensor([[0, 0, 1, 2, 3, 3], [2, 3, 3, 0, 0, 1]])  # u1-i1, u1-i2, u2-i2; nodes u1 u2 i1 i2


def coded(users, items, n_users=24, n_items=20):
    times = 7200 * np.arange(len(users))
    return shared.coded(zip(users, items, np.ones(len(users)), times, strict=True), n_users, n_items)


# Even users like odd items, odd ones even, so no code passes for a node; a quarter is the test part.
PAIRS = np.array(np.nonzero((np.arange(24)[:, None] % 2) != (np.arange(20) % 2)))
HELD = np.random.default_rng(0).random(PAIRS.shape[1]) < 0.25
PAST, TEST = coded(*PAIRS[:, ~HELD]), coded(*PAIRS[:, HELD])
ITEMS = pd.DataFrame({"item_id": range(20), "genres": ["A|B", "B", "", "C"] * 5})
USERS = pd.DataFrame({"user_id": range(24), "occupation": ["x", "y"] * 12})
USERS = USERS.assign(zip_code=["02139", "99999", "V1A2B", "12345"] * 6)[::-1]  # in another order than the codes


def ndcg(model, epochs=10):
    model.fit(PAST, epochs=epochs, lr=0.05, batch_size=64, negatives=2, progress=False)
    return protocol.measure_lists(model, PAST, TEST, k=3)["ndcg@3"]


WRONG = {
    "repeated": [[0, 1], [1, 0], [0, 1]],
    r"without their way back.*\(0, 1\)": [[0, 1]],
    r"without their way back.*\(1, 2\)": [[0, 1], [1, 0], [1, 2]],
    "edge_index: got codes 0..7": [[0, 7], [7, 0]],
    "edge_index: got codes -1..0": [[0, -1], [-1, 0]],
    r"shape \(3, 2\)": [[0, 1, 2], [1, 0, 2]],
}
BAD = {
    "kinds: got 'genres'": {"items": ITEMS, "kinds": ["genres"]},
    "items: got NoneType": {"users": USERS, "kinds": ["genre"]},
    "users: got a table that lacks 4": {"users": USERS.iloc[4:], "kinds": ["region"]},
    "users: .*repeats one": {"users": pd.concat([USERS, USERS[:1]]), "kinds": ["region"]},
    ".*a column 'genres'": {"items": ITEMS.drop(columns="genres"), "kinds": ["genre"]},
}


class TestEdges:
    @given(st.sets(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1))
    def test_a_graph_is_undirected_without_duplicates(self, pairs):
        graph = bipartite_graph(coded(*zip(*pairs, strict=True), 5, 6))
        assert (graph.num_nodes, graph.edge_index.shape) == (11, (2, 2 * len(pairs)))
        assert utils.is_undirected(graph.edge_index, num_nodes=11)
        assert utils.coalesce(graph.edge_index).shape == graph.edge_index.shape
        assert {(u, i - 5) for u, i in graph.edge_index.T.tolist() if u < 5} == pairs

    @pytest.mark.parametrize(("message", "edges"), WRONG.items())
    def test_what_is_not_undirected_is_refused(self, message, edges):
        for door in (lambda edges: check_undirected(edges, 4), LightGCN(2, 2)):
            with pytest.raises(InputError, match=message):
                door(torch.tensor(edges).T)


class TestPropagation:
    @pytest.mark.parametrize("weights", [(1.0,), (0.0, 1.0), (0.3, 0.5, 0.2), (0.25,) * 4])
    def test_gradient(self, weights):
        adjacency, x = normalized_adjacency(HAND, 4), torch.randn(4, 2, requires_grad=True)
        for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
            assert check(lambda e: propagate(e, adjacency, weights), x)

    def test_nodes_without_edges_stay_alone(self):
        out = propagate(torch.ones(6, 1), normalized_adjacency(HAND, 6), (0.0, 1.0))
        assert out[4:].tolist() == [[0], [0]]
        assert not normalized_adjacency(torch.zeros(2, 0, dtype=torch.long), 4).to_dense().any()


class TestLightGCN:
    @pytest.mark.parametrize("layers", [0, 1, 2, 3])
    def test_equals_pyg_with_copied_weights(self, layers):
        edges = bipartite_graph(PAST).edge_index
        model, referee = LightGCN(24, 20, factors=7, layers=layers, seed=3), nn.LightGCN(44, 7, layers)
        referee.embedding.weight.data = model.embedding.weight.data.clone()
        assert_close(model(edges), referee.get_embedding(edges))
        assert_close(model(model.normalized(edges)), model(edges))
        weight = torch.randn(44, 7)  # and the gradients
        for module, out in ((model, model(edges)), (referee, referee.get_embedding(edges))):
            module.zero_grad()
            (out * weight).sum().backward()
        assert_close(model.embedding.weight.grad, referee.embedding.weight.grad)

    def test_losses_of_a_batch(self):
        model, scores = LightGCN(3, 4, factors=5), torch.randn(6, 2)
        plain = nn.LightGCN(7, 2, 1).recommendation_loss(scores[:, 0], scores[:, 1], lambda_reg=0)
        assert_close(model.error(scores), plain)
        users, items = torch.tensor([[0], [2], [2]]), torch.tensor([[3, 4], [3, 6], [5, 5]])
        length = model.embedding.weight.square().sum(1)
        assert_close(model.penalty(users, items), length[users].mean() + length[items].mean())
        scores = torch.tensor([[0.5, -1.0, 2.0]])
        p = scores.sigmoid()[0]
        expected = -(p[0].log() + (1 - p[1]).log() + (1 - p[2]).log()) / 3
        assert_close(GCNRecommender(2, 2).error(scores), expected)

    @pytest.mark.parametrize(("model", "epochs"), [(LightGCN, 10), (GCNRecommender, 15)])
    def test_learns_two_tastes_and_goes_back_to_its_start(self, model, epochs):
        model = model(24, 20, factors=8)
        start = [weight.clone() for weight in model.parameters()]
        assert ndcg(model, epochs) > 0.95
        assert list(model.history.columns) == ["loss", "error", "penalty"]
        nodes = model(bipartite_graph(PAST).edge_index)
        assert_close(model.score([5]), nodes[5:6] @ nodes[24:].T)
        model.reset_parameters()
        assert all(map(torch.equal, model.parameters(), start))

    def test_gcn_equals_pyg_with_copied_weights(self):
        edges = bipartite_graph(PAST).edge_index
        model = GCNRecommender(24, 20, factors=6, layers=2)
        layers = [nn.GCNConv(6, 6), nn.GCNConv(6, 6)]
        for conv, linear in zip(layers, model.convolutions, strict=True):
            torch.nn.init.normal_(linear.bias)
            conv.lin.weight, conv.bias = linear.weight, linear.bias
        assert_close(model(edges), layers[1](layers[0](model.embedding.weight, edges).relu(), edges))


class TestHeteroGraph:
    def test_kinds_and_both_directions(self):
        graph = hetero_graph(PAST, items=ITEMS, users=USERS)
        assert graph.node_types == ["user", "item", "genre", "occupation", "region", "hour", "weekday"]
        assert graph.is_undirected()
        check_undirected(graph.to_homogeneous().edge_index, graph.num_nodes)
        assert graph["genre"].names == ["A", "B", "C"]
        assert graph["region"].names == ["0", "1", "9", "other"]
        assert hetero_graph(PAST, kinds=()).node_types == ["user", "item"]
        assert hetero_graph(PAST).node_types == ["user", "item", "hour", "weekday"]
        for kind in KINDS:
            graph = hetero_graph(PAST, items=ITEMS, users=USERS, kinds=[kind])
            assert len(graph.edge_types) == (3 if kind in ("taste", "together") else 4)

    def test_edges_follow_the_tables(self):
        graph = hetero_graph(PAST, items=ITEMS, users=USERS)
        found = {kind[1]: set(map(tuple, graph[kind].edge_index.T.tolist())) for kind in graph.edge_types}
        assert {(0, 0), (0, 1), (1, 1), (3, 2)} <= found["has"]
        assert not any(item == 2 for item, _ in found["has"])
        assert (22, 3) in found["lives_in"]  # zip V1A2B
        assert (23, 1) in found["works_as"]
        users, stamps = PAST.users.tolist(), pd.to_datetime(PAST.timestamps.numpy(), unit="s")
        assert found["active_at"] == set(zip(users, stamps.hour, strict=True))
        assert found["active_on"] == set(zip(users, stamps.day_of_week, strict=True))

    def test_nearest_share_a_taste(self):
        graph = hetero_graph(PAST, kinds=["taste", "together"])
        for kind, least in (("user", 10), ("item", 9)):  # of 11 and of 9
            a, b = graph[kind, "alike", kind].edge_index
            assert (a != b).all()
            assert (a % 2 == b % 2).all()  # nodes of the other taste share nothing
            assert torch.bincount(a).min() >= least


class TestHeteroLightGCN:
    def test_trains_nodes_of_all_kinds(self):
        graph = hetero_graph(PAST, items=ITEMS, users=USERS)
        model = HeteroLightGCN(graph, factors=8)
        start = model.embedding.weight.detach().clone()
        assert ndcg(model) > 0.9
        linked = torch.bincount(model.edges(PAST)[0], minlength=graph.num_nodes) > 0
        assert (model.embedding.weight != start).any(dim=1).equal(linked)

    def test_without_kinds_it_is_lightgcn(self):
        models = LightGCN(24, 20, 8), HeteroLightGCN(hetero_graph(PAST, kinds=()), 8)
        assert_close(*(model.fit(PAST, epochs=2, progress=False).score(range(24)) for model in models))

    def test_propagates_over_all_kinds(self):
        graph = hetero_graph(PAST, items=ITEMS, users=USERS, kinds=KINDS)
        model = HeteroLightGCN(graph, factors=3)
        dense = utils.to_dense_adj(graph.to_homogeneous().edge_index, max_num_nodes=graph.num_nodes)[0]
        degree = dense.sum(0).clamp(min=1).rsqrt()
        matrix, e = degree[:, None] * dense * degree, model.embedding.weight
        assert_close(model(model.edges(PAST)), (e + matrix @ e + matrix @ matrix @ e) / 3)


WRONG_FIT = {"negatives": 0, "regularization": -1.0, "epochs": 0, "batch_size": 0}
test_refusals = refusals(
    *((said, hetero_graph, PAST, options) for said, options in BAD.items()),
    *((name, LightGCN(24, 20).fit, PAST, {name: value}) for name, value in WRONG_FIT.items()),
    ("layers", LightGCN, 24, 20, {"layers": -1}),
    (".*others, expected the pairs", lambda: HeteroLightGCN(hetero_graph(TEST)).fit(PAST)),
    (f".*{len(TEST)} of them others", lambda: HeteroLightGCN(hetero_graph(coded(*PAIRS))).fit(PAST)),
    (".*node kinds", HeteroLightGCN, data.HeteroData(film={"num_nodes": 3})),
)


def test_no_test_edge_in_any_graph_of_movielens(movielens, split):
    past, test = split
    graph = hetero_graph(past, items=movielens.items, users=movielens.users)
    sizes = {"user": 943, "item": 1682, "genre": 18, "occupation": 21, "region": 11, "hour": 24, "weekday": 7}
    assert {kind: graph[kind].num_nodes for kind in graph.node_types} == sizes
    check_undirected(HeteroLightGCN(graph, 2).edges(past), graph.num_nodes)
    for model in (LightGCN(943, 1682, 2), GCNRecommender(943, 1682, 2), HeteroLightGCN(graph, 2)):
        model.fit(past, epochs=1, negatives=1, batch_size=80_000, progress=False)
        matrix = model.adjacency.to_dense()
        assert not matrix[test.users, 943 + test.items].any()
        assert not matrix[943 + test.items, test.users].any()


def test_the_committed_table_keeps_its_promise():
    assert results("ch20_league").set_index("model")["ndcg@10"]["LightGCN"].mean() >= 0.425
