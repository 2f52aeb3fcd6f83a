import math

import numpy as np
import pytest
import torch
from shared import coded, refusals

from course_utils.evaluation import protocol
from course_utils.models.two_tower import TwoTower

KIND = np.arange(30) % 2  # two kinds of users, each with its kind of items
FEATURES = np.eye(2)[KIND]
RNG = np.random.default_rng(0)
LIKES = np.argwhere(RNG.random((40, 30)) < np.where(np.arange(40)[:, None] % 2 == KIND, 0.5, 0.03))
TEST = RNG.random(len(LIKES)) < 0.25

PARTS = coded(LIKES[~TEST], 40, 30), coded(LIKES[TEST], 40, 30)
BAD = {"factors": 0, "temperature": 0.0, "epochs": 0, "item_features": np.eye(3), "user_features": np.ones(4)}
test_refusals = refusals(*((f".*{name.split('_')[-1]}", TwoTower, 4, 5, {name: value}) for name, value in BAD.items()))


class TestTwoTower:
    def test_vectors_have_length_one_and_give_the_scores(self):
        features = np.random.default_rng(0).random((7, 3))
        model = TwoTower(5, 7, None, features, factors=4, temperature=0.5)
        users, items = model.vectors()
        np.testing.assert_allclose(np.linalg.norm(users, axis=1), 1)
        np.testing.assert_allclose(model.score(torch.arange(5)).numpy(), users @ items.T / 0.5)
        raw = model.items.ids.detach().numpy() + features @ model.items.weights.detach().numpy()
        np.testing.assert_allclose(items, raw / np.linalg.norm(raw, axis=1, keepdims=True))

    def test_loss_is_the_naive_loop(self):
        train, model = PARTS[0], TwoTower(40, 30, None, FEATURES, factors=4)
        users, items = train.users[::9], train.items[::9]
        scores, seen = model(users, items).detach(), train.mask()
        share = torch.bincount(train.items, minlength=30) / len(train)
        total, n = 0.0, len(users)
        for b in range(n):
            below = math.exp(scores[b, b])
            for c in range(n):
                if not seen[users[b], items[c]]:
                    below += math.exp(scores[b, c] - math.log((n - 1) * share[items[c]]))
            total -= math.log(math.exp(scores[b, b]) / below)
        assert model.loss(train)(model, (users, items)).item() == pytest.approx(total / n)

    def test_training_finds_the_kinds(self):
        model = TwoTower(40, 30, None, FEATURES, factors=8, epochs=20, batch_size=64)
        before = protocol.measure_lists(model, *PARTS)["ndcg@10"]
        assert protocol.measure_lists(model.fit(PARTS[0]), *PARTS)["ndcg@10"] > 0.35 > before

    def test_features_place_an_item_without_history(self):
        old = coded(LIKES[~TEST & (LIKES[:, 1] < 26)], 40, 30)  # the last four are new, two of each kind
        model = TwoTower(40, 30, None, FEATURES, factors=8, epochs=20, batch_size=64).fit(old)
        scores, own = model.score(torch.arange(40))[:, 26:], torch.arange(40)[:, None] % 2 == torch.arange(26, 30) % 2
        assert scores[own].min() > scores[~own].max() - 4  # of a range of 8
        assert scores[own].mean() > scores[~own].mean() + 2
