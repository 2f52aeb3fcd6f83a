"""Matrix factorisation by gradient steps: the module and its fit."""

import math

import numpy as np
import pytest
import torch
from shared import placed, refusals
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils.errors import DivergedError, InputError
from course_utils.evaluation import protocol
from course_utils.models.embedding_mf import MatrixFactorization


def toy(share=0.7):
    """A part of a matrix of rank 2, around 3."""
    rng = np.random.default_rng(0)
    full = 3 + rng.normal(size=(30, 2)) @ rng.normal(size=(2, 20))
    return placed(rng.random(full.shape) < share, full)


def fitted(data=None, **options):
    return MatrixFactorization(30, 20).fit(toy() if data is None else data, progress=False, **options)


class TestModule:
    @pytest.mark.parametrize("factors", [1, 2, 5, 7])
    def test_forward_against_a_loop(self, factors):
        model = MatrixFactorization(4, 5, factors, std=1.0, mean=3.5)
        for table in (model.user_biases, model.item_biases):
            table.weight.data.normal_()
        users, items = torch.tensor([0, 3, 3]), torch.tensor([4, 0, 2])
        p, q, b, c = (table.weight for table in model.children())
        pairs = zip(users, items, strict=True)
        expected = torch.cat([3.5 + b[u] + c[i] + sum(p[u, f] * q[i, f] for f in range(factors)) for u, i in pairs])
        scores = model.score(users)
        for found in (model(users, items), model.predict(users, items), scores.gather(1, items[:, None])[:, 0]):
            torch.testing.assert_close(found, expected)
        torch.testing.assert_close(model(users[:, None], torch.arange(5)), scores)

    def test_start(self):
        model = MatrixFactorization(2000, 1000, 64, std=0.25, mean=3.0)
        scores = model.score(torch.arange(2000))
        assert scores.mean().item() == pytest.approx(3.0, abs=0.01)
        assert scores.std().item() == pytest.approx(0.5, rel=0.02)  # std**2 * sqrt(64)
        assert not model.user_biases.weight.any()
        torch.manual_seed(1)  # the global generator has no part in it
        for seed in (0, 1):
            again = MatrixFactorization(2000, 1000, 64, std=0.25, seed=seed)
            assert again.user_factors.weight.equal(model.user_factors.weight) == (seed == 0)
        for biases, count in ((True, 44_626), (False, 42_000)):
            assert sum(p.numel() for p in MatrixFactorization(943, 1682, 16, biases).parameters()) == count

    def test_penalty_counts_a_row_as_often_as_it_occurs(self):
        model = MatrixFactorization(2, 2, 1)
        model.user_factors.weight.data = torch.tensor([[1.0], [3.0]])
        model.item_factors.weight.data = torch.tensor([[2.0], [5.0]])
        penalty = model.penalty(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 0]))
        assert penalty.item() == (1 + 1 + 1 + 9) / 4 + 4
        penalty.backward()
        assert model.item_factors.weight.grad.tolist() == [[4.0], [0.0]]


class TestFit:
    def test_finds_a_matrix_of_low_rank(self):
        data, everything = toy(), toy(share=1.0)
        model = MatrixFactorization(30, 20, 4, std=0.1)
        model.fit(data, epochs=200, batch_size=64, lr=0.03, regularization=1e-4, progress=False)
        hidden, full = ~data.mask(), everything.ratings.view(30, 20)
        error = (model.score(torch.arange(30)) - full)[hidden].square().mean().sqrt().item()
        assert error < 0.25 * full[hidden].std().item()
        assert model.history["mse"].iloc[-1] < 0.01 < 1.0 < model.history["mse"].iloc[0]

    @pytest.mark.parametrize("loss", ["bce", "bpr"])
    def test_clicks(self, loss):
        """Two tastes: users like the items of their own half and have met most of them."""
        same = torch.arange(40)[:, None] % 2 == torch.arange(30) % 2
        data = placed((np.random.default_rng(0).random((40, 30)) < 0.7) & same.numpy())
        model = MatrixFactorization(40, 30, 4, std=0.1)
        model.fit(data, loss=loss, epochs=60, batch_size=64, lr=0.03, negatives=4, progress=False)
        assert model.history[loss].iloc[0] > model.history[loss].iloc[-1]
        scores = model.score(torch.arange(40))
        liked, disliked = scores[same & ~data.mask()], scores[~same]
        assert (liked[:, None] > disliked).double().mean() > 0.95
        with pytest.raises(InputError, match=f"^loss: got '{loss}'"):
            model.predict([0], [0])

    def test_the_penalty_of_clicks_counts_the_negatives(self):
        data = placed(np.arange(20) == np.zeros((30, 1)))  # everyone has item 0 alone
        model = fitted(data, loss="bpr", epochs=1, lr=1e-12, negatives=100, regularization=0.5)
        p, q = (table.weight.square().sum(1) for table in (model.user_factors, model.item_factors))
        expected = 0.5 * (p.mean() + (q[0] + 100 * q[1:].mean()) / 101)
        assert model.history["penalty"].item() == pytest.approx(expected.item(), rel=0.01)

    def test_pairs_leave_the_level_alone(self):
        model = fitted(loss="bpr", epochs=2)
        # both stand on either side of each pair, so that rounding alone moves them
        assert max(model.mean.abs(), model.user_biases.weight.abs().max()) < 1e-6
        assert model.item_biases.weight.abs().max() > 0.01
        assert model.history["bpr"].iloc[0] == pytest.approx(math.log(2), abs=0.05)

    def test_clicks_start_at_the_log_odds(self):
        model = fitted(toy(share=0.3), loss="bce", epochs=1, lr=1e-12, negatives=4)
        assert model.mean.item() == pytest.approx(-math.log(4))
        entropy = binary_cross_entropy_with_logits(torch.tensor(-math.log(4)), torch.tensor(0.2)).item()
        assert model.history["bce"].item() == pytest.approx(entropy, abs=1e-3)

    def test_validation_keeps_the_best_epoch(self):
        values = iter([2.0, 1.0, 3.0])
        history = fitted(epochs=5, validate=lambda module: next(values), patience=1).history
        assert (len(history), history.attrs["best_epoch"]) == (3, 2)

    def test_quality_on_movielens(self, fold):
        train, test = fold
        model = MatrixFactorization(train.n_users, train.n_items).fit(train, progress=False)
        assert 0.890 < protocol.measure_ratings(model, test)["rmse"] < 0.910


test_refusals = refusals(
    *((name, MatrixFactorization, {"n_users": 2, "n_items": 2, name: 0}) for name in ("n_users", "n_items", "std")),
    ("mean", MatrixFactorization, 2, 2, {"mean": 3.5, "biases": False}),
    *((name, fitted, {name: 0}) for name in ("epochs", "batch_size")),
    *(("loss", fitted, {"loss": "hinge"}), ("regularization", fitted, {"regularization": -1.0})),
    ("negatives", fitted, {"negatives": 0, "loss": "bce"}),
)


def test_a_misspelled_option_and_a_diverging_loss_are_named():
    with pytest.raises(TypeError, match="pateince"):
        fitted(pateince=3)
    with pytest.raises(DivergedError, match="epoch 1, batch"):
        fitted(lr=1e200, batch_size=8)
