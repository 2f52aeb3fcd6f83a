"""The alternating solvers against hand examples, naive loops and outside referees."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from course_utils.data.interactions import Interactions
from course_utils.data.splits import k_fold, random_split
from course_utils.errors import InputError, NotFittedError
from course_utils.evaluation import protocol
from course_utils.models.als import ALS, ImplicitALS, implicit_cg, implicit_cholesky, implicit_loss
from course_utils.models.bayesian_mf import BayesianMF, draw_noise_precision, draw_prior, draw_rows
from course_utils.models.least_squares import Rows, ridge


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(
        torch.as_tensor(a, dtype=torch.float64),
        torch.as_tensor(b, dtype=torch.float64),
        rtol=0,
        atol=tolerance,
    )


def table(cells, n_users=None, n_items=None):
    """Interactions from {(user, item): rating}."""
    frame = pd.DataFrame([(u, i, r) for (u, i), r in cells.items()], columns=["user_id", "item_id", "rating"])
    ids = {}
    if n_users:
        ids = {"user_ids": range(n_users), "item_ids": range(n_items)}
    return Interactions.from_frame(frame, **ids)


def random_table(seed, n_users=12, n_items=9, share=0.4, low=1, high=6):
    rng = np.random.default_rng(seed)
    seen = rng.random((n_users, n_items)) < share
    seen[0, 0] = True
    ratings = rng.integers(low, high, seen.shape).astype(float)
    return table({(u, i): ratings[u, i] for u, i in np.argwhere(seen)}, n_users, n_items)


def random_rows(seed, n_rows=12, n_columns=9, share=0.4):
    data = random_table(seed, n_rows, n_columns, share)
    return Rows.from_entries(data.users, data.items, data.ratings, n_rows, n_columns)


HAND = {(0, 0): 4.0, (0, 1): 2.0, (1, 0): 2.0}  # R = [4 2; 2 ?]
ONES = torch.ones(2, 1, dtype=torch.float64)
MISSING = torch.tensor([1]), torch.tensor([1])


def hand_model(regularization, iterations, weighted=False):
    model = ALS(1, regularization, iterations, weighted, biases=False)
    return model.fit(table(HAND), item_factors=ONES)


class TestHandExample:
    def test_without_regularization(self):
        first = hand_model(0, 1)
        close(first.user_factors[:, 0], [3, 2])
        close(first.item_factors[:, 0], [16 / 13, 2 / 3])
        close(first.loss_history, [2, 4 / 13])
        close(first.predict(*MISSING), [4 / 3])
        values = [float(hand_model(0, n).predict(*MISSING)) for n in (2, 3)]
        close(values, [1.018, 1.001], 5e-4)
        close(hand_model(0, 30).predict(*MISSING), [1])

    def test_with_regularization(self):
        model = hand_model(0.1, 60)
        close(model.loss_history[:6], [3.421, 1.578, 1.331, 1.286, 1.259, 1.234], 5e-4)
        close(model.loss_history[-1], 0.989, 5e-4)
        close(model.predict(*MISSING), [0.969], 5e-4)
        settled = hand_model(0.1, 500)  # both norms agree at the minimum, which is reached slowly
        close(settled.user_factors.norm(), settled.item_factors.norm(), 1e-6)

    def test_weighted_regularization(self):
        close(hand_model(0.1, 200, weighted=True).predict(*MISSING), [0.993], 5e-4)

    def test_what_lambda_multiplies(self):
        one_user = table({(0, 0): 5.0, (0, 1): 3.0})
        for weighted, expected in ((False, 8 / 2.5), (True, 8 / 3), (0.5, 8 / (2 + 0.5 * 2**0.5))):
            rows = Rows.both_sides(one_user, one_user.ratings)[0]
            model = ALS(1, 0.5, 1, weighted, biases=False)
            close(model._half_step(rows, ONES), [[expected]])

    @pytest.mark.parametrize(("n", "plain"), [(1, 1.5), (4, 2.4), (100, 300 / 101)])
    def test_shrinkage_and_counts(self, n, plain):
        data = table({(0, i): 3.0 for i in range(n)})
        rows = Rows.both_sides(data, data.ratings)[0]
        close(ALS(1, 1.0, 1, False, biases=False)._half_step(rows, torch.ones(n, 1)), [[plain]])
        close(ALS(1, 1.0, 1, True, biases=False)._half_step(rows, torch.ones(n, 1)), [[1.5]])

    def test_implicit(self):
        rows = Rows.from_entries(
            *torch.tensor([[0], [0]]), torch.tensor([2.0]), 1, 2
        )  # clicks (2, 0), alpha 1
        Y = torch.tensor([[1.0], [0.5]])
        close(implicit_cholesky(rows, Y, 0.1), [[3 / 3.35]])
        close(implicit_cg(rows, torch.zeros(1, 1), Y, 0.1, 1), [[3 / 3.35]])


class TestRows:
    @given(st.integers(0, 10_000), st.floats(0.05, 0.9))
    @settings(max_examples=30, deadline=None)
    def test_batches_hold_each_row_once(self, seed, share):
        rows = random_rows(seed, share=share)
        seen = torch.zeros(len(rows), dtype=torch.long)
        for ids, columns, entries in rows.batches(3):
            seen[ids] += 1
            for row, its_columns, its_entries in zip(ids, columns, entries, strict=True):
                first, last = rows.starts[row], rows.starts[row + 1]
                real = its_entries < len(rows.columns)
                assert its_entries[real].tolist() == list(range(first, last))
                assert its_columns[real].tolist() == rows.columns[first:last].tolist()
                assert bool((its_columns[~real] == rows.n_columns).all())
        assert bool((seen == 1).all())

    def test_batches_are_bounded(self, monkeypatch):
        rows, design, penalty = random_rows(1, 60, 30, 0.6), torch.randn(30, 3), torch.ones(60, 3)
        whole = ridge(rows, design, rows.values, penalty)
        monkeypatch.setattr("course_utils.models.least_squares._NUMBERS", 200)
        rows = random_rows(1, 60, 30, 0.6)
        assert max(len(ids) * max(c.shape[1], 3) * 3 for ids, c, _ in rows.batches(3)) <= 200
        close(ridge(rows, design, rows.values, penalty), whole)

    def test_matrix_and_products(self):
        data = random_table(2)
        by_user, by_item = Rows.both_sides(data, data.ratings)
        dense = torch.from_numpy(data.csr().toarray())
        close(by_user.matrix(by_user.values).to_dense(), dense)
        close(by_item.matrix(by_item.values).to_dense(), dense.T)
        X, Y = torch.randn(12, 4), torch.randn(9, 4)
        close(by_user.products(X, Y), (X @ Y.T)[dense > 0])


class TestALS:
    @given(
        st.integers(0, 10_000),
        st.integers(1, 6),
        st.floats(0.01, 3),
        st.sampled_from([True, False, 0.5]),
        st.booleans(),
    )
    @settings(max_examples=40, deadline=None)
    def test_loss_never_rises(self, seed, factors, regularization, weighted, biases):
        model = ALS(factors, regularization, 6, weighted, biases, seed).fit(random_table(seed))
        loss = np.array(model.loss_history)
        assert len(loss) == 12
        assert (np.diff(loss) <= 1e-9 * loss[0]).all()
        assert loss[-1] < loss[0]

    @pytest.mark.parametrize("biases", [True, False])
    @pytest.mark.parametrize("weighted", [True, False, 0.5])
    def test_loss_is_the_objective(self, weighted, biases):
        data = random_table(3)
        model = ALS(2, 0.3, 4, weighted, biases, bias_regularization=0.7).fit(data)
        expected = float(((data.ratings - model.predict(data.users, data.items)) ** 2).sum())
        for codes, vectors, bias in (
            (data.users, model.user_factors, model.user_biases),
            (data.items, model.item_factors, model.item_biases),
        ):
            for row, (x, b) in enumerate(zip(vectors, bias, strict=True)):
                n = int((codes == row).sum())
                expected += 0.3 * n ** float(weighted) * float(x @ x) + 0.7 * float(b) ** 2
        assert model.loss_history[-1] == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("weighted", [True, False])
    def test_half_step_is_a_ridge_a_user(self, weighted):
        data = random_table(4)
        rows = Rows.both_sides(data, data.ratings)[0]
        model = ALS(3, 0.4, 1, weighted, biases=False)
        Q = torch.randn(data.n_items, 3)
        solved = model._half_step(rows, Q)
        for user in range(data.n_users):
            mine = data.users == user
            n = int(mine.sum())
            expected = np.zeros(3)
            if n:
                referee = Ridge(alpha=0.4 * (n if weighted else 1), fit_intercept=False)
                expected = referee.fit(Q[data.items[mine]].numpy(), data.ratings[mine].numpy()).coef_
            close(solved[user], expected)

    def test_half_step_with_biases_is_the_minimum(self):
        data = random_table(5)
        by_user, by_item = Rows.both_sides(data, data.ratings)
        model = ALS(2, 0.4, 1, bias_regularization=0.6)
        model.mean = float(data.ratings.mean())
        item = torch.randn(data.n_items, 3)
        user = model._half_step(by_user, item).requires_grad_()
        P, Q = user[data.users], item[data.items]
        error = data.ratings - model.mean - P[:, 2] - Q[:, 2] - (P[:, :2] * Q[:, :2]).sum(1)
        counts = by_user.lengths[:, None].double()
        loss = (error**2).sum() + (0.4 * counts * user[:, :2] ** 2).sum() + 0.6 * (user[:, 2] ** 2).sum()
        close(torch.autograd.grad(loss, user)[0], torch.zeros_like(user), 1e-10)
        assert model._loss(by_user, by_item, user.detach(), 0 * item) >= 0

    def test_without_the_ratings_it_learns_nothing(self):
        data = random_table(6)
        zero = Interactions(
            data.users, data.items, 0 * data.ratings, data.timestamps, data.user_ids, data.item_ids
        )
        assert float(ALS(2, 0.1, 3, biases=False).fit(zero).score(torch.arange(12)).abs().max()) == 0

    def test_constant_start_keeps_rank_one(self):
        data = random_table(7)
        start = torch.ones(data.n_items, 3)
        model = ALS(3, 0.1, 2, biases=False).fit(data, item_factors=start)  # later, rounding breaks the tie
        assert int(torch.linalg.matrix_rank(model.score(torch.arange(12)), rtol=1e-9)) == 1
        model = ALS(3, 0.1, 2, biases=False).fit(data)
        assert int(torch.linalg.matrix_rank(model.score(torch.arange(12)), rtol=1e-9)) == 3

    def test_seeds(self):
        data = random_table(8)
        first, again, other = (ALS(3, 0.1, 2, seed=s).fit(data).item_factors for s in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.allclose(first, other)

    def test_score_agrees_with_predict(self):
        data = random_table(9)
        for model in (ALS(3, 0.1, 3), ALS(3, 0.1, 3, biases=False), BayesianMF(2, 5, 2)):
            model.fit(data)
            users = torch.tensor([3, 0, 3])
            scores = model.score(users)
            assert scores.shape == (3, 9)
            pairs = torch.cartesian_prod(users, torch.arange(9))
            close(scores.flatten(), model.predict(pairs[:, 0], pairs[:, 1]))

    def test_cold_users_and_items(self):
        data = table({(0, 0): 5.0, (0, 1): 3.0, (1, 0): 4.0, (1, 1): 1.0}, 3, 3)
        known, cold = torch.tensor([0, 1]), torch.tensor([2, 2])
        model = ALS(2, 0.1, 5).fit(data)
        close(model.predict(cold, known), model.mean + model.item_biases[:2])
        close(model.predict(known, cold), model.mean + model.user_biases[:2])
        close(model.predict(cold, cold), [3.25, 3.25])
        model = ALS(2, 0.1, 5, biases=False).fit(data)
        close(model.predict(cold, known), [3.25, 3.25])
        close(model.predict(known, cold), [3.25, 3.25])
        close(model.score(torch.tensor([2])), [[3.25] * 3])
        implicit = ImplicitALS(2, 0.1, 1.0, 3).fit(data)
        close(implicit.score(torch.tensor([2])), [[0.0] * 3])
        assert bool(torch.isfinite(BayesianMF(2, 5, 2).fit(data).score(torch.arange(3))).all())

    def test_float32(self):
        torch.set_default_dtype(torch.float32)
        data = random_table(10)
        for model in (ALS(2, 0.1, 2), ImplicitALS(2, 0.1, 1.0, 2), BayesianMF(2, 3, 1)):
            assert model.fit(data).score(torch.arange(2)).dtype == torch.float32


class TestImplicit:
    def dense_step(self, rows, Y, regularization):
        """One linear system a row over all cells, as equation 4 of the paper reads."""
        C = 1 + rows.matrix(rows.values).to_dense()
        liked = (C > 1).double()
        eye = torch.eye(Y.shape[1])
        return torch.stack(
            [
                torch.linalg.solve(Y.T @ c.diag() @ Y + regularization * eye, Y.T @ c.diag() @ p)
                for c, p in zip(C, liked, strict=True)
            ]
        )

    @pytest.mark.parametrize("factors", [2, 4, 9])  # rows longer and shorter than the factors
    def test_cholesky_is_the_dense_formula(self, factors):
        rows = random_rows(11)
        assert int(rows.lengths.min()) < 4 < int(rows.lengths.max())
        Y = torch.randn(9, factors)
        close(implicit_cholesky(rows, Y, 0.3), self.dense_step(rows, Y, 0.3))

    @given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0.05, 10))
    @settings(max_examples=30, deadline=None)
    def test_cg_with_enough_steps_is_exact(self, seed, factors, regularization):
        rows = random_rows(seed)
        g = torch.Generator().manual_seed(seed)
        X, Y = torch.randn(12, factors, generator=g), torch.randn(9, factors, generator=g)
        solved = implicit_cg(rows, X, Y, regularization, factors + 3)
        close(solved, implicit_cholesky(rows, Y, regularization), 1e-6)

    def test_loss_is_the_sum_over_all_cells(self):
        rows = random_rows(12)
        X, Y = torch.randn(12, 3), torch.randn(9, 3)
        C = 1 + rows.matrix(rows.values).to_dense()
        dense = (C * ((C > 1).double() - X @ Y.T) ** 2).sum() + 0.7 * ((X**2).sum() + (Y**2).sum())
        close(implicit_loss(rows, X, Y, 0.7), dense, 1e-9)

    @given(st.integers(0, 10_000), st.sampled_from(["cg", "cholesky"]), st.integers(1, 3))
    @settings(max_examples=30, deadline=None)
    def test_loss_never_rises(self, seed, solver, cg_steps):
        model = ImplicitALS(4, 0.5, 2.0, 6, solver, cg_steps, seed, calculate_training_loss=True)
        loss = np.array(model.fit(random_table(seed)).loss_history)
        assert (np.diff(loss) <= 1e-9 * loss[0]).all()
        assert loss[-1] < loss[0]

    @pytest.mark.parametrize("factors", [3, 20])
    def test_equals_the_library(self, factors):
        peer_als = pytest.importorskip("implicit.cpu.als")
        data = random_table(13, 40, 30, 0.3)
        rng = np.random.default_rng(0)
        X, Y = 0.1 * rng.standard_normal((40, factors)), 0.1 * rng.standard_normal((30, factors))
        with threadpool_limits(1, "blas"):  # or the library warns
            peer = peer_als.AlternatingLeastSquares(
                factors,
                regularization=0.8,
                alpha=1.0,
                iterations=5,
                dtype=np.float64,
                use_cg=False,
                num_threads=1,
            )
            peer.user_factors, peer.item_factors = X.copy(), Y.copy()
            confidence = data.csr()
            confidence.data = 1 + 2 * confidence.data
            peer.fit(sparse.csr_matrix(confidence), show_progress=False)
        ours = ImplicitALS(factors, 0.8, 2.0, 5, "cholesky")
        ours.fit(data, user_factors=torch.from_numpy(X), item_factors=torch.from_numpy(Y))
        close(ours.user_factors, peer.user_factors, 1e-8)
        close(ours.item_factors, peer.item_factors, 1e-8)

    def test_seeds(self):
        data = random_table(14)
        first, again, other = (ImplicitALS(3, 0.1, 1.0, 2, seed=s).fit(data).item_factors for s in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.allclose(first, other)


class TestBayesianMF:
    def test_rows_have_the_analytic_posterior(self):
        n, columns, t = 40_000, torch.tensor([0, 2, 3]), torch.tensor([4.0, 1.0, 2.0])
        copies = torch.arange(n).repeat_interleave(3)  # one row, many times over: as many draws of it
        rows = Rows.from_entries(copies, columns.repeat(n), t.repeat(n), n, 4)
        torch.manual_seed(0)
        design, mean = torch.randn(4, 2), torch.tensor([0.5, -1.0])
        precision = torch.tensor([[2.0, 0.3], [0.3, 1.0]])
        draws = draw_rows(rows, design, rows.values, 1.5, (mean, precision), np.random.default_rng(0))
        Y = design[columns]
        covariance = torch.linalg.inv(1.5 * Y.T @ Y + precision)
        expected = covariance @ (1.5 * Y.T @ t + precision @ mean)
        close(draws.mean(0), expected, 4 * float(covariance.diagonal().sqrt().max()) / n**0.5)
        close(draws.T.cov() / covariance.norm(), covariance / covariance.norm(), 0.02)

    def test_prior_has_the_analytic_posterior(self):
        rng = np.random.default_rng(0)
        vectors = torch.from_numpy(rng.standard_normal((8, 2))) + torch.tensor([1.0, 0.0])
        draws = [draw_prior(vectors, rng) for _ in range(4000)]
        center = 8 * vectors.mean(0) / 10
        close(torch.stack([m for m, _ in draws]).mean(0), center, 0.03)
        scatter = (vectors - vectors.mean(0)).T @ (vectors - vectors.mean(0))
        shift = 2 * 8 / 10 * torch.outer(vectors.mean(0), vectors.mean(0))
        expected = 10 * torch.linalg.inv(torch.eye(2) + scatter + shift)  # degrees of freedom times scale
        close(torch.stack([p for _, p in draws]).mean(0), expected, 0.03 * float(expected.abs().max()))
        # Given its precision P the mean has covariance (10 P)^-1, so whitened squares average F = 2.
        squares = [10 * float((m - center) @ p @ (m - center)) for m, p in draws]
        assert np.mean(squares) == pytest.approx(2, abs=0.12)

    def test_noise_has_the_analytic_posterior(self):
        errors = torch.tensor([1.0, -2.0, 0.5])
        rng = np.random.default_rng(0)
        draws = [draw_noise_precision(errors, rng) for _ in range(20_000)]
        assert np.mean(draws) == pytest.approx((1 + 1.5) / (1 + 5.25 / 2), rel=0.02)
        assert np.var(draws) == pytest.approx((1 + 1.5) / (1 + 5.25 / 2) ** 2, rel=0.05)

    def test_sweeps_keep_the_joint_distribution(self):
        """Geweke (2004): data drawn anew in each sweep must leave the prior of the parameters as it was."""
        rng = np.random.default_rng(0)
        n, sizes = 3000, (4, 3)
        data = table({(u, i): 0.0 for u in range(4) for i in range(3)})
        by_user, by_item = Rows.both_sides(data, data.ratings)
        prior = torch.zeros(2), 2 * torch.eye(2)
        user, item = (torch.from_numpy(rng.standard_normal((s, 2))) / 2**0.5 for s in sizes)
        squares = []
        for _ in range(n):
            precision = rng.gamma(1)  # its own prior; then data from the model, then one draw of each side
            fitted = user[:, None, 1] + item[:, 1] + user[:, :1] @ item[:, :1].T
            R = fitted + torch.from_numpy(rng.standard_normal(sizes)) / precision**0.5
            for rows, other, values in ((by_user, "item", R), (by_item, "user", R.T)):
                vectors = item if other == "item" else user
                design = torch.cat([vectors[:, :1], torch.ones(len(vectors), 1)], dim=1)
                target = values.flatten() - vectors[rows.columns, 1]
                drawn = draw_rows(rows, design, target, precision, prior, rng)
                user, item = (drawn, item) if other == "item" else (user, drawn)
            squares.append([float(user[:, 0].square().mean()), float(item[:, 1].square().mean())])
        means = np.mean(squares, axis=0)
        assert means == pytest.approx([0.5, 0.5], abs=0.05)

    def test_seeds_and_shapes(self):
        data = random_table(16)
        first, again, other = (BayesianMF(2, 4, 1, seed=s).fit(data) for s in (1, 1, 2))
        assert torch.equal(first.item_factors, again.item_factors)
        assert not torch.allclose(first.item_factors, other.item_factors)
        assert first.user_factors.shape == (4, 12, 2)
        assert first.item_factors.shape == (4, 9, 2)
        assert first.user_biases.shape == (4, 12)
        assert first.noise.shape == (4,)

    def test_intervals_widen_with_the_level_and_without_ratings(self):
        data = random_table(17, 30, 20, 0.5)
        cold = table(
            {
                (int(u), int(i)): float(r)
                for u, i, r in zip(data.users, data.items, data.ratings, strict=True)
            },
            31,
            20,
        )
        model = BayesianMF(2, 60, 20).fit(cold)
        users, items = torch.cat([torch.arange(30), torch.full((20,), 30)]), torch.arange(50) % 20
        narrow, wide = model.predict_interval(users, items, 0.5), model.predict_interval(users, items)
        assert bool((wide[0] < narrow[0]).all() and (narrow[1] < wide[1]).all())
        close((wide[0] + wide[1]) / 2, model.predict(users, items))
        width = wide[1] - wide[0]
        assert float(width.min()) > 2 * 1.6448 * float(
            model.noise.square().mean().sqrt()
        )  # a rating's own noise
        assert float(width[30:].mean()) > 1.03 * float(width[:30].mean())


class TestBadInput:
    @pytest.mark.parametrize(
        ("make", "argument"),
        [
            (lambda: ALS(factors=0), "factors"),
            (lambda: ALS(iterations=0), "iterations"),
            (lambda: ALS(regularization=-1), "regularization"),
            (lambda: ALS(weighted=2), "weighted"),
            (lambda: ALS(bias_regularization=float("nan")), "bias_regularization"),
            (lambda: ImplicitALS(factors=2.5), "factors"),
            (lambda: ImplicitALS(regularization=0), "regularization"),
            (lambda: ImplicitALS(alpha=0), "alpha"),
            (lambda: ImplicitALS(solver="lu"), "solver"),
            (lambda: ImplicitALS(cg_steps=0), "cg_steps"),
            (lambda: BayesianMF(samples=1), "samples"),
            (lambda: BayesianMF(burn_in=-1), "burn_in"),
        ],
    )
    def test_settings(self, make, argument):
        with pytest.raises(InputError) as caught:
            make()
        assert caught.value.argument == argument

    @pytest.mark.parametrize("make", [ALS, ImplicitALS, BayesianMF])
    def test_fit_and_score(self, make):
        model = make()
        with pytest.raises(NotFittedError):
            model.score(torch.tensor([0]))
        empty = pd.DataFrame({"user_id": [], "item_id": [], "rating": []})
        with pytest.raises(InputError, match="interactions: got none"):
            model.fit(Interactions.from_frame(empty))
        model = ALS(2, 0.1, 2).fit(table(HAND)) if make is ALS else make().fit(table(HAND))
        for bad in ([2], [-1]):
            with pytest.raises(InputError, match="users"):
                model.score(torch.tensor(bad))
        if make is not ImplicitALS:
            with pytest.raises(InputError, match="items"):
                model.predict(torch.tensor([0]), torch.tensor([2]))
            with pytest.raises(InputError, match="items"):
                model.predict(torch.tensor([0, 1]), torch.tensor([0]))

    def test_starts_and_singular_systems(self):
        with pytest.raises(InputError, match="item_factors"):
            ALS(2).fit(table(HAND), item_factors=torch.ones(3, 2))
        with pytest.raises(InputError, match="user_factors"):
            ImplicitALS(2).fit(table(HAND), user_factors=torch.ones(3, 2))
        with pytest.raises(InputError, match="regularization"):
            ALS(2, 0, 1, biases=False).fit(table(HAND), item_factors=torch.ones(2, 2))
        with pytest.raises(InputError, match="ratings above 0"):
            ImplicitALS(2).fit(table({(0, 0): 0.0, (1, 1): 1.0}))

    @pytest.mark.parametrize("level", [0, 1, 1.5])
    def test_level(self, level):
        model = BayesianMF(1, 2, 0).fit(table(HAND))
        with pytest.raises(InputError, match="level"):
            model.predict_interval(torch.tensor([0]), torch.tensor([0]), level)


class TestQuality:
    """Bands on one split of MovieLens-100K: a change that makes a model worse, or too good, falls out."""

    def coded(self, movielens, *tables):
        ids = {"user_ids": movielens.users.user_id, "item_ids": movielens.items.item_id}
        return [Interactions.from_frame(t, **ids) for t in tables]

    def test_ratings(self, movielens):
        train, test = self.coded(movielens, *next(k_fold(movielens.ratings, seed=0)))
        assert 0.904 < protocol.measure_ratings(ALS().fit(train), test)["rmse"] < 0.910
        model = BayesianMF(samples=40, burn_in=10).fit(train)
        assert 0.888 < protocol.measure_ratings(model, test)["rmse"] < 0.898
        low, high = model.predict_interval(test.users, test.items)
        covered = ((low <= test.ratings) & (test.ratings <= high)).double().mean()
        assert 0.87 < float(covered) < 0.93

    def test_top_n(self, movielens):
        train, test = self.coded(movielens, *random_split(movielens.ratings, seed=0))
        assert 0.445 < protocol.measure_lists(ImplicitALS().fit(train), train, test)["ndcg@10"] < 0.462
