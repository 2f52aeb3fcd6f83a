import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.evaluation import measure_lists, measure_ratings
from course_utils.models.autoencoders import AutoRec, MultDAE, MultVAE, gaussian_kl, multinomial_loss
from course_utils.models.base import fold_in
from course_utils.models.baselines import BiasModel, Popularity

RNG = np.random.default_rng(0)
USERS, ITEMS = 60, 40
TASTE, KIND = RNG.normal(size=(USERS, 2)), RNG.normal(size=(ITEMS, 2))
STARS = np.clip(np.round(3 + TASTE @ KIND.T + 0.2 * RNG.normal(size=(USERS, ITEMS))), 1, 5)
PAIRS = np.argwhere(RNG.random((USERS, ITEMS)) < 0.6)
LIKED = PAIRS[STARS[*PAIRS.T] > 3]


def coded(pairs):
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"]).assign(rating=STARS[*pairs.T])
    return Interactions.from_frame(frame, user_ids=range(USERS), item_ids=range(ITEMS), rating_range=(1, 5))


def halves(pairs):
    test = np.random.default_rng(1).random(len(pairs)) < 0.2
    return coded(pairs[~test]), coded(pairs[test])


def copied(network, encoder, decoder):
    """Weights of a referee, ``nn.Linear`` both, from ours."""
    for name, layer in (("encoder", encoder), ("decoder", decoder)):
        layer.load_state_dict(network[name].state_dict())


class TestLosses:
    def test_by_hand(self):
        logits, clicks = torch.tensor([[2.0, 0, 1, -1]]), torch.tensor([[1.0, 0, 1, 0]])
        shares = np.exp([2, 0, 1, -1]) / np.exp([2, 0, 1, -1]).sum()
        expected = -math.log(shares[0]) - math.log(shares[2])
        assert multinomial_loss(logits, clicks).item() == pytest.approx(expected) == pytest.approx(1.8804, abs=5e-5)
        assert multinomial_loss(logits + 5, clicks).item() == pytest.approx(expected)
        assert multinomial_loss(0 * logits, clicks).item() == pytest.approx(2 * math.log(4))
        half = torch.tensor([[0.0, -1e9, 0.0, -1e9]])  # the best there is: both items share all chance
        assert multinomial_loss(half, clicks).item() == pytest.approx(2 * math.log(2))

    def test_multinomial_is_the_mean_of_rows(self):
        logits, clicks = torch.randn(5, 7), (torch.rand(5, 7) < 0.4).double()
        assert torch.autograd.gradcheck(lambda x: multinomial_loss(x, clicks), logits.requires_grad_())
        rows = [multinomial_loss(logits[[u]], clicks[[u]]) for u in range(5)]
        torch.testing.assert_close(multinomial_loss(logits, clicks), torch.stack(rows).mean())

    def test_kl_by_hand_and_by_torch(self):
        mean, deviation = torch.tensor([1.0, 0, 1, 0]), torch.tensor([1.0, 0.5, 0.5, 1])
        found = gaussian_kl(mean, 2 * deviation.log())
        np.testing.assert_allclose(found, [0.5, 0.3181, 0.8181, 0], atol=5e-5)
        ours = torch.distributions.Normal(mean, deviation)
        referee = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0))
        torch.testing.assert_close(found, referee)

    @pytest.mark.parametrize("loss", [multinomial_loss, gaussian_kl])
    def test_other_shapes(self, loss):
        with pytest.raises(InputError, match="shape"):
            loss(torch.zeros(2, 3), torch.zeros(3, 2))


class TestAutoRec:
    @pytest.mark.parametrize("side", ["item", "user"])
    def test_predictions_are_the_network_of_the_paper(self, side):
        train = coded(PAIRS)
        model = AutoRec(side, 5, epochs=2, seed=3).fit(train)
        left = np.zeros((USERS, ITEMS))
        left[*PAIRS.T] = train.ratings - model.bias.predict(train.users, train.items)
        rows = torch.tensor(left if side == "user" else left.T)
        encoder, decoder = nn.Linear(rows.shape[1], 5), nn.Linear(5, rows.shape[1])
        copied(model.network, encoder, decoder)
        with torch.no_grad():
            whole = decoder(torch.sigmoid(encoder(rows)))
        whole = whole if side == "user" else whole.T
        torch.testing.assert_close(model.score(torch.arange(USERS)), model.bias.score(torch.arange(USERS)) + whole)

    def test_the_first_loss_is_the_paper_s(self):
        train = coded(PAIRS)
        model = AutoRec("item", 5, regularization=7.0, epochs=1, batch_size=ITEMS, seed=3).fit(train)
        start = AutoRec("item", 5, regularization=7.0, epochs=1, lr=1e-12, batch_size=ITEMS, seed=3).fit(train)
        weights = [layer.weight.detach() for layer in start.network.values()]
        error = (start.predict(train.users, train.items) - train.ratings).square().sum() / ITEMS
        penalty = 7.0 / (2 * ITEMS) * sum(weight.square().sum() for weight in weights)
        assert model.history.loc[1, "error"] == pytest.approx(error.item(), rel=1e-6)
        assert model.history.loc[1, "penalty"] == pytest.approx(penalty.item(), rel=1e-6)

    @pytest.mark.parametrize("side", ["item", "user"])
    def test_beats_the_biases_where_there_are_tastes(self, side):
        train, test = halves(PAIRS)
        before = measure_ratings(BiasModel().fit(train), test)["rmse"]
        model = AutoRec(side, 20, regularization=1.0, epochs=150, lr=0.01, batch_size=20).fit(train)
        assert measure_ratings(model, test)["rmse"] < 0.8 * before

    def test_a_large_penalty_leaves_the_biases(self):
        train = coded(PAIRS)
        model = AutoRec(regularization=1e6, epochs=200, lr=0.01).fit(train)
        rest = model.predict(train.users, train.items) - model.bias.predict(train.users, train.items)
        assert rest.abs().max() < 0.2


