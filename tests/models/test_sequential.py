import math

import numpy as np
import pandas as pd
import pytest
import torch
from shared import refusals
from torch import nn

from course_utils.data.interactions import Interactions
from course_utils.evaluation import measure_lists
from course_utils.learning import negatives
from course_utils.models.base import fold_in
from course_utils.models.causal import attention
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN
from course_utils.models.sequential import HSTU, Caser, GRU4Rec, MarkovChain, SASRec, sequences, windows

N = 12
NETWORKS = [GRU4Rec, Caser, SASRec, HSTU]
PAD = torch.tensor([[N, N, N, 4, 2, 7], [N, 0, 1, 2, 3, 4], [9, 8, 7, 6, 5, 11]])  # histories of 3, 5 and 6 items


def coded(histories, n_items=N):
    """Interactions whose rows are in no order of time; the histories are."""
    rows = [(u, item, t) for u, items in enumerate(histories) for t, item in enumerate(items)]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).sample(frac=1, random_state=0)
    return Interactions.from_frame(table, user_ids=range(len(histories)), item_ids=range(n_items))


def draws(n_users=40, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.permutation(N)[: rng.integers(0, N + 1)].tolist() for _ in range(n_users)]


def trained(model, depth=2):
    return model(8, length=6, depth=depth, epochs=2, lr=0.05).fit(coded(draws()))


@pytest.mark.parametrize("length", [1, 3, 20])
def test_sequences_and_windows_equal_a_loop(length):
    histories = draws()
    data = coded(histories)
    for row, items in zip(sequences(data, length).tolist(), histories, strict=True):
        assert row == ([N] * length + items)[-length:]
    users, rows = windows(data, length)
    found = {u: [] for u in range(len(histories))}
    for user, row in zip(users.tolist(), rows.tolist(), strict=True):
        real = [item for item in row if item < N]
        assert row == [N] * (length + 1 - len(real)) + real
        end = histories[user].index(real[-1]) + 1
        assert real == histories[user][max(0, end - length - 1) : end]
        found[user] += real[1:]
    assert all(found[u] == items[1:] for u, items in enumerate(histories))  # each has its history at its left, once


def test_of_equal_times_the_lower_row_is_later():
    table = pd.DataFrame({"user_id": 0, "item_id": [3, 1, 2, 0], "timestamp": [5, 5, 1, 5]})
    data = Interactions.from_frame(table)
    assert sequences(data, 4).tolist() == [[2, 3, 1, 0]]
    assert data.age().tolist() == [2, 1, 3, 0]
    np.testing.assert_array_equal(data.csr(binary=True, decay=0.5).toarray(), [[1, 0.5, 0.125, 0.25]])


class TestMarkovChain:
    FOUR = coded([[0, 1, 2, 3], [0, 1, 3], [1, 2, 0], [0, 2, 1, 3]], 4)  # abcd, abd, bca, acbd

    def test_by_hand(self):
        chances = MarkovChain(1, smoothing=0).fit(self.FOUR).transitions
        expected = [[0, 2 / 3, 1 / 3, 0], [0, 0, 1 / 2, 1 / 2], [1 / 3, 1 / 3, 0, 1 / 3], [0, 0, 0, 0]]
        np.testing.assert_allclose(chances, expected)
        assert (chances @ chances)[0, 3].item() == pytest.approx(4 / 9)
        smoothed = MarkovChain(1, smoothing=1.0).fit(self.FOUR).transitions
        assert smoothed[0, 1].item() == pytest.approx(0.5625)
        np.testing.assert_allclose(smoothed.sum(1), 1)

    def test_the_last_items_count_by_their_place(self):
        model = MarkovChain(2, decay=0.5, smoothing=0).fit(self.FOUR)
        chances = model.transitions
        torch.testing.assert_close(model.score([2]), (chances[0] + 0.5 * chances[2])[None])  # bca: a, then c
        new = coded([[2], [3, 1]], 4)  # a history of one item, shorter than two
        torch.testing.assert_close(fold_in(model, new), torch.stack([chances[2], chances[1] + 0.5 * chances[3]]))


@pytest.mark.parametrize("model", [EASE(2.0, decay=0.5), ItemKNN(N, decay=0.5)])
def test_decay_by_hand(model):
    data = coded([*draws(), [3, 7, 1]])
    model.fit(data)
    weights = model.weights if isinstance(model, EASE) else model.similarities
    expected = weights[1] + 0.5 * weights[7] + 0.25 * weights[3]
    torch.testing.assert_close(model.score([40])[0], expected)
    torch.testing.assert_close(fold_in(model, coded([[3, 7, 1]]))[0], expected)


