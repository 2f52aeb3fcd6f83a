"""Added accounts: where they stand, whether the slope is a derivative, and that both directions work."""

import numpy as np
import pandas as pd
import pytest
import torch

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.models.als import ALS
from course_utils.simulation.antidote import _slopes, antidote, damped_means, disagreement, with_accounts


def some_ratings(n_users=30, n_items=20, seed=0):
    """Two camps with opposite tastes, noise, and two thirds of the cells missing."""
    rng = np.random.default_rng(seed)
    camp = rng.choice([-1, 1], n_users)[:, None] * rng.choice([-1, 1], n_items)
    stars = (3 + camp + rng.normal(0, 0.5, (n_users, n_items))).round().clip(1, 5)
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.35)
    frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": stars[users, items]})
    part = Interactions.from_frame(frame, user_ids=range(n_users), item_ids=range(n_items))
    return Interactions(
        part.users, part.items, part.ratings.double(), part.timestamps, part.user_ids, part.item_ids
    )


def test_disagreement_by_hand():
    # variances 2 and 0: mean 1
    assert disagreement(torch.tensor([[2.0, 3.0], [4.0, 3.0]])) == 1.0


def test_accounts_stand_after_the_users():
    part = some_ratings()
    stars = torch.arange(40.0).reshape(2, 20) % 5 + 1
    both = with_accounts(part, stars)
    assert both.n_users == part.n_users + 2
    assert len(both) == len(part) + 40
    dense = both.csr().toarray()
    assert (dense[:30] == part.csr().toarray()).all()
    assert (dense[30:] == stars.numpy()).all()
    with pytest.raises(InputError, match="ratings"):
        with_accounts(part, stars[:, :5])


def test_damped_means_by_hand():
    frame = pd.DataFrame({"user_id": [0, 1, 0], "item_id": [0, 0, 1], "rating": [5.0, 5.0, 2.0]})
    part = Interactions.from_frame(frame, item_ids=[0, 1, 2])
    # mean 4: (10 + 20) / 7, (2 + 20) / 6, 20 / 5
    assert torch.allclose(damped_means(part), torch.tensor([30 / 7, 22 / 6, 4.0]).to(part.ratings.dtype))


def test_slope_is_half_the_derivative_of_the_variance():
    part, n = some_ratings(), 30
    x = damped_means(part).repeat(2, 1) + torch.linspace(-0.5, 0.5, 40).reshape(2, 20)
    everyone = with_accounts(part, x)
    model = ALS(3, 0.2, 4, biases=False).fit(everyone)
    user = model.user_factors
    rated = torch.from_numpy(everyone.csr(binary=True).toarray())

    def variance(account, item, moved):
        stars = torch.from_numpy(everyone.csr().toarray())[:, item].clone()
        stars[n + account] += moved
        own = rated[:, item] > 0
        gram = user[own].T @ user[own] + 0.2 * own.sum() * torch.eye(3, dtype=user.dtype)
        q = torch.linalg.solve(gram, user[own].T @ stars[own])
        return (user[:n] @ q).var(), q

    item = torch.stack([variance(0, j, 0.0)[1] for j in range(20)])
    slope = _slopes(user, item, everyone, n, 0.2)
    for account, j in ((0, 3), (1, 11), (1, 19)):
        up, down = (variance(account, j, h)[0] for h in (1e-4, -1e-4))
        assert float((up - down) / 2e-4) == pytest.approx(2 * float(slope[account, j]), rel=1e-5)


def test_both_directions():
    part = some_ratings()
    everyone = torch.arange(30)

    def after(stars):
        model = ALS(3, 0.14, biases=False).fit(with_accounts(part, stars))
        return disagreement(model.score(everyone))

    settings = {"factors": 3, "steps": 8}
    less, more = antidote(part, 4, **settings), antidote(part, 4, raise_it=True, **settings)
    for stars in (less, more):
        assert stars.shape == (4, 20)
        assert set(stars.unique().tolist()) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    plain = damped_means(part).round().expand(4, -1)
    assert after(less) < after(plain) < after(more)
    assert torch.equal(less, antidote(part, 4, **settings))


def test_wrong_numbers():
    with pytest.raises(InputError, match="accounts"):
        antidote(some_ratings(), 0)
    with pytest.raises(InputError, match="steps"):
        antidote(some_ratings(), 1, steps=0)
