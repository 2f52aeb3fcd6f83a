"""The two towers: vectors, the loss against a naive loop, what training does, and new items."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.evaluation import protocol
from course_utils.models.two_tower import TwoTower


def blocks(seed: int = 0) -> tuple[Interactions, Interactions, np.ndarray]:
    """Two kinds of users, each with its kind of items; the kinds are the items' features."""
    rng = np.random.default_rng(seed)
    kind = np.arange(30) % 2
    likes = rng.random((40, 30)) < np.where(np.arange(40)[:, None] % 2 == kind, 0.5, 0.03)
    users, items = np.nonzero(likes)
    test = rng.random(len(users)) < 0.25
    frames = [pd.DataFrame({"user_id": users[m], "item_id": items[m]}) for m in (~test, test)]
    ids = {"user_ids": np.arange(40), "item_ids": np.arange(30)}
    return *(Interactions.from_frame(f, **ids) for f in frames), np.eye(2)[kind]


def test_vectors_have_length_one_and_give_the_scores() -> None:
    features = np.random.default_rng(0).random((7, 3))
    model = TwoTower(5, 7, None, features, factors=4, temperature=0.5)
    users, items = model.vectors()
    np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1)
    expected = users @ items.T / 0.5
    np.testing.assert_allclose(model.score(torch.arange(5)).numpy(), expected)
    raw = model.items.ids.weight.detach().numpy() + features @ model.items.weights.detach().numpy()
    np.testing.assert_allclose(items, raw / np.linalg.norm(raw, axis=1, keepdims=True))


@pytest.mark.parametrize("log_q", [True, False])
def test_loss_is_the_naive_loop(log_q: bool) -> None:
    train, _, features = blocks()
    model = TwoTower(40, 30, None, features, factors=4, log_q=log_q)
    users, items = train.users[::9], train.items[::9]
    scores, seen = model(users, items).detach(), train.mask()
    share = torch.bincount(train.items, minlength=30) / len(train)
    total, n = 0.0, len(users)
    for b in range(n):
        below = math.exp(scores[b, b])
        for c in range(n):
            if not seen[users[b], items[c]]:
                correction = math.log((n - 1) * share[items[c]]) if log_q else 0.0
                below += math.exp(scores[b, c] - correction)
        total -= math.log(math.exp(scores[b, b]) / below)
    assert model.loss(train)(model, (users, items)).item() == pytest.approx(total / n)


def test_training_finds_the_blocks() -> None:
    train, test, features = blocks()
    model = TwoTower(40, 30, None, features, factors=8, epochs=20, batch_size=64).fit(train)
    again = TwoTower(40, 30, None, features, factors=8, epochs=20, batch_size=64).fit(train)
    torch.testing.assert_close(model.score(torch.arange(40)), again.score(torch.arange(40)), rtol=0, atol=0)
    untrained = TwoTower(40, 30, None, features, factors=8)
    ndcg = [protocol.measure_lists(m, train, test)["ndcg@10"] for m in (untrained, model)]
    assert ndcg[1] > 0.35 > ndcg[0]


def test_features_place_an_item_without_history() -> None:
    train, _, features = blocks()
    kept = train.items < 26  # the last four are new, two of each kind
    old = Interactions(
        *(column[kept] for column in (train.users, train.items, train.ratings, train.timestamps)),
        train.user_ids,
        train.item_ids,
    )
    model = TwoTower(40, 30, None, features, item_ids=False, factors=8, epochs=20, batch_size=64).fit(old)
    scores = model.score(torch.arange(40))
    own = torch.arange(40)[:, None] % 2 == torch.arange(26, 30) % 2
    assert scores[:, 26:][own].min() > scores[:, 26:][~own].max() - 4  # of a range of 8
    assert scores[:, 26:][own].mean() > scores[:, 26:][~own].mean() + 2


@pytest.mark.parametrize(
    "bad",
    [
        {"factors": 0},
        {"temperature": 0.0},
        {"item_features": np.ones((3, 2))},
        {"item_ids": False},
        {"epochs": 0},
    ],
)
def test_bad_input_is_refused(bad: dict) -> None:
    with pytest.raises(InputError):
        TwoTower(4, 5, **bad)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="interactions"):
        TwoTower(4, 5).fit(blocks()[0])
    with pytest.raises(InputError, match="users"):
        TwoTower(4, 5).score(torch.tensor([4]))