class TestMultinomialModels:
    def test_scores_are_the_network_of_the_paper(self):
        train = coded(LIKED)
        model = MultDAE(6, epochs=2, seed=1).fit(train)
        encoder, decoder = nn.Linear(ITEMS, 6), nn.Linear(6, ITEMS)
        copied(model.network, encoder, decoder)
        rows = train.mask().double()
        with torch.no_grad():
            expected = decoder(torch.tanh(encoder(rows / rows.sum(1, keepdim=True).clamp(min=1).sqrt())))
        torch.testing.assert_close(model.score(torch.arange(USERS)), expected)

    def test_what_is_hidden_is_scaled(self):
        model = MultDAE(6, dropout=0.5, epochs=1).fit(coded(LIKED))
        rows, generator = torch.ones(4000, ITEMS), torch.Generator().manual_seed(0)
        drawn = model._encode(rows, generator).mean(0)
        torch.testing.assert_close(drawn, model._encode(rows[:1])[0], atol=0.02, rtol=0)

    def test_the_loss_of_the_clouds(self):
        train = coded(LIKED)
        model = MultVAE(6, beta=0.3, dropout=0.0, epochs=1, seed=1).fit(train)
        rows = train.mask().double()
        terms = model.loss(rows, torch.Generator().manual_seed(5), progress=0.25)
        with torch.no_grad():
            mean, log_variance = model.network["encoder"](nn.functional.normalize(rows, dim=1)).chunk(2, dim=1)
            noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(5))
            logits = model.network["decoder"](mean + noise * (log_variance / 2).exp())
        clouds = torch.distributions.Normal(mean, (log_variance / 2).exp())
        price = torch.distributions.kl_divergence(clouds, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
        assert terms["KL"].item() == pytest.approx(0.3 * 0.5 * price.item())
        assert terms["likelihood"].item() == pytest.approx(multinomial_loss(logits, rows).item())
        torch.testing.assert_close(model.clouds(range(USERS))[0], mean)
        torch.testing.assert_close(model.score(range(USERS)), model.network["decoder"](mean).detach())

    @pytest.mark.parametrize("model", [MultDAE(10, epochs=60, lr=0.01), MultVAE(10, epochs=60, lr=0.01)])
    def test_beats_popularity_where_there_are_tastes(self, model):
        train, test = halves(LIKED)
        before = measure_lists(Popularity().fit(train), train, test)["ndcg@10"]
        assert measure_lists(model.fit(train), train, test)["ndcg@10"] > 1.2 * before

    def test_a_dear_cloud_is_empty_and_ranks_by_popularity(self):
        train = coded(LIKED)
        model = MultVAE(10, beta=300.0, epochs=150, lr=0.01).fit(train)
        mean, log_variance = model.clouds(range(USERS))
        assert gaussian_kl(mean, log_variance).sum(1).mean() < 0.05
        together = np.corrcoef(model.score([0])[0], torch.bincount(train.items, minlength=ITEMS))[0, 1]
        assert together > 0.9

    @pytest.mark.parametrize("model", [MultDAE(4, epochs=2), MultVAE(4, epochs=2)])
    def test_new_users(self, model):
        train = coded(LIKED)
        torch.testing.assert_close(fold_in(model.fit(train), train), model.score(range(USERS)))


BAD = [(AutoRec, {"side": "film"}), (AutoRec, {"hidden": 0}), (AutoRec, {"regularization": -1.0})]
BAD += [(MultDAE, {"dropout": 1.0}), (MultDAE, {"factors": 0}), (MultVAE, {"beta": -0.1}), (MultVAE, {"epochs": 0})]


@pytest.mark.parametrize(("model", "bad"), BAD)
def test_bad_input_names_the_argument(model, bad):
    with pytest.raises(InputError, match=f"^{next(iter(bad))}: got"):
        model(**bad)