def test_attention_by_hand():
    x, before = torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.ones(3, 3, dtype=torch.bool).tril()
    read, weights = attention(x, x, x, before)
    np.testing.assert_allclose(weights, [[1, 0, 0], [0.3302, 0.6698, 0], [0.2483, 0.2483, 0.5035]], atol=5e-5)
    torch.testing.assert_close(read, weights @ x)
    assert attention(x, x, x, torch.ones_like(before))[1][0, 1:].sum().item() == pytest.approx(0.5989, abs=5e-5)


@pytest.mark.parametrize("model", NETWORKS)
class TestNetworks:
    def gradients(self, model, row, place):
        """How far each place of a history moves the state of one place."""
        network = trained(model).network
        x = torch.randn(1, 6, 8).requires_grad_()
        real = PAD[[row]] < N
        state = network.middle(x * real[..., None], real, lambda x: x)[0, place]
        (state * torch.randn(8)).sum().backward()
        return x.grad[0].abs().sum(1)

    @pytest.mark.parametrize("place", [3, 4])
    def test_no_place_sees_its_future_or_the_padding(self, model, place):
        moved = self.gradients(model, 0, place)
        assert (moved[place + 1 :] == 0).all()
        assert (moved[:3] == 0).all()
        assert (moved[3 : place + 1] > 0).all()

    def test_the_future_changes_no_state(self, model):
        network, other = trained(model).network, PAD.clone()
        other[:, 4:] = torch.tensor([10, 1])
        before, after = network(PAD), network(other)
        assert torch.equal(before[:, 3], after[:, 3])
        assert torch.equal(before[:, 3], network(PAD, at=3))
        assert not torch.equal(before[:, 4], after[:, 4])

    def test_what_stands_for_padding_has_no_say(self, model):
        network = trained(model).network
        before = network(PAD)[PAD < N]
        network.items.weight.data[N] = 1e3
        torch.testing.assert_close(network(PAD)[PAD < N], before, rtol=0, atol=0)
        assert network.score(before).shape[1] == N

    def test_new_users(self, model):
        train = coded(draws())
        fitted = model(4, length=5, epochs=1).fit(train)
        torch.testing.assert_close(fold_in(fitted, train), fitted.score(range(40)))

    @pytest.mark.parametrize("loss", [{}, {"negatives": 4}])
    def test_learns_an_order_that_a_bag_of_items_does_not_have(self, model, loss):
        rng = np.random.default_rng(0)
        starts, sizes = rng.integers(0, 30, 150), rng.integers(4, 9, 150)
        data = [[(a + k) % 30 for k in range(n)] for a, n in zip(starts, sizes, strict=True)]
        train, test = coded([row[:-1] for row in data], 30), coded([row[-1:] for row in data], 30)
        fitted = model(16, length=6, epochs=25, lr=0.02, dropout=0.0, **loss).fit(train)
        assert measure_lists(fitted, train, test, 1)["hit_rate@1"] > 0.9
        assert measure_lists(MarkovChain(1).fit(train), train, test, 1)["hit_rate@1"] > 0.9
        assert measure_lists(EASE(1.0).fit(train), train, test, 1)["hit_rate@1"] < 0.7

    def test_the_first_loss_is_of_all_real_places(self, model):
        data = coded(draws())
        fitted = model(8, length=6, epochs=1, lr=1e-12, dropout=0.0, batch_size=1000).fit(data)
        rows, losses = windows(data, 6)[1], []
        for row in rows:
            states = fitted.network(row[None, :-1])[0]
            scores = torch.log_softmax(fitted.network.score(states), 1)
            losses += [-scores[t, row[t + 1]] for t in range(6) if row[t] < N]
        assert fitted.history.loss[1] == pytest.approx(torch.stack(losses).mean().item(), rel=1e-6)


def layer_norm(norm, x):
    return norm.weight * (x - x.mean()) / (x.var(correction=0) + norm.eps).sqrt() + norm.bias


def dense(layer, x):
    return layer.weight @ x + layer.bias


def sasrec_block(block, xs):
    """Equations of the paper for the vectors of one history, place by place."""
    normed = [layer_norm(block.norm, x) for x in xs]
    result = []
    for t, x in enumerate(xs):
        query = dense(block.query, normed[t])
        scores = [(query @ dense(block.key, normed[s])).item() / math.sqrt(len(x)) for s in range(t + 1)]
        total = sum(math.exp(score) for score in scores)
        for s, score in enumerate(scores):
            x = x + math.exp(score) / total * dense(block.value, normed[s])
        result.append(x + dense(block.outer, dense(block.inner, layer_norm(block.feed_norm, x)).clamp(min=0)))
    return result


