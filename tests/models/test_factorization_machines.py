"""The factorisation machine against the double sum over pairs."""

import pytest
import torch

from course_utils.errors import InputError
from course_utils.models.embedding_mf import MatrixFactorization
from course_utils.models.factorization_machines import FactorizationMachine

SIZES = [3, 4]


def pairs(model, x):
    """The definition: one full feature vector, a loop over all pairs. Columns: codes of each feature, dense."""
    w = torch.cat([model.linear.weight[:, 0], model.dense_linear])
    v = torch.cat([model.embeddings.weight, model.dense_factors])
    score = model.bias + w @ x
    for j in range(len(x)):
        for other in range(j):
            score = score + (v[j] @ v[other]) * x[j] * x[other]
    return score


def random_model(num_dense):
    model = FactorizationMachine(SIZES, 3, num_dense=num_dense)
    for parameter in model.parameters():
        parameter.data.normal_()
    return model


@pytest.mark.parametrize("num_dense", [0, 2])
def test_against_all_pairs(num_dense):
    model, dense = random_model(num_dense), torch.randn(3, num_dense)
    indices = [torch.tensor([2, 0, 1]), torch.tensor([0, 3, 3, 1])]  # a bag with code 3 twice, an empty bag
    offsets = [torch.tensor([0, 1, 2]), torch.tensor([0, 0, 3])]
    weights = [None, torch.tensor([0.5, -1.0, 2.0, 3.0])]
    found = model(dense, indices, offsets, weights)
    x = torch.zeros(3, 7 + num_dense)
    x[0, 2] = x[1, 0] = x[2, 1] = 1
    x[1, 3], x[1, 6], x[2, 4] = 0.5, 1.0, 3.0
    x[:, 7:] = dense
    expected = torch.stack([pairs(model, row) for row in x])
    # one code twice in a bag is two features to the model, whose product the multi-hot vector does not show
    v = model.embeddings.weight[6]
    expected[1] = expected[1] + (v @ v) * -1.0 * 2.0
    torch.testing.assert_close(found, expected)


def test_one_code_a_feature():
    model, codes, dense = random_model(2), torch.tensor([[2, 0], [0, 3], [1, 1]]), torch.randn(3, 2)
    x = torch.zeros(3, 9)
    for row, (a, b) in enumerate(codes.tolist()):
        x[row, a], x[row, 3 + b] = 2.0, -1.0
    x[:, 7:] = dense
    found = model(dense, codes, None, torch.tensor([[2.0, -1.0]]).expand(3, 2))
    torch.testing.assert_close(found, torch.stack([pairs(model, row) for row in x]))


def test_two_features_are_matrix_factorization_with_biases():
    factors = MatrixFactorization(3, 4, 5, std=1.0, mean=3.5)
    factors.user_biases.weight.data.normal_()
    factors.item_biases.weight.data.normal_()
    model = FactorizationMachine(SIZES, 5)
    model.bias.data.fill_(3.5)
    model.linear.weight.data = torch.cat([factors.user_biases.weight, factors.item_biases.weight]).data
    model.embeddings.weight.data = torch.cat([factors.user_factors.weight, factors.item_factors.weight]).data
    users, items = torch.tensor([0, 2, 2]), torch.tensor([3, 0, 1])
    torch.testing.assert_close(model(None, torch.stack([users, items], dim=1)), factors(users, items))


def test_learns_a_product():
    """Logit +2 when both codes are equal, -2 else: no linear model can."""
    torch.manual_seed(0)
    codes = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    labels = (codes[:, 0] == codes[:, 1]).to(torch.get_default_dtype())
    model = FactorizationMachine([3, 3], 3, std=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(None, codes), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((model(None, codes) > 0) == labels.bool()).all()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"num_dense": -1}, "num_dense"),
        ({"std": 0.0}, "std"),
        ({"factors": 0}, "embedding_dim"),
        ({"cardinalities": []}, "cardinalities"),
    ],
)
def test_refusals(options, name):
    with pytest.raises(InputError, match=f"^{name}: got"):
        FactorizationMachine(**{"cardinalities": SIZES, "factors": 3, **options})
