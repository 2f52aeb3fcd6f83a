import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import coded, refusals

from course_utils.evaluation import measure_lists, recommend
from course_utils.models.base import fold_in
from course_utils.models.next_code import NextCode
from course_utils.models.semantic_ids import Trie, all_log_probabilities, beam_search, residual_kmeans, tell_apart
from course_utils.models.sequential import windows
from experiments import _rq_vae
from experiments._rq_vae import rq_vae

SIX = torch.tensor([(0, 0), (0, 2), (1, 1), (8, 0), (8, 2), (9, 1)]).double()
SENTENCES = torch.tensor([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)])  # items A to F
FIRST = torch.tensor([0.5, 0.4, 0.1]).double()
SECOND = torch.tensor([[0.35, 0.25, 0.4], [0.55, 0.45, 0.0], [0.5, 0.3, 0.2]]).double()


def cloud(n=60, d=4, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=(n, d)))


def six(prefixes):
    """Logits of the hand example after beginnings ``(rows, w, l)``."""
    if prefixes.shape[-1] == 0:
        return FIRST.log().expand(*prefixes.shape[:2], 3)
    return SECOND.log()[prefixes[..., 0]]


def drawn(codes, seed, rows=3):
    """A step with random logits of its own for each row and beginning."""
    sizes, generator = (codes.amax(0) + 1).tolist(), torch.Generator().manual_seed(seed)
    tables = [
        torch.randn(rows, *sizes[: level + 1], generator=generator, dtype=torch.float64) for level in range(len(sizes))
    ]

    def step(prefixes):
        level, row = prefixes.shape[-1], torch.arange(rows)[:, None]
        return tables[level][(row, *prefixes.unbind(-1))] if level else tables[0][:, None]

    return step, tables