def hstu_block(block, xs):
    silu = nn.functional.silu
    parts = [silu(dense(block.project, layer_norm(block.norm, x))).chunk(4) for x in xs]
    result = []
    for t, x in enumerate(xs):
        gate, _, query, _ = parts[t]
        read = 0
        for s in range(t + 1):
            _, value, _, key = parts[s]
            read = read + silu(query @ key + block.distance[t - s]) / 6 * value
        result.append(x + dense(block.out, layer_norm(block.read_norm, read) * gate))
    return result


@pytest.mark.parametrize(("model", "step"), [(SASRec, sasrec_block), (HSTU, hstu_block)])
def test_attention_models_equal_a_loop_with_copied_weights(model, step):
    network = trained(model).network
    for row, states in zip(PAD, network(PAD), strict=True):
        real = row < N
        xs = [
            network.items.weight[i] * math.sqrt(8) + p
            for i, p in zip(row[real], network.middle.places[real], strict=True)
        ]
        for block in network.middle.blocks:
            xs = step(block, xs)
        torch.testing.assert_close(states[real], torch.stack([layer_norm(network.norm, x) for x in xs]))


def test_weights_are_those_of_the_blocks():
    model = trained(SASRec)
    weights = model.weights(PAD)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 6))
    assert (weights.triu(1) == 0).all()
    assert (weights[:, PAD == N] == torch.eye(6)[(PAD == N).nonzero()[:, 1]]).all()
    block, x = model.network.middle.blocks[0], model.network.items.weight[PAD[2]] * math.sqrt(8)
    x = block.norm(x + model.network.middle.places)
    scores = (block.query(x) @ block.key(x).T / math.sqrt(8)).exp().tril()
    torch.testing.assert_close(weights[0, 2], scores / scores.sum(1, keepdim=True))


def test_gru_runs_over_the_history_alone():
    network = trained(GRU4Rec).network
    for row, states in zip(PAD, network(PAD), strict=True):
        alone, _ = network.middle.gru(network.items(row[row < N]) * math.sqrt(8))  # torch's own, without padding
        torch.testing.assert_close(states[row < N], network.norm(alone), rtol=0, atol=1e-15)
        assert torch.equal(states[row == N], network.norm.bias.expand((row == N).sum(), 8))  # of a state of 0


def test_caser_equals_a_loop_over_filters():
    network = trained(Caser, depth=3).network
    middle = network.middle
    for row, states in zip(PAD, network(PAD), strict=True):
        x = torch.cat([torch.zeros(2, 8), network.items.weight[row] * math.sqrt(8) * (row < N)[:, None]])
        for t in range(6):
            seen, found = x[t : t + 3], []  # the item at t and the two before it
            for conv in middle.across:
                height = conv.kernel_size[0]
                answers = [(conv.weight * seen[s : s + height].T).sum((1, 2)) + conv.bias for s in range(4 - height)]
                found.append(torch.stack(answers).amax(0).clamp(min=0))
            found.append(torch.stack([weights @ seen for weights in middle.along.weight]).T.flatten())
            torch.testing.assert_close(states[t], network.norm(dense(middle.out, torch.cat(found)).clamp(min=0)))


@pytest.mark.parametrize(("sampler", "power"), [("uniform", 0.0), ("popularity", 1.0)])
def test_sampled_negatives_are_drawn_as_asked(monkeypatch, sampler, power):
    drawn, draw = [], negatives.popularity

    def spy(data, users, n, **how):
        drawn.append((len(users), n, how["power"], users.tolist()))
        return draw(data, users, n, **how)

    monkeypatch.setattr(negatives, "popularity", spy)
    SASRec(4, length=3, epochs=1, negatives=2, sampler=sampler).fit(coded([[5], [0, 1, 2], [], [4, 3]]))
    assert [(*each[:3], sorted(each[3])) for each in drawn] == [(3, 2, power, [1, 1, 3])]  # three places have a next


BAD = [(SASRec, {name: 0}) for name in ("factors", "length", "depth", "epochs", "batch_size")]
BAD += [(GRU4Rec, {"dropout": 1.0}), (HSTU, {"negatives": -1}), (Caser, {"sampler": "hard"})]
BAD += [(MarkovChain, bad) for bad in ({"last": 0}, {"decay": 0.0}, {"smoothing": -1})]
BAD += [(EASE, {"decay": 1.1}), (ItemKNN, {"decay": 0})]
test_refusals = refusals(
    *((next(iter(bad)), model, bad) for model, bad in [*BAD, (UserKNN, {"decay": 0.9})]),
    *(("length", call, coded([[1, 2]]), 0) for call in (sequences, windows)),
)
