"""Matrix factorisation by gradient steps: the embedding, one step by hand, the module and its fit."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss, one_hot

from course_utils import errors
from course_utils.data import splits
from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.evaluation import protocol
from course_utils.learning import loop
from course_utils.models.embedding_mf import MatrixFactorization


def toy(
    n_users: int = 30, n_items: int = 20, rank: int = 2, share: float = 0.7, seed: int = 0
) -> Interactions:
    """A part of a matrix of the given rank, around 3."""
    rng = np.random.default_rng(seed)
    full = 3 + rng.normal(size=(n_users, rank)) @ rng.normal(size=(rank, n_items))
    users, items = np.nonzero(rng.random(full.shape) < share)
    frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": full[users, items]})
    return Interactions.from_frame(frame, user_ids=np.arange(n_users), item_ids=np.arange(n_items))


class TestEmbedding:
    def test_is_a_linear_layer_on_one_hot(self) -> None:
        torch.manual_seed(0)
        table = nn.Embedding(6, 4)
        linear = nn.Linear(6, 4, bias=False)
        linear.weight.data = table.weight.detach().T.clone()
        codes, weights = torch.tensor([1, 4, 1]), torch.randn(3, 4)
        by_look_up, by_product = table(codes), linear(one_hot(codes, 6).double())
        assert by_look_up.equal(by_product)
        (by_look_up * weights).sum().backward()
        (by_product * weights).sum().backward()
        torch.testing.assert_close(table.weight.grad, linear.weight.grad.T, atol=0, rtol=1e-15)
        assert table.weight.grad.abs().sum(1).nonzero().flatten().tolist() == [1, 4]

    @pytest.mark.parametrize(
        ("optimizer", "options", "sparse", "expected"),
        [
            (torch.optim.Adam, {"weight_decay": 0.1}, False, 0.050),
            (torch.optim.SGD, {"weight_decay": 0.1}, False, 0.010),
            (torch.optim.SparseAdam, {}, True, 0.0),
            (torch.optim.SGD, {}, False, 0.0),
        ],
    )
    def test_weight_decay_moves_rows_outside_the_batch(
        self, optimizer: type[torch.optim.Optimizer], options: dict, sparse: bool, expected: float
    ) -> None:
        torch.manual_seed(0)
        table = nn.Embedding(6, 4, sparse=sparse)
        before = table.weight.detach().clone()
        own = optimizer(list(table.parameters()), lr=0.01, **options)

        def loss(module: nn.Module, batch: loop.Batch) -> torch.Tensor:
            return module(batch[0]).square().sum(-1).mean()

        loop.fit(table, [(torch.tensor([0]),)], loss, epochs=5, optimizer=own, progress=False)
        moved = (table.weight.detach() - before).abs()
        assert moved[1:].max().item() == pytest.approx(expected, abs=2e-3)
        assert moved[0].min() > 1e-4

    def test_plain_adam_keeps_moving_a_row_without_gradient(self) -> None:
        torch.manual_seed(0)
        table = nn.Embedding(2, 3)
        optimizer = torch.optim.Adam(table.parameters(), lr=0.01)
        batches = [(torch.tensor([0]),), (torch.tensor([1]),)]
        seen: list[torch.Tensor] = []

        def loss(module: nn.Module, batch: loop.Batch) -> torch.Tensor:
            seen.append(module.weight.detach().clone())
            return module(batch[0]).square().sum(-1).mean()

        loop.fit(
            table, [batches[0], batches[1], batches[1]], loss, epochs=1, optimizer=optimizer, progress=False
        )
        assert (seen[2][0] - seen[1][0]).abs().min() > 1e-3  # row 0 was not in the second batch


class TestByHand:
    @pytest.mark.parametrize(
        ("step", "p", "q", "prediction", "loss"),
        [
            (0.1, (1.3, 1.1), (1.1, 1.3), 2.86, 1.30),
            (0.2, (1.6, 1.7), (1.7, 1.6), 5.44, 2.07),
            (0.3, (1.9, 2.3), (2.3, 1.9), 8.74, 22.5),
        ],
    )
    def test_one_sgd_step(
        self, step: float, p: tuple[float, ...], q: tuple[float, ...], prediction: float, loss: float
    ) -> None:
        model = MatrixFactorization(1, 1, 2, biases=False)
        model.user_factors.weight.data = torch.tensor([[1.0, 0.5]])
        model.item_factors.weight.data = torch.tensor([[0.5, 1.0]])
        code, rating = torch.tensor([0]), torch.tensor([4.0])
        optimizer = torch.optim.SGD(model.parameters(), lr=step)
        before = mse_loss(model(code, code), rating)
        assert model(code, code).item() == 1.0
        assert before.item() == 9.0
        before.backward()
        assert model.user_factors.weight.grad.tolist() == [[-3.0, -6.0]]
        assert model.item_factors.weight.grad.tolist() == [[-6.0, -3.0]]
        optimizer.step()
        torch.testing.assert_close(model.user_factors.weight.data, torch.tensor([p]))
        torch.testing.assert_close(model.item_factors.weight.data, torch.tensor([q]))
        assert model(code, code).item() == pytest.approx(prediction)
        assert mse_loss(model(code, code), rating).item() == pytest.approx(
            loss, abs=0.05 if step > 0.2 else 5e-3
        )


class TestModule:
    def test_parameter_count(self) -> None:
        def count(**options: bool) -> int:
            return sum(p.numel() for p in MatrixFactorization(943, 1682, 16, **options).parameters())

        assert count() == 44_626
        assert count(biases=False) == 42_000

    def test_forward_against_a_loop(self) -> None:
        model = MatrixFactorization(4, 5, 3, std=1.0, mean=3.5)
        for table in (model.user_biases, model.item_biases):
            table.weight.data.normal_()
        users, items = torch.tensor([0, 3, 3]), torch.tensor([4, 0, 2])
        p, q = model.user_factors.weight, model.item_factors.weight
        bias_u, bias_i = model.user_biases.weight[:, 0], model.item_biases.weight[:, 0]
        pairs = list(zip(users.tolist(), items.tolist(), strict=True))
        expected = torch.stack(
            [3.5 + bias_u[u] + bias_i[i] + sum(p[u, f] * q[i, f] for f in range(3)) for u, i in pairs]
        )
        assert model(users, items).shape == (3,)
        torch.testing.assert_close(model(users, items), expected)
        torch.testing.assert_close(model.score(users).gather(1, items[:, None])[:, 0], expected)
        torch.testing.assert_close(model(users[:, None], torch.arange(5)), model.score(users))

    @pytest.mark.parametrize("factors", [1, 2, 5, 7])
    def test_any_number_of_factors(self, factors: int) -> None:
        assert MatrixFactorization(3, 4, factors).score(torch.arange(3)).shape == (3, 4)

    def test_start(self) -> None:
        model = MatrixFactorization(2000, 1000, 64, std=0.25, mean=3.0)
        scores = model.score(torch.arange(2000))
        assert scores.mean().item() == pytest.approx(3.0, abs=0.01)
        assert scores.std().item() == pytest.approx(0.5, rel=0.02)  # std**2 * sqrt(64)
        assert not model.user_biases.weight.any()

    def test_seed_and_not_the_global_generator(self) -> None:
        torch.manual_seed(1)
        first = MatrixFactorization(3, 4)
        torch.manual_seed(2)
        again, other = MatrixFactorization(3, 4), MatrixFactorization(3, 4, seed=1)
        assert first.user_factors.weight.equal(again.user_factors.weight)
        assert not first.user_factors.weight.equal(other.user_factors.weight)

    def test_penalty_counts_a_row_as_often_as_it_occurs(self) -> None:
        model = MatrixFactorization(2, 2, 1)
        model.user_factors.weight.data = torch.tensor([[1.0], [3.0]])
        model.item_factors.weight.data = torch.tensor([[2.0], [5.0]])
        penalty = model.penalty(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 0]))
        assert penalty.item() == (1 + 1 + 1 + 9) / 4 + 4
        penalty.backward()
        assert model.item_factors.weight.grad.tolist() == [[4.0], [0.0]]


class TestFit:
    def test_finds_a_matrix_of_low_rank(self) -> None:
        data = toy()
        model = MatrixFactorization(30, 20, 4, std=0.1)
        model.fit(data, epochs=200, batch_size=64, lr=0.03, regularization=1e-4, progress=False)
        hidden = ~data.mask()
        everything = toy(share=1.0)
        full = torch.zeros(30, 20)
        full[everything.users, everything.items] = everything.ratings
        error = (model.score(torch.arange(30)) - full)[hidden].square().mean().sqrt().item()
        assert error < 0.25 * full[hidden].std().item()
        assert model.history["mse"].iloc[-1] < 0.01 < 1.0 < model.history["mse"].iloc[0]
        torch.testing.assert_close(
            model.predict(data.users, data.items), model.score(torch.arange(30))[data.users, data.items]
        )

    def test_reproducible_by_seed_and_starts_anew(self) -> None:
        data = toy()
        options = {"epochs": 2, "progress": False}
        model = MatrixFactorization(30, 20).fit(data, **options)
        first = model.score(torch.arange(30))
        assert model.fit(data, **options).score(torch.arange(30)).equal(first)
        other = MatrixFactorization(30, 20, seed=1).fit(data, **options).score(torch.arange(30))
        assert not other.equal(first)

    @pytest.mark.parametrize("loss", ["bce", "bpr"])
    def test_clicks(self, loss: str) -> None:
        """Two tastes: users like the items of their own half and have met most of them."""
        rng = np.random.default_rng(0)
        seen = (rng.random((40, 30)) < 0.7) & (np.arange(40)[:, None] % 2 == np.arange(30) % 2)
        users, items = np.nonzero(seen)
        data = Interactions.from_frame(
            pd.DataFrame({"user_id": users, "item_id": items}), user_ids=range(40), item_ids=range(30)
        )
        model = MatrixFactorization(40, 30, 4, std=0.1)
        model.fit(data, loss=loss, epochs=60, batch_size=64, lr=0.03, negatives=4, progress=False)
        assert model.history[loss].iloc[0] > model.history[loss].iloc[-1]
        scores = model.score(torch.arange(40))
        same = torch.arange(40)[:, None] % 2 == torch.arange(30) % 2
        liked, disliked = scores[same & ~data.mask()], scores[~same]
        assert (liked[:, None] > disliked).double().mean() > 0.95
        with pytest.raises(InputError, match=f"^loss: got '{loss}'"):
            model.predict(torch.tensor([0]), torch.tensor([0]))

    def test_pairs_leave_the_level_alone(self) -> None:
        model = MatrixFactorization(30, 20)
        model.fit(toy(), loss="bpr", epochs=2, progress=False)
        # both stand on either side of each pair, so that rounding alone moves them
        assert max(model.mean.abs(), model.user_biases.weight.abs().max()) < 1e-6
        assert model.item_biases.weight.abs().max() > 0.01
        assert model.history["bpr"].iloc[0] == pytest.approx(math.log(2), abs=0.05)

    def test_clicks_start_at_the_log_odds(self) -> None:
        model = MatrixFactorization(30, 20)
        model.fit(toy(share=0.3), loss="bce", epochs=1, lr=1e-12, negatives=4, progress=False)
        assert model.mean.item() == pytest.approx(-math.log(4))
        entropy = binary_cross_entropy_with_logits(torch.tensor(-math.log(4)), torch.tensor(0.2)).item()
        assert model.history["bce"].item() == pytest.approx(entropy, abs=1e-3)

    def test_validation_keeps_the_best_epoch(self) -> None:
        values = iter([2.0, 1.0, 3.0])
        model = MatrixFactorization(30, 20)
        model.fit(toy(), epochs=5, validate=lambda module: next(values), patience=1, progress=False)
        assert len(model.history) == 3
        assert model.history.attrs["best_epoch"] == 2

    def test_quality_on_movielens(self, movielens) -> None:
        train_part, test_part = next(splits.k_fold(movielens.ratings, seed=0))
        ids = {"user_ids": movielens.users.user_id, "item_ids": movielens.items.item_id}
        known, hidden = (Interactions.from_frame(part, **ids) for part in (train_part, test_part))
        model = MatrixFactorization(known.n_users, known.n_items).fit(known, progress=False)
        assert 0.890 < protocol.measure_ratings(model, hidden)["rmse"] < 0.910


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "argument"),
        [
            ({"n_users": 0}, "n_users"),
            ({"n_items": 0}, "n_items"),
            ({"factors": 0}, "factors"),
            ({"std": 0.0}, "std"),
            ({"mean": 3.5, "biases": False}, "mean"),
        ],
    )
    def test_sizes(self, options: dict, argument: str) -> None:
        with pytest.raises(InputError, match=f"^{argument}: got"):
            MatrixFactorization(**{"n_users": 2, "n_items": 2, **options})

    @pytest.mark.parametrize(
        ("options", "argument"),
        [
            ({"loss": "hinge"}, "loss"),
            ({"epochs": 0}, "epochs"),
            ({"regularization": -1.0}, "regularization"),
            ({"negatives": 0, "loss": "bce"}, "negatives"),
            ({"batch_size": 0}, "batch_size"),
        ],
    )
    def test_fit(self, options: dict, argument: str) -> None:
        with pytest.raises(InputError, match=f"^{argument}: got"):
            MatrixFactorization(30, 20).fit(toy(), progress=False, **options)

    def test_misspelled_option(self) -> None:
        with pytest.raises(TypeError, match="pateince"):
            MatrixFactorization(30, 20).fit(toy(), pateince=3)

    def test_other_sizes(self) -> None:
        with pytest.raises(
            InputError, match=r"^interactions: got \(30, 20\) users and items, expected \(30, 21\)"
        ):
            MatrixFactorization(30, 21).fit(toy(), progress=False)

    def test_no_interactions(self) -> None:
        empty = Interactions.from_frame(
            pd.DataFrame({"user_id": [], "item_id": []}, dtype="int64"), user_ids=[0], item_ids=[0]
        )
        with pytest.raises(InputError, match=r"interactions: got none"):
            MatrixFactorization(1, 1).fit(empty, progress=False)

    def test_unknown_codes(self) -> None:
        model = MatrixFactorization(3, 4)
        with pytest.raises(InputError, match=r"^users: got codes 0\.\.3, expected codes in 0\.\.2"):
            model.score(torch.tensor([0, 3]))
        with pytest.raises(InputError, match=r"^items: got codes -1\.\.-1"):
            model.predict(torch.tensor([0]), torch.tensor([-1]))

    def test_diverging_names_the_place(self) -> None:
        with pytest.raises(errors.DivergedError, match="epoch 1, batch"):
            MatrixFactorization(30, 20).fit(toy(), lr=1e200, batch_size=8, progress=False)
