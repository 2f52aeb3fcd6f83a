"""Row-wise optimizers against torch's own and a loop."""

import pytest
import torch
from torch import nn

from course_utils.errors import InputError
from course_utils.learning import loop
from course_utils.learning.optimizers import RowwiseAdagrad, RowwiseSGD
from course_utils.models.embedding_bags import EmbeddingBags

BATCHES = [torch.tensor([[0, 2], [1, 2], [0, 0]]), torch.tensor([[3, 1], [0, 2], [3, 3]])]


def tables(n=2, sparse=True):
    modules = [EmbeddingBags([4, 4], 3) for _ in range(n)]
    for module in modules:
        module.load_state_dict(modules[0].state_dict())
    modules[0].sparse = sparse
    return modules


def run(module, optimizer):
    goal = torch.linspace(-1, 1, 3)
    for codes in BATCHES:
        optimizer.zero_grad()
        (module(codes) - goal).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("sparse", [True, False])
def test_sgd_is_torchs(sparse):
    ours, theirs = tables(sparse=sparse)
    run(ours, RowwiseSGD(ours.parameters(), lr=0.1))
    run(theirs, torch.optim.SGD(theirs.parameters(), lr=0.1))
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_adagrad_of_dense_parameters_is_torchs():
    ours, theirs = tables(sparse=False)
    run(ours, RowwiseAdagrad(ours.parameters(), lr=0.1))
    run(theirs, torch.optim.Adagrad(theirs.parameters(), lr=0.1))
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_adagrad_of_one_column_is_torchs():
    """With D = 1 a row is an entry."""
    ours, theirs = EmbeddingBags([4, 4], 1), EmbeddingBags([4, 4], 1)
    theirs.load_state_dict(ours.state_dict())
    ours.sparse = theirs.sparse = True
    run(ours, RowwiseAdagrad(ours.parameters(), lr=0.1))
    run(theirs, torch.optim.Adagrad(theirs.parameters(), lr=0.1))
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_adagrad_against_a_loop():
    ours, plain = tables()
    optimizer = RowwiseAdagrad(ours.parameters(), lr=0.1, eps=1e-3)
    run(ours, optimizer)
    sums = [0.0] * 8
    for codes in BATCHES:
        plain.zero_grad()
        (plain(codes) - torch.linspace(-1, 1, 3)).square().sum().backward()
        for row in {int(code) + 4 * feature for pair in codes for feature, code in enumerate(pair)}:
            gradient = plain.weight.grad[row]
            sums[row] += float((gradient**2).sum()) / 3
            plain.weight.data[row] -= 0.1 * gradient / (sums[row] ** 0.5 + 1e-3)
    torch.testing.assert_close(ours.weight, plain.weight)
    assert optimizer.state[ours.weight]["sum"].shape == (8,)
    torch.testing.assert_close(optimizer.state[ours.weight]["sum"], torch.tensor(sums))


@pytest.mark.parametrize("kind", [RowwiseSGD, RowwiseAdagrad])
def test_rows_outside_the_batch_stay(kind):
    (module,) = tables(1)
    before = module.weight.detach().clone()
    run(module, kind(module.parameters(), lr=0.1))
    moved = (module.weight != before).any(1)
    assert moved.tolist() == [True, True, False, True, True, True, True, True]


@pytest.mark.parametrize("kind", [RowwiseSGD, RowwiseAdagrad])
def test_in_the_loop_with_a_network_and_a_schedule(kind):
    torch.manual_seed(0)
    embeddings = EmbeddingBags([4, 4], 3)
    embeddings.sparse = True
    model = nn.Sequential(embeddings, nn.Flatten(), nn.Linear(6, 1))
    codes = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    target = (codes.sum(1) / 6).to(torch.get_default_dtype())
    optimizer = kind(model.parameters(), lr=0.2)
    history = loop.fit(
        model,
        loop.batches(codes, target, batch_size=8),
        lambda module, batch: (module(batch[0])[:, 0] - batch[1]).square().mean(),
        epochs=60,
        optimizer=optimizer,
        scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.99**step),
        progress=False,
    )
    assert history["loss"].iloc[-1] < 0.1 * history["loss"].iloc[0]


def test_a_parameter_without_gradient_and_a_closure():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    for optimizer in (RowwiseSGD([used, unused], lr=0.1), RowwiseAdagrad([used, unused], lr=0.1)):

        def closure():
            used.grad = None
            loss = used.sum()
            loss.backward()
            return loss

        before = used.sum().item()
        assert optimizer.step(closure).item() == before
        assert used.sum().item() < before
        assert unused.tolist() == [1, 1]


def test_refusals():
    module, _ = tables()
    for arguments in ({"lr": 0.0}, {"lr": -1.0}, {"lr": float("nan")}):
        for kind in (RowwiseSGD, RowwiseAdagrad):
            with pytest.raises(InputError, match=r"^lr: got"):
                kind(module.parameters(), **arguments)
    with pytest.raises(InputError, match=r"^eps: got 0"):
        RowwiseAdagrad(module.parameters(), eps=0)
    optimizer = RowwiseAdagrad(module.parameters())
    run(module, optimizer)
    module.sparse = False
    with pytest.raises(InputError, match=r"^gradient: got a dense one, expected the kind of the first step"):
        run(module, optimizer)