class TestResidualKMeans:
    def test_by_hand(self):
        found = residual_kmeans(SIX, 2, 2)
        np.testing.assert_allclose(found.errors, [101 + 1 / 3, 5 + 1 / 3, 2])
        assert found.codes[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
        assert len(found.codes.unique(dim=0)) == 4  # two pairs collide
        assert found.codes[:3, 1].tolist() == found.codes[3:, 1].tolist()
        np.testing.assert_allclose(found.centres[0] + SIX.mean(0), [[1 / 3, 1], [8 + 1 / 3, 1]])

    @pytest.mark.parametrize("size", [2, 5])
    def test_a_code_stands_for_the_sum_of_its_centres(self, size):
        x = cloud()
        codes, centres, errors = residual_kmeans(x, size, 3)
        left = x - x.mean(0)
        for tokens, book, before, after in zip(codes.T, centres, errors[:-1], errors[1:], strict=True):
            assert tokens.equal(torch.cdist(left, book).argmin(1))
            assert tokens.unique().tolist() == list(range(size))
            firsts = [tokens.tolist().index(token) for token in range(size)]
            assert firsts == sorted(firsts)  # numbered as they occur
            left = left - book[tokens]
            assert left.square().sum().item() == pytest.approx(after)
            assert after < before

    def test_fewer_different_vectors_than_tokens(self):
        found = residual_kmeans(SIX[[0, 0, 3, 3, 3]], 4, 2)
        assert found.codes.tolist() == [[0, 0], [0, 0], [1, 0], [1, 0], [1, 0]]
        assert found.errors[1:] == [0, 0]

    def test_rounding_changes_no_code(self):
        x = cloud(200, 6)
        noise = torch.tensor(np.random.default_rng(1).normal(size=x.shape))
        expected = residual_kmeans(x, 8, 3).codes
        assert expected.equal(residual_kmeans(x * (1 + 1e-13 * noise), 8, 3).codes)
        assert expected.equal(residual_kmeans(7 * x.flip(1) - 3, 8, 3).codes)  # nor does another place or unit


class TestRQVAE:
    def test_it_begins_as_residual_kmeans_and_gets_better(self):
        x = torch.tanh(cloud(200, 2) @ cloud(2, 6, 1)).double()  # a curved sheet
        start, same, trained = residual_kmeans(x, 4, 2), rq_vae(x, 4, 2, epochs=1, lr=1e-12), rq_vae(x, 4, 2)
        assert same.codes.equal(start.codes)
        np.testing.assert_allclose(same.errors, start.errors, rtol=1e-6)
        assert trained.errors[2] < 0.95 * start.errors[2]
        assert trained.codes[0].tolist() == [0, 0]
        assert len(trained.codes.unique(dim=0)) <= len(trained.centres[0]) * len(trained.centres[1])

    def test_gradients_go_where_they_should(self):
        network = _rq_vae._RQVAE(residual_kmeans(SIX, 2, 2).centres, 3, torch.Generator().manual_seed(0))
        for part in (network.encoder, network.decoder):
            torch.nn.init.ones_(part[2].weight)
        moved = []
        for loss in range(3):
            network.zero_grad()
            decoded, _, books, encoder = network(SIX)
            ((decoded - SIX).square().sum(), books, encoder)[loss].backward()
            parts = network.encoder, network.decoder, network.books
            moved.append([any(w.grad is not None and w.grad.abs().sum() > 0 for w in p.parameters()) for p in parts])
        assert moved == [[True, True, False], [False, False, True], [True, False, False]]


def test_items_of_one_code_are_told_apart():
    assert tell_apart(torch.tensor([[3, 1], [0, 1], [3, 1], [3, 1], [0, 1]])).tolist() == [
        [3, 1, 0],
        [0, 1, 0],
        [3, 1, 1],
        [3, 1, 2],
        [0, 1, 1],
    ]


class TestSearch:
    TRIE = Trie(SENTENCES)

    def test_by_hand(self):
        items, values = beam_search(six, self.TRIE, 1)
        assert items.tolist() == [[2]]  # C
        assert values.exp().item() == pytest.approx(0.20)
        items, values = beam_search(six, self.TRIE, 2)
        assert items.tolist() == [[3, 2]]  # D, then C
        np.testing.assert_allclose(values.exp(), [[0.22, 0.20]])
        np.testing.assert_allclose(all_log_probabilities(six, self.TRIE).exp(), [[0.175, 0.125, 0.2, 0.22, 0.18, 0.1]])

    def test_without_the_trie_a_sentence_may_be_no_item(self):
        every = Trie(torch.cartesian_prod(torch.arange(3), torch.arange(3)))
        found = every.items[beam_search(six, every, 9)[0][0]]
        words = every.prefixes[1].tolist(), [divmod(int(place), 3) for place in found]
        assert (2, 1) in words[1]
        assert [2, 1] not in SENTENCES.tolist()

    def test_seen_items_are_left_out_inside(self):
        seen = torch.tensor([[False, False, True, True, False, False], [True, True, True, False, False, False]])
        items, _ = beam_search(six, self.TRIE, 1, rows=2, seen=seen)
        assert items.tolist() == [[0], [3]]  # A beside C; the whole first branch is closed to the second
        items, values = beam_search(six, self.TRIE, 6, rows=2, seen=seen)
        assert items.tolist() == [[4, 0, 1, 5, -1, -1], [3, 4, 5, -1, -1, -1]]
        assert (values == -torch.inf).equal(items == -1)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 5), st.integers(1, 30), st.floats(0, 1))
    def test_a_full_width_equals_exhaustive_scoring(self, seed, length, size, n, share):
        rng = np.random.default_rng(seed)
        codes = torch.tensor(rng.permutation(list(itertools.product(range(size), repeat=length)))[:n])
        (step, tables), trie = drawn(codes, seed), Trie(codes)
        exact = all_log_probabilities(step, trie, rows=3)
        torch.testing.assert_close(exact.exp().sum(1), torch.ones(3))
        item, row = int(rng.integers(len(codes))), int(rng.integers(3))
        by_loop = 0.0
        for level in range(length):  # the chance of each token among those that may follow
            start, sentence = codes[:, :level], codes[item]
            follows = codes[(start == sentence[:level]).all(1), level].unique()
            logits = tables[level][(row, *sentence[:level])]
            by_loop += (logits[sentence[level]] - logits[follows].logsumexp(0)).item()
        assert exact[row, item].item() == pytest.approx(by_loop)
        seen = torch.tensor(rng.random((3, len(codes))) < share)
        for width in (len(codes), 2):
            items, values = beam_search(step, trie, width, rows=3, seen=seen)
            real = items >= 0
            assert not seen.gather(1, items.clamp(min=0))[real].any()
            torch.testing.assert_close(values[real], exact.gather(1, items.clamp(min=0))[real])
            assert all(len(set(row)) == len(row) for row in (r[r >= 0].tolist() for r in items))
            if width == len(codes):
                assert real.sum(1).equal((~seen).sum(1))
                assert items[real].equal(
                    exact.masked_fill(seen, -torch.inf).argsort(1, descending=True)[:, : items.shape[1]][real]
                )
            elif not seen.all(1).any():
                assert real[:, 0].all()  # however narrow, it finds something


def histories(n_users=40, n_items=12, seed=0):
    rng = np.random.default_rng(seed)
    return coded(
        [(u, i, 1.0, t) for u in range(n_users) for t, i in enumerate(rng.permutation(n_items)[: rng.integers(2, 8)])],
        n_users,
        n_items,
    )


