"""The alternating solvers against hand examples, naive formulas and outside referees."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from shared import coded, placed, refusals
from threadpoolctl import threadpool_limits

from course_utils.evaluation import protocol
from course_utils.models import als, bayesian_mf, least_squares
from course_utils.models.als import ALS, ImplicitALS
from course_utils.models.bayesian_mf import BayesianMF
from course_utils.models.least_squares import Rows


def close(a, b, tolerance=1e-10):
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (a, b))
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


def random_table(seed, n_users=12, n_items=9, share=0.4, cold=0):
    rng = np.random.default_rng(seed)
    seen = rng.random((n_users + cold, n_items)) < share
    seen[0, 0], seen[n_users:] = True, False
    return placed(seen, rng.integers(1, 6, seen.shape).astype(float))


def sides(data):
    return Rows.both_sides(data, data.ratings)


def random_rows(*arguments, **options):
    return sides(random_table(*arguments, **options))[0]


HAND = [(0, 0, 4.0), (0, 1, 2.0), (1, 0, 2.0)]  # R = [4 2; 2 ?]
DATA, START = coded(HAND, 2, 2), torch.ones(2, 2)
seeds = st.integers(0, 10_000)


def test_by_hand_without_regularization():
    found = [ALS(1, 0, n, biases=False).fit(coded(HAND, 2, 2), item_factors=torch.ones(2, 1)) for n in (1, 2, 3, 30)]
    close(found[0].user_factors[:, 0], [3, 2])
    close(found[0].item_factors[:, 0], [16 / 13, 2 / 3])
    close(found[0].loss_history, [2, 4 / 13])
    close(torch.cat([model.predict([1], [1]) for model in found]), [4 / 3, 1.018, 1.001, 1], 5e-4)


class TestRows:
    @given(seeds, st.floats(0.05, 0.9), st.sampled_from([30, 200, 2**18]))
    @settings(max_examples=40)
    def test_batches_hold_each_row_once_and_are_bounded(self, seed, share, numbers):
        rows = random_rows(seed, share=share)
        found, ids = torch.zeros(len(rows), rows.n_columns + 1), []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(least_squares, "_NUMBERS", numbers)
            batches = rows.batches(3)
        for batch, columns, entries in batches:
            assert len(batch) == 1 or 3 * len(batch) * max(columns.shape[1], 3) <= numbers
            assert torch.equal(columns == rows.n_columns, entries == len(rows.columns))  # both mark padding
            found[batch[:, None], columns] += least_squares.pad(rows.values)[entries]
            ids += batch.tolist()
        assert sorted(ids) == list(range(len(rows)))
        close(found[:, :-1], rows.matrix(rows.values).to_dense())


def assert_falls(loss):
    assert (np.diff(loss) <= 1e-9 * loss[0]).all()
    assert loss[-1] < loss[0]


class TestALS:
    @given(seeds, st.integers(1, 6), st.floats(0.01, 3), st.booleans(), st.booleans())
    @settings(max_examples=40)
    def test_loss_never_rises(self, seed, factors, regularization, weighted, biases):
        model = ALS(factors, regularization, 6, weighted, biases, seed).fit(random_table(seed))
        assert len(model.loss_history) == 12
        assert_falls(model.loss_history)

    @pytest.mark.parametrize("biases", [True, False])
    @pytest.mark.parametrize("weighted", [True, False])
    def test_loss_is_the_objective_and_a_half_step_its_minimum(self, weighted, biases):
        data = random_table(3)
        model = ALS(2, 0.3, 4, weighted, biases, bias_regularization=0.7).fit(data)

        def objective(*both):
            P, Q = both[0][data.users], both[1][data.items]
            fitted = (P[:, :2] * Q[:, :2]).sum(1) + (model.mean + P[:, 2] + Q[:, 2] if biases else 0)
            loss = (data.ratings - fitted).square().sum()
            for rows, x in zip(sides(data), both, strict=True):
                counts = rows.lengths[:, None] if weighted else 1
                loss = loss + 0.3 * (counts * x[:, :2] ** 2).sum() + 0.7 * (x[:, 2:] ** 2).sum()
            return loss

        users, items = (
            torch.cat([x, b[:, None]], dim=1)[:, : 2 + biases]
            for x, b in ((model.user_factors, model.user_biases), (model.item_factors, model.item_biases))
        )
        assert model.loss_history[-1] == pytest.approx(float(objective(users, items)), rel=1e-12)
        users = model._half_step(sides(data)[0], items).requires_grad_()
        close(torch.autograd.grad(objective(users, items), users)[0], torch.zeros_like(users))

    def test_cold_users_and_items(self):
        data = coded([(0, 0, 5), (0, 1, 3), (1, 0, 4), (1, 1, 1)], 3, 3)
        model = ALS(2, 0.1, 5).fit(data)
        close(model.predict([2, 2], [0, 1]), model.mean + model.item_biases[:2])
        close(model.predict([0, 1, 2], [2, 2, 2]), [*(model.mean + model.user_biases[:2]), 3.25])
        model = ALS(2, 0.1, 5, biases=False).fit(data)
        close(model.predict([2, 2, 0, 1], [0, 1, 2, 2]), [3.25] * 4)
        close(model.score([2]), [[3.25] * 3])
        close(ImplicitALS(2, 0.1, 1.0, 3).fit(data).score([2]), [[0.0] * 3])


def by_cg(rows, Q, regularization):
    """Enough steps to be exact."""
    return als.implicit_cg(rows, torch.zeros(len(rows), Q.shape[1]), Q, regularization, Q.shape[1] + 3)


class TestImplicit:
    @given(seeds, st.sampled_from([1, 2, 4, 6, 9]), st.floats(0.05, 10))  # rows longer and shorter than the factors
    @settings(max_examples=30)
    def test_steps_are_the_dense_formula(self, seed, factors, regularization):
        rows = random_rows(seed)
        Y = torch.randn(9, factors, generator=torch.Generator().manual_seed(seed))
        C = 1 + rows.matrix(rows.values).to_dense()  # equation 4 of the paper, one system a row over all cells
        gram = Y.T @ (C[:, :, None] * Y) + regularization * torch.eye(factors)
        expected = torch.linalg.solve(gram, (C * (C > 1)) @ Y)
        close(als.implicit_cholesky(rows, Y, regularization), expected, 1e-9)
        close(by_cg(rows, Y, regularization), expected, 1e-6)

    def test_loss_is_the_sum_over_all_cells(self):
        rows = random_rows(12)
        X, Y = torch.randn(12, 3), torch.randn(9, 3)
        C = 1 + rows.matrix(rows.values).to_dense()
        dense = (C * ((C > 1).double() - X @ Y.T) ** 2).sum() + 0.7 * ((X**2).sum() + (Y**2).sum())
        close(als.implicit_loss(rows, X, Y, 0.7), dense, 1e-9)

    @given(seeds, st.sampled_from(["cg", "cholesky"]), st.integers(1, 3))
    @settings(max_examples=30)
    def test_loss_never_rises(self, seed, solver, cg_steps):
        model = ImplicitALS(4, 0.5, 2.0, 6, solver, cg_steps, seed, calculate_training_loss=True)
        assert_falls(model.fit(random_table(seed)).loss_history)

    @pytest.mark.parametrize("factors", [3, 20])
    def test_equals_the_library(self, factors):
        library = pytest.importorskip("implicit.cpu.als")
        data = random_table(13, 40, 30, 0.3)
        Y = 0.1 * np.random.default_rng(0).standard_normal((30, factors))
        options = {"regularization": 0.8, "alpha": 1.0, "iterations": 5, "dtype": np.float64}
        with threadpool_limits(1, "blas"):  # or the library warns
            peer = library.AlternatingLeastSquares(factors, **options, use_cg=False, num_threads=1)
            peer.user_factors, peer.item_factors = (np.zeros((40, factors)), Y.copy())  # it solves for users first
            confidence = data.csr()
            confidence.data = 1 + 2 * confidence.data
            peer.fit(sparse.csr_matrix(confidence), show_progress=False)
        ours = ImplicitALS(factors, 0.8, 2.0, 5, "cholesky").fit(data, item_factors=torch.from_numpy(Y))
        close(ours.user_factors, peer.user_factors, 1e-8)
        close(ours.item_factors, peer.item_factors, 1e-8)


class TestBayesianMF:
    def test_rows_have_the_analytic_posterior(self):
        n, columns, t = 40_000, torch.tensor([0, 2, 3]), torch.tensor([4.0, 1.0, 2.0])
        copies = torch.arange(n).repeat_interleave(3)  # one row, many times over: as many draws of it
        rows = Rows.from_entries(copies, columns.repeat(n), t.repeat(n), n, 4)
        torch.manual_seed(0)
        design, mean, precision = torch.randn(4, 2), torch.tensor([0.5, -1.0]), torch.tensor([[2.0, 0.3], [0.3, 1.0]])
        prior = mean, precision
        draws = bayesian_mf._draw_rows(rows, design, rows.values, 1.5, prior, np.random.default_rng(0))
        Y = design[columns]
        covariance = torch.linalg.inv(1.5 * Y.T @ Y + precision)
        expected = covariance @ (1.5 * Y.T @ t + precision @ mean)
        close(draws.mean(0), expected, 4 * float(covariance.diagonal().sqrt().max()) / n**0.5)
        close(draws.T.cov() / covariance.norm(), covariance / covariance.norm(), 0.02)

    def test_prior_has_the_analytic_posterior(self):
        rng = np.random.default_rng(0)
        vectors = torch.from_numpy(rng.standard_normal((8, 2))) + torch.tensor([1.0, 0.0])
        draws = [bayesian_mf._draw_prior(vectors, rng) for _ in range(4000)]
        center = 8 * vectors.mean(0) / 10
        close(torch.stack([m for m, _ in draws]).mean(0), center, 0.03)
        scatter = 7 * vectors.T.cov()
        shift = 2 * 8 / 10 * torch.outer(vectors.mean(0), vectors.mean(0))
        expected = 10 * torch.linalg.inv(torch.eye(2) + scatter + shift)  # degrees of freedom times scale
        close(torch.stack([p for _, p in draws]).mean(0), expected, 0.03 * float(expected.abs().max()))
        # Given its precision P the mean has covariance (10 P)^-1, so whitened squares average F = 2.
        squares = [10 * float((m - center) @ p @ (m - center)) for m, p in draws]
        assert np.mean(squares) == pytest.approx(2, abs=0.12)

    def test_noise_has_the_analytic_posterior(self):
        errors = torch.tensor([1.0, -2.0, 0.5])
        rng = np.random.default_rng(0)
        draws = [bayesian_mf._draw_noise_precision(errors, rng) for _ in range(20_000)]
        assert np.mean(draws) == pytest.approx((1 + 1.5) / (1 + 5.25 / 2), rel=0.02)
        assert np.var(draws) == pytest.approx((1 + 1.5) / (1 + 5.25 / 2) ** 2, rel=0.05)

    def test_intervals_widen_with_the_level_and_without_ratings(self):
        model = BayesianMF(2, 60, 20).fit(random_table(17, 30, 20, 0.5, cold=1))
        found = model.user_factors, model.item_factors, model.user_biases, model.item_biases, model.noise
        assert [tuple(x.shape) for x in found] == [(60, 31, 2), (60, 20, 2), (60, 31), (60, 20), (60,)]
        users, items = torch.cat([torch.arange(30), torch.full((20,), 30)]), torch.arange(50) % 20
        narrow, wide = model.predict_interval(users, items, 0.5), model.predict_interval(users, items)
        assert bool((wide[0] < narrow[0]).all() and (narrow[1] < wide[1]).all())
        close((wide[0] + wide[1]) / 2, model.predict(users, items))
        width = wide[1] - wide[0]
        assert float(width.min()) > 2 * 1.6448 * float(model.noise.square().mean().sqrt())  # a rating's own noise
        assert float(width[30:].mean()) > 1.03 * float(width[:30].mean())


def interval(level):
    BayesianMF(1, 2, 0).fit(DATA).predict_interval([0], [0], level)


test_refusals = refusals(
    *((name, ALS, {name: 0}) for name in ("factors", "iterations")),
    *(("weighted", ALS, {"weighted": value}) for value in (0.5, 2)),
    ("regularization", ALS, {"regularization": -1}),
    ("bias_regularization", ALS, {"bias_regularization": float("nan")}),
    *((name, ImplicitALS, {name: 0}) for name in ("factors", "regularization", "alpha", "cg_steps")),
    *(("solver", ImplicitALS, {"solver": "lu"}), ("samples", BayesianMF, 8, 1), ("burn_in", BayesianMF, 8, 2, -1)),
    *(("item_factors", model(3).fit, DATA, {"item_factors": START}) for model in (ALS, ImplicitALS)),
    ("regularization", ALS(2, 0, 1, biases=False).fit, DATA, {"item_factors": START}),
    ("interactions", ImplicitALS(2).fit, coded([(0, 0, 0.0), (1, 1, 1.0)], 2, 2)),
    *(("level", interval, level) for level in (0, 1, 1.5)),
)


def test_quality(fold, split):
    """Bands on one split of MovieLens-100K: a change that makes a model worse, or too good, falls out."""
    train, test = fold
    assert 0.900 < protocol.measure_ratings(ALS().fit(train), test)["rmse"] < 0.906
    model = BayesianMF(samples=40, burn_in=10).fit(train)
    assert 0.888 < protocol.measure_ratings(model, test)["rmse"] < 0.898
    low, high = model.predict_interval(test.users, test.items)
    assert 0.87 < float(((low <= test.ratings) & (test.ratings <= high)).double().mean()) < 0.93
    assert 0.445 < protocol.measure_lists(ImplicitALS().fit(split[0]), *split)["ndcg@10"] < 0.462


def test_a_side_that_leaves_the_caches_is_whitened_too():
    Q = torch.randn(2**14, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    Z, there, _ = als._whiten(Q, 2.0)
    close(Z @ there.mT, Q)
