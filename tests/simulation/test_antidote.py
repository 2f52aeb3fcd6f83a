"""Added accounts: where they stand, whether the slope is a derivative, and that both directions work."""

import numpy as np
import pytest
import torch
from shared import coded, placed

from course_utils.errors import InputError
from course_utils.models.als import ALS
from course_utils.simulation import antidote

USERS, ITEMS = 30, 20


@pytest.fixture
def part():
    rng = np.random.default_rng(0)
    camp = rng.choice([-1, 1], USERS)[:, None] * rng.choice([-1, 1], ITEMS)  # two, with opposite tastes
    stars = (3 + camp + rng.normal(0, 0.5, (USERS, ITEMS))).round().clip(1, 5)
    return placed(rng.random((USERS, ITEMS)) < 0.35, stars)


def test_disagreement_and_damped_means_by_hand():
    assert antidote.disagreement(torch.tensor([[2.0, 3.0], [4.0, 3.0]])) == 1.0  # variances 2 and 0
    found = antidote.damped_means(coded([(0, 0, 5.0), (1, 0, 5.0), (0, 1, 2.0)], 2, 3))
    assert torch.allclose(found, torch.tensor([(10 + 20) / 7, (2 + 20) / 6, 20 / 5]))  # the mean of all is 4


def test_accounts_stand_after_the_users(part):
    stars = torch.arange(40.0).reshape(2, ITEMS) % 5 + 1
    both = antidote.with_accounts(part, stars)
    assert (both.n_users, len(both)) == (USERS + 2, len(part) + 40)
    np.testing.assert_array_equal(both.csr().toarray(), np.vstack([part.csr().toarray(), stars]))
    with pytest.raises(InputError, match="ratings"):
        antidote.with_accounts(part, stars[:, :5])
    with pytest.raises(InputError, match="accounts"):
        antidote.antidote(part, 0)


def test_slope_is_half_the_derivative_of_the_variance(part):
    x = antidote.damped_means(part).repeat(2, 1) + torch.linspace(-0.5, 0.5, 40).reshape(2, ITEMS)
    everyone, weight = antidote.with_accounts(part, x), antidote.REGULARIZATION
    user = ALS(3, weight, 4, weighted=True, biases=False).fit(everyone).user_factors
    rated = everyone.mask().to(user.dtype)
    gram = torch.einsum("ui,uf,ug->ifg", rated, user, user) + weight * rated.sum(0)[:, None, None] * torch.eye(3)
    stars = torch.cat([torch.from_numpy(part.csr().toarray()), x]).requires_grad_()
    item = torch.linalg.solve(gram, (rated * stars).T @ user)
    (derivative,) = torch.autograd.grad((user[:USERS] @ item.T).var(dim=0).sum(), stars)
    torch.testing.assert_close(2 * antidote._slopes(user, item.detach(), everyone, USERS), derivative[USERS:])


def test_both_directions(part):
    less, more = (antidote.antidote(part, 4, factors=3, raise_it=up) for up in (False, True))
    for stars in (less, more):
        assert stars.shape == (4, ITEMS)
        assert set(stars.unique().tolist()) <= {1, 2, 3, 4, 5}
    plain = antidote.damped_means(part).round().expand(4, -1)
    model = ALS(3, antidote.REGULARIZATION, weighted=True, biases=False)
    tables = [antidote.with_accounts(part, stars) for stars in (less, plain, more)]
    scores = [model.fit(table).score(torch.arange(USERS)) for table in tables]
    assert (np.diff(list(map(antidote.disagreement, scores))) > 0).all()
    assert torch.equal(less, antidote.antidote(part, 4, factors=3))