CODES = torch.tensor([[i // 6, i % 3] for i in range(12)])  # pairs collide


def trained(**options):
    return NextCode(CODES, 8, length=6, **{"epochs": 2, "lr": 0.02} | options).fit(histories())


class TestNextCode:
    def test_the_chances_of_all_items_sum_to_one(self):
        scores = trained().score(range(40))
        torch.testing.assert_close(scores.exp().sum(1), torch.ones(40))

    def test_lists_of_a_search(self):
        model, train = trained(), histories()
        wanted = recommend(model, torch.arange(40), 4, exclude=train)
        found = model.recommend(range(40), 4, width=12, exclude=train)
        assert found[0].equal(wanted[0])
        torch.testing.assert_close(found[1], wanted[1])
        narrow = model.recommend([3, 5], 2, width=2, exclude=train)[0]
        assert not train.mask()[[3, 5]].gather(1, narrow).any()

    def test_no_place_sees_its_future(self):
        network = trained().network
        rows, other = torch.tensor([[12, 12, 4, 2, 7, 0]]), torch.tensor([[12, 12, 4, 2, 9, 5]])
        before, after = network(rows), network(other)
        assert torch.equal(before[:, :4], after[:, :4])
        assert not torch.isclose(before[:, 4], after[:, 4]).any()

    def test_no_token_sees_itself_or_those_behind_it(self):
        model = trained()
        states = model.network(torch.tensor([[12, 12, 4, 2, 7, 0]]))[:, -1].expand(12, -1)
        costs = model.network._cost(states, torch.arange(12))
        for level in range(3):
            logits = model.network.logits(states, model.sentences[:, None, :level])[:, 0]
            expected = -logits.log_softmax(1).gather(1, model.sentences[:, level : level + 1])[:, 0]
            torch.testing.assert_close(costs[:, level], expected)

    def test_an_item_is_the_sum_of_its_tokens(self):
        model = trained()
        table, starts = model.network.items.weight, [0, 2, 5]
        assert len(table) == 2 + 3 + 2
        for item, sentence in enumerate(model.sentences.tolist()):
            expected = sum(table[start + token] for start, token in zip(starts, sentence, strict=True))
            torch.testing.assert_close(model.network.items(torch.tensor(item)), expected)

    def test_the_first_loss_is_that_of_all_real_places(self):
        model, costs = trained(epochs=1, lr=1e-12, dropout=0.0, batch_size=1000), []
        for row in windows(histories(), 6)[1]:
            states = model.network(row[None, :-1])[0]
            costs += [model.network._cost(states[[t]], row[[t + 1]]).sum() for t in range(6) if row[t] < 12]
        assert model.history.loss[1] == pytest.approx(torch.stack(costs).mean().item(), rel=1e-6)

    def test_learns_an_order_and_answers_new_people(self):
        rng = np.random.default_rng(0)
        rows = [(u, (a + t) % 12, 1.0, t) for u, a in enumerate(rng.integers(0, 12, 150)) for t in range(6)]
        train = coded([row for row in rows if row[3] < 5], 150, 12)
        test = coded([row for row in rows if row[3] == 5], 150, 12)
        model = NextCode(CODES, 16, length=6, epochs=20, lr=0.02, dropout=0.0).fit(train)
        assert measure_lists(model, train, test, 1)["hit_rate@1"] > 0.9
        torch.testing.assert_close(fold_in(model, train), model.score(range(150)))


BAD = [(name, NextCode, CODES, {name: 0}) for name in ("factors", "length", "depth", "epochs", "batch_size")]
BAD += [("dropout", NextCode, CODES, {"dropout": 1.0}), ("codes", NextCode, CODES[0]), ("codes", NextCode, CODES - 1)]
BAD += [(name, residual_kmeans, SIX, {name: 0}) for name in ("size", "depth", "starts")]
BAD += [(name, rq_vae, SIX, {name: 0}) for name in ("hidden", "epochs", "batch_size")]
BAD += [("commitment", rq_vae, SIX, {"commitment": -1})]
BAD += [("vectors", call, x) for call in (residual_kmeans, rq_vae) for x in (SIX[0], SIX[:0], SIX / 0)]
BAD += [("codes", Trie, x) for x in (SENTENCES[[0, 0]], SENTENCES[:0], SENTENCES - 1)]
BAD += [("width", beam_search, six, Trie(SENTENCES), 0)]
BAD += [("seen", beam_search, six, Trie(SENTENCES), 1, {"seen": torch.zeros(1, 5, dtype=torch.bool)})]
BAD += [("k", lambda: trained().recommend([0], 5, width=4)), ("users", lambda: trained().recommend([40]))]
test_refusals = refusals(*BAD)
