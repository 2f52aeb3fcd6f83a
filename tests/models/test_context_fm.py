"""The factorization machine of ratings: blocks against naive pairs and FactorizationMachine, and what training does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from course_utils.data.features import user_features
from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, NotFittedError
from course_utils.models.embedding_mf import MatrixFactorization
from course_utils.models.factorization_machines import (
    DAYS,
    WEEKS,
    ContextFM,
    FactorizationMachine,
    rating_times,
)


def toy(seed: int = 0) -> Interactions:
    """Ratings that depend on a kind of user and a kind of item."""
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((40, 25)) < 0.6)
    stars = 3 + np.where(users % 2 == items % 2, 1.0, -1.0) + 0.1 * rng.normal(size=len(users))
    frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": stars})
    frame["timestamp"] = 1000 + 86400 * rng.integers(0, 100, len(users))
    return Interactions.from_frame(frame, user_ids=np.arange(40), item_ids=np.arange(25))


def fitted(**options: object) -> tuple[ContextFM, Interactions]:
    data = toy()
    return ContextFM(factors=3, epochs=1, **options).fit(data), data


def test_is_the_naive_sum_over_pairs_of_different_blocks() -> None:
    rng = np.random.default_rng(1)
    mine, theirs = rng.random((40, 2)), rng.random((25, 4))
    data = toy()
    contexts = torch.from_numpy(rng.integers(0, 5, (len(data), 1)))
    model = ContextFM(mine, theirs, cardinalities=(5,), factors=3, epochs=1).fit(data, contexts)
    seen = data.mask().double().numpy()
    u, i, c = 3, 7, 2
    x = [
        np.concatenate([np.eye(40)[u], mine[u], seen[u] / np.sqrt(seen[u].sum())]),
        np.concatenate([np.eye(25)[i], theirs[i], seen[:, i] / np.sqrt(seen[:, i].sum())]),
        np.eye(5)[c],
    ]
    tables = [t.detach().numpy() for t in model.tables]
    total = model.mean.item() + sum(x[b] @ tables[b][:, 0] for b in range(3))
    for b in range(3):
        for d in range(b):
            for j in np.flatnonzero(x[b]):
                for k in np.flatnonzero(x[d]):
                    total += x[b][j] * x[d][k] * tables[b][j, 1:] @ tables[d][k, 1:]
    found = model.predict(torch.tensor([u]), torch.tensor([i]), torch.tensor([[c]]))
    assert found.item() == pytest.approx(total)


def test_with_one_feature_a_block_it_is_a_factorization_machine() -> None:
    data = toy()
    contexts = torch.arange(len(data))[:, None] % 6
    model = ContextFM(history=False, cardinalities=(6,), factors=3, epochs=1).fit(data, contexts)
    machine = FactorizationMachine([40, 25, 6], 3)
    weights = torch.cat([t.detach() for t in model.tables])
    with torch.no_grad():
        machine.bias.copy_(model.mean)
        machine.linear.weight.copy_(weights[:, :1])
        machine.embeddings.weight.copy_(weights[:, 1:])
    rows = torch.stack([data.users, data.items, contexts[:, 0]], dim=1)
    torch.testing.assert_close(model.predict(data.users, data.items, contexts), machine(None, rows).detach())


def test_with_ids_alone_it_is_matrix_factorization() -> None:
    model, data = fitted(history=False)
    other = MatrixFactorization(40, 25, factors=3)
    user, item = (t.detach() for t in model.tables)
    with torch.no_grad():
        other.mean.copy_(model.mean)
        other.user_biases.weight.copy_(user[:, :1])
        other.item_biases.weight.copy_(item[:, :1])
        other.user_factors.weight.copy_(user[:, 1:])
        other.item_factors.weight.copy_(item[:, 1:])
    torch.testing.assert_close(model.score(torch.arange(40)), other.score(torch.arange(40)))
    torch.testing.assert_close(model.predict(data.users, data.items), other.predict(data.users, data.items))


def test_gradient_goes_through_the_sparse_product() -> None:
    model, data = fitted()
    pair = data.users[:5], data.items[:5]
    model.zero_grad()
    model(*pair).sum().backward()
    table, step = model.tables[0], 1e-6
    row = 40 + int(data.items[0])  # an item of the user's history
    with torch.no_grad():
        before = model(*pair).sum().item()
        table[row, 2] += step
        after = model(*pair).sum().item()
    assert table.grad[row, 2].item() == pytest.approx((after - before) / step, rel=1e-4)


def test_history_learns_the_kinds_and_a_seed_repeats() -> None:
    data = toy()
    rng = torch.Generator().manual_seed(0)
    order = torch.randperm(len(data), generator=rng)
    parts = []
    for rows in (order[100:], order[:100]):
        columns = (data.users, data.items, data.ratings, data.timestamps)
        parts.append(Interactions(*(c[rows] for c in columns), data.user_ids, data.item_ids))
    train, test = parts
    model = ContextFM(factors=4, epochs=40, batch_size=64, shrinkage=0.5).fit(train)
    again = ContextFM(factors=4, epochs=40, batch_size=64, shrinkage=0.5).fit(train)
    found = model.predict(test.users, test.items)
    assert (found - test.ratings).square().mean().sqrt() < 0.5  # the mean alone has 1.0
    torch.testing.assert_close(found, again.predict(test.users, test.items), rtol=0, atol=0)
    assert model.training_history["loss"].iloc[-1] < model.training_history["loss"].iloc[0]


def test_predictions_see_neither_the_ratings_nor_the_pairs_asked_about() -> None:
    model, data = fitted()
    fresh = torch.nonzero(~data.mask())[:50]  # pairs outside of what was fitted
    together = model.predict(fresh[:, 0], fresh[:, 1])
    alone = torch.cat([model.predict(*pair[:, None]) for pair in fresh])
    torch.testing.assert_close(together, alone)
    other = Interactions(
        data.users, data.items, data.ratings.flip(0), data.timestamps, data.user_ids, data.item_ids
    )
    again = ContextFM(factors=3, epochs=1).fit(other)
    for mine, theirs in zip(model._blocks, again._blocks, strict=True):  # who rated what, not how
        torch.testing.assert_close(mine._forward.to_dense(), theirs._forward.to_dense(), rtol=0, atol=0)


def test_contexts_have_a_penalty_of_their_own() -> None:
    data = toy()
    contexts = torch.arange(len(data))[:, None] % 6
    options = {"factors": 3, "epochs": 5, "cardinalities": (6,)}
    sizes = [
        ContextFM(**options, context_shrinkage=weight).fit(data, contexts).tables[2].square().sum().item()
        for weight in (0.0, 1e5)
    ]
    assert sizes[1] < 0.1 * sizes[0]


def test_user_features() -> None:
    frame = pd.DataFrame(
        {"age": [17, 18, 60], "gender": ["F", "M", "F"], "occupation": ["artist", "none", "none"]}
    )
    found = user_features(frame)
    assert found.shape == (3, 7 + 2 + 2)
    assert (found.sum(axis=1) == 3).all()
    assert found[0, 0] == found[1, 1] == found[2, 6] == 1
    with pytest.raises(InputError, match="users"):
        user_features(frame[["age"]])


def test_rating_times() -> None:
    day = 86400
    ids = {"user_ids": [0, 1], "item_ids": [0, 1, 2]}
    past = pd.DataFrame({"user_id": [0, 1, 1], "item_id": [0, 0, 1], "timestamp": [0, 10 * day, 13 * day]})
    asked = pd.DataFrame({"user_id": [1, 0], "item_id": [2, 2], "timestamp": [17 * day, 999 * day]})
    train = Interactions.from_frame(past, **ids)
    assert rating_times(train, train).tolist() == [[0, 0], [1, 0], [1, 2]]
    assert rating_times(train, Interactions.from_frame(asked, **ids)).tolist() == [
        [2, 3],
        [WEEKS - 1, DAYS - 1],
    ]


class TestBadInput:
    @pytest.mark.parametrize(
        "bad",
        [
            {"factors": 0},
            {"epochs": 0},
            {"cardinalities": (0,)},
            {"shrinkage": -1.0},
            {"regularization": -1.0},
            {"context_shrinkage": -1.0},
        ],
    )
    def test_sizes(self, bad: dict) -> None:
        with pytest.raises(InputError):
            ContextFM(**bad)

    def test_features_that_do_not_fit(self) -> None:
        with pytest.raises(InputError, match="user_features"):
            ContextFM(np.ones((3, 2))).fit(toy())
        with pytest.raises(InputError, match="item_features"):
            ContextFM(None, np.full((25, 2), np.nan)).fit(toy())

    def test_contexts_and_codes(self) -> None:
        with pytest.raises(NotFittedError):
            ContextFM().predict(torch.tensor([0]), torch.tensor([0]))
        model, data = fitted()
        with pytest.raises(InputError, match="contexts"):
            model.predict(data.users[:1], data.items[:1], torch.zeros(1, 1, dtype=torch.long))
        with pytest.raises(InputError, match="users"):
            model.score(torch.tensor([40]))
        timed = ContextFM(cardinalities=(2,), factors=2, epochs=1)
        with pytest.raises(InputError, match="contexts"):
            timed.fit(data)
        timed.fit(data, torch.zeros(len(data), 1, dtype=torch.long))
        with pytest.raises(InputError, match="contexts"):
            timed.score(torch.tensor([0]))
