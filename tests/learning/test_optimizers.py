"""The row-wise optimizer against torch's own and a loop."""

import pytest
import torch
from shared import refusals
from torch import nn

from course_utils.learning import loop
from course_utils.learning.optimizers import RowwiseAdagrad
from course_utils.models.embedding_bags import EmbeddingBags

BATCHES = [torch.tensor([[0, 2], [1, 2], [0, 0]]), torch.tensor([[3, 1], [0, 2], [3, 3]])]


def tables(width=3, sparse=True):
    ours, theirs = EmbeddingBags([4, 4], width), EmbeddingBags([4, 4], width)
    theirs.load_state_dict(ours.state_dict())
    ours.sparse = sparse
    return ours, theirs


def distance(module, codes):
    return (module(codes) - torch.linspace(-1, 1, module.weight.shape[1])).square().sum()


def run(module, optimizer):
    for codes in BATCHES:
        optimizer.zero_grad()
        distance(module, codes).backward()
        optimizer.step()


@pytest.mark.parametrize(("width", "sparse"), [(3, False), (1, True)])  # with D = 1 a row is an entry
def test_where_it_is_torchs(width, sparse):
    ours, theirs = tables(width, sparse)
    theirs.sparse = sparse
    run(ours, RowwiseAdagrad([*ours.parameters(), nn.Parameter(torch.ones(2))], lr=0.1))  # one without a gradient
    run(theirs, torch.optim.Adagrad(theirs.parameters(), lr=0.1))
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_against_a_loop():
    ours, plain = tables()
    before = ours.weight.detach().clone()
    optimizer = RowwiseAdagrad(ours.parameters(), lr=0.1, eps=1e-3)
    run(ours, optimizer)
    sums = [0.0] * 8
    for codes in BATCHES:
        plain.zero_grad()
        distance(plain, codes).backward()
        for row in {int(code) + 4 * feature for pair in codes for feature, code in enumerate(pair)}:
            gradient = plain.weight.grad[row]
            sums[row] += float((gradient**2).sum()) / 3
            plain.weight.data[row] -= 0.1 * gradient / (sums[row] ** 0.5 + 1e-3)
    torch.testing.assert_close(ours.weight, plain.weight)
    torch.testing.assert_close(optimizer.state[ours.weight]["sum"], torch.tensor(sums))
    assert ours.weight[2].equal(before[2])  # the one row outside both batches


def test_in_the_loop_with_a_network_and_a_falling_step():
    torch.manual_seed(0)
    model = nn.Sequential(tables()[0], nn.Flatten(), nn.Linear(6, 1))
    codes = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    history = loop.fit(
        model,
        loop.batches(codes, codes.sum(1) / 6.0, batch_size=8),
        lambda module, batch: (module(batch[0])[:, 0] - batch[1]).square().mean(),
        epochs=60,
        optimizer=RowwiseAdagrad(model.parameters(), lr=0.2),
        decay=True,
    )
    assert history["loss"].iloc[-1] < 0.1 * history["loss"].iloc[0]


def another_layout():
    module = tables()[0]
    optimizer = RowwiseAdagrad(module.parameters())
    for module.sparse in (True, False):
        run(module, optimizer)


WEIGHTS = [nn.Parameter(torch.ones(2))]
test_refusals = refusals(
    *(("lr", RowwiseAdagrad, WEIGHTS, {"lr": x}) for x in (0.0, -1.0, float("nan"))),
    ("eps", RowwiseAdagrad, WEIGHTS, {"eps": 0.0}),
    ("gradient: got torch.strided, expected the layout of the first step", another_layout),
)
