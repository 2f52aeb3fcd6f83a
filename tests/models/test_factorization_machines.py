"""Factorisation machines against the double sum over pairs, and what training the one for ratings does."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from shared import coded, placed, refusals

from course_utils.data.features import user_features
from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.models import factorization_machines
from course_utils.models.embedding_mf import MatrixFactorization
from course_utils.models.factorization_machines import ContextFM, FactorizationMachine
from experiments._rating_times import DAYS, WEEKS, rating_times

close = torch.testing.assert_close
small = partial(ContextFM, factors=3, epochs=1)


class TestFactorizationMachine:
    @pytest.mark.parametrize("num_dense", [0, 2])
    def test_against_all_pairs(self, num_dense):
        model = FactorizationMachine([3, 4], 3, num_dense=num_dense)
        for parameter in model.parameters():
            parameter.data.normal_()
        w = torch.cat([model.linear.weight[:, 0], model.dense_linear])
        v = torch.cat([model.embeddings.weight, model.dense_factors])

        def definition(x):  # rows of codes of each feature, and dense features
            x = torch.cat([x, dense], dim=1)
            products = [(v[j] @ v[other]) * x[:, j] * x[:, other] for j in range(len(w)) for other in range(j)]
            return model.bias + x @ w + sum(products)

        dense = torch.randn(3, num_dense)
        indices = [torch.tensor([2, 0, 1]), torch.tensor([0, 3, 3, 1])]  # a bag with code 3 twice, an empty bag
        offsets = [torch.tensor([0, 1, 2]), torch.tensor([0, 0, 3])]
        weights = [torch.ones(3), torch.tensor([0.5, -1.0, 2.0, 3.0])]
        x = torch.tensor([[0.0, 0, 1, 0, 0, 0, 0], [1, 0, 0, 0.5, 0, 0, 1], [0, 1, 0, 0, 3, 0, 0]])
        expected = definition(x)
        # one code twice in a bag is two features to the model, whose product the multi-hot vector does not show
        expected[1] += model.embeddings.weight[6].square().sum() * -1.0 * 2.0
        close(model(dense, indices, offsets, weights), expected)
        codes = torch.tensor([[2, 0], [0, 3], [1, 1]])  # one a feature
        x = torch.tensor([[0.0, 0, 2, -1, 0, 0, 0], [2, 0, 0, 0, 0, 0, -1], [0, 2, 0, 0, -1, 0, 0]])
        close(model(dense, codes, None, torch.tensor([[2.0, -1.0]]).expand(3, 2)), definition(x))


@pytest.fixture
def data():
    """Ratings that depend on a kind of user and a kind of item."""
    rng = np.random.default_rng(0)
    alike = np.arange(40)[:, None] % 2 == np.arange(25) % 2
    return placed(rng.random((40, 25)) < 0.6, 2 + 2.0 * alike + 0.1 * rng.normal(size=(40, 25)))


def test_is_the_naive_sum_over_pairs_of_different_blocks(data):
    rng = np.random.default_rng(1)
    mine, theirs = rng.random((40, 2)), rng.random((25, 4))
    contexts = torch.from_numpy(rng.integers(0, 5, (len(data), 1)))
    model = small(user_features=mine, item_features=theirs, cardinalities=(5,)).fit(data, contexts)
    seen = data.mask().double().numpy()
    u, i, c = 3, 7, 2
    x = [
        np.concatenate([np.eye(40)[u], mine[u], seen[u] / np.sqrt(seen[u].sum())]),
        np.concatenate([np.eye(25)[i], theirs[i], seen[:, i] / np.sqrt(seen[:, i].sum())]),
        np.eye(5)[c],
    ]
    tables = [t.detach().numpy() for t in model.tables]
    total = model.mean.item() + sum(x[b] @ tables[b][:, 0] for b in range(3))
    for b, d in ((1, 0), (2, 0), (2, 1)):
        for j in np.flatnonzero(x[b]):
            total += sum(x[b][j] * x[d][k] * tables[b][j, 1:] @ tables[d][k, 1:] for k in np.flatnonzero(x[d]))
    found = model.predict(torch.tensor([u]), torch.tensor([i]), torch.tensor([[c]]))
    assert found.item() == pytest.approx(total)


def as_machine(model, sizes):
    machine, weights = FactorizationMachine(sizes, 3), torch.cat([t.detach() for t in model.tables])
    machine.bias.data.copy_(model.mean.data)
    machine.linear.weight.data.copy_(weights[:, :1])
    machine.embeddings.weight.data.copy_(weights[:, 1:])
    return machine


def test_with_one_feature_a_block_it_is_a_factorization_machine(data):
    contexts = torch.arange(len(data))[:, None] % 6
    model = small(history=False, cardinalities=(6,)).fit(data, contexts)
    rows = torch.stack([data.users, data.items, contexts[:, 0]], dim=1)
    close(model.predict(data.users, data.items, contexts), as_machine(model, [40, 25, 6])(None, rows).detach())


def test_with_ids_alone_both_are_matrix_factorization(data):
    model, other = small(history=False).fit(data), MatrixFactorization(40, 25, factors=3)
    other.mean.data.copy_(model.mean.data)
    for side, table in zip(("user", "item"), model.tables, strict=True):
        getattr(other, f"{side}_biases").weight.data.copy_(table.data[:, :1])
        getattr(other, f"{side}_factors").weight.data.copy_(table.data[:, 1:])
    expected, pairs = other.score(torch.arange(40)), torch.stack([data.users, data.items], dim=1)
    close(model.score(torch.arange(40)), expected)
    close(model.predict(data.users, data.items), expected[data.users, data.items])
    close(as_machine(model, [40, 25])(None, pairs).detach(), expected[data.users, data.items])


def test_gradient_goes_through_the_sparse_product(data):
    model = small().fit(data)
    for block, table in zip(model._blocks, model.tables, strict=True):
        assert torch.autograd.gradcheck(partial(factorization_machines._Product.apply, *block), table, fast_mode=True)


def test_history_learns_the_kinds(data):
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    columns, ids = (data.users, data.items, data.ratings, data.timestamps), (data.user_ids, data.item_ids)
    train, test = (Interactions(*(c[rows] for c in columns), *ids) for rows in (order[100:], order[:100]))
    found = small(factors=4, epochs=40, batch_size=64, shrinkage=0.5).fit(train).predict(test.users, test.items)
    assert (found - test.ratings).square().mean().sqrt() < 0.5  # the mean alone has 1.0


def test_the_history_has_who_rated_what_and_not_how(data):
    reversed_ = (data.users, data.items, data.ratings.flip(0), data.timestamps, data.user_ids, data.item_ids)
    model, again = small().fit(data), small().fit(Interactions(*reversed_))
    for mine, theirs in zip(model._blocks, again._blocks, strict=True):
        close(mine[0].to_dense(), theirs[0].to_dense(), rtol=0, atol=0)


def test_contexts_have_a_penalty_of_their_own(data):
    contexts, options = torch.arange(len(data))[:, None] % 6, {"epochs": 5, "cardinalities": (6,)}
    free, bound = (small(context_shrinkage=w, **options).fit(data, contexts).tables[2] for w in (0.0, 1e5))
    assert bound.square().sum() < 0.1 * free.square().sum()


def test_user_features():
    frame = pd.DataFrame({"age": [17, 18, 60], "gender": ["F", "M", "F"], "occupation": ["artist", "none", "none"]})
    found = user_features(frame)
    assert found.shape == (3, 7 + 2 + 2)
    assert (found.sum(axis=1) == 3).all()
    assert found[0, 0] == found[1, 1] == found[2, 6] == 1


def test_rating_times():
    day = 86400
    train = coded([(0, 0, 1, 0), (1, 0, 1, 10 * day), (1, 1, 1, 13 * day)], 2, 3)
    assert rating_times(train, train).tolist() == [[0, 0], [1, 0], [1, 2]]
    asked = coded([(1, 2, 1, 17 * day), (0, 2, 1, 999 * day)], 2, 3)
    assert rating_times(train, asked).tolist() == [[2, 3], [WEEKS - 1, DAYS - 1]]


MACHINE = partial(FactorizationMachine, cardinalities=[3, 4], factors=3)
test_refusals = refusals(
    *(("num_dense", MACHINE, {"num_dense": -1}), ("embedding_dim", MACHINE, {"factors": 0})),
    *(("cardinalities", call, {"cardinalities": x}) for call, x in ((MACHINE, []), (ContextFM, (0,)))),
    *((name, ContextFM, {name: 0}) for name in ("factors", "epochs")),
    *((name, ContextFM, {name: -1.0}) for name in ("shrinkage", "regularization", "context_shrinkage")),
    ("users", user_features, pd.DataFrame({"age": [17]})),
)


def test_features_and_contexts_that_do_not_fit(data):
    for name, features in (("user_features", np.ones((3, 2))), ("item_features", np.full((25, 2), np.nan))):
        with pytest.raises(InputError, match=name):
            ContextFM(**{name: features}).fit(data)
    users, items, codes = data.users[:1], data.items[:1], torch.zeros(len(data), 1, dtype=torch.long)
    plain, timed = small().fit(data), small(cardinalities=(2,)).fit(data, codes)
    for call in (
        partial(plain.predict, users, items, codes[:1]),
        partial(timed.predict, users, items, codes[:1] + 2),
        partial(small(cardinalities=(2,)).fit, data),
        partial(timed.score, users),
    ):
        with pytest.raises(InputError, match="contexts"):
            call()
