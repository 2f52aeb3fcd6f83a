"""The training loop: modules, batches and a validation callback, and nothing else."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy

import pandas as pd
import torch
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LinearLR
from tqdm import tqdm

from course_utils.errors import DivergedError, InputError, check_counts, refuse

Batch = tuple[torch.Tensor, ...]
Loss = Callable[[nn.Module, Batch], torch.Tensor | Mapping[str, torch.Tensor]]
Validate = Callable[[nn.Module], float | Mapping[str, float]]


class Batches:
    """Tensors with the same number of rows, cut into batches; each pass over it is one epoch; taught in chapter 6.

    A batch is a tuple of tensors, ``(batch_size, ...)`` each, the last maybe shorter; a ``generator`` shuffles a pass.
    """

    def __init__(self, *tensors: torch.Tensor, batch_size: int, generator: torch.Generator | None = None) -> None:
        lengths = [len(tensor) for tensor in tensors]
        unlike = len(set(lengths)) != 1 or lengths[0] == 0
        refuse(unlike, "tensors", f"{lengths} rows", "one or more tensors with the same number of rows")
        check_counts(batch_size=batch_size)
        self.tensors, self.batch_size, self.generator = tensors, int(batch_size), generator

    def __len__(self) -> int:
        return -(-len(self.tensors[0]) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if self.generator is None:
            yield from zip(*(tensor.split(self.batch_size) for tensor in self.tensors), strict=True)
            return
        order = torch.randperm(len(self.tensors[0]), generator=self.generator, device=self.generator.device)
        for rows in order.split(self.batch_size):
            yield tuple(tensor[rows] for tensor in self.tensors)


batches = Batches  # reads better where they are made: loop.batches(users, items, batch_size=512)


def fit(
    module: nn.Module,
    batches: Iterable[Batch],
    loss: Loss,
    *,
    epochs: int,
    optimizer: Optimizer | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    decay: bool = False,
    validate: Validate | None = None,
    patience: int | None = None,
    higher_is_better: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a module by gradient steps; taught in chapter 6.

    ``loss(module, batch)`` gives the mean over a batch's rows (as many as its first entry has), ``()``, or several
    named ones, whose sum is minimised. ``validate(module)`` gives, after each epoch, without gradients and in
    evaluation mode, a number, or several named ones of which the first decides. After ``patience`` epochs without a
    better one the training stops. The ``optimizer``, anything with ``zero_grad()`` and ``step()``, is Adam by default,
    with step size ``lr`` (0.01) and L2 weight ``weight_decay`` (0). With ``decay`` the step size falls linearly to 0.

    Afterwards the module, changed in place, is in evaluation mode; with ``validate`` it holds the weights of its best
    epoch, also when an error or an interrupt ends the training early. A loss or a deciding validation value that is
    nan or infinite is a ``DivergedError`` that names epoch and batch.

    The table has a row an epoch, index ``epoch`` from 1: ``loss``, the mean over all rows, each measured before its own
    step; the named losses; the validation values. ``.attrs["best_epoch"]`` is the epoch of the module's weights.
    """
    check_counts(epochs=epochs, patience=1 if patience is None else patience)
    alone = patience is not None and validate is None
    refuse(alone, "patience", patience, "a validate callback beside it")
    total = epochs * len(batches) if hasattr(batches, "__len__") else None
    refuse(decay and total is None, "decay", decay, "batches that have a length beside it")
    if optimizer is None:
        optimizer = Adam(module.parameters(), lr=0.01 if lr is None else lr, weight_decay=weight_decay or 0)
    elif (lr, weight_decay) != (None, None):
        raise InputError("lr, weight_decay", got=(lr, weight_decay), expected="neither beside an optimizer of yours")
    if decay:
        schedule = LinearLR(optimizer, 1.0, 0.0, total_iters=total)
    history, best_value, best_epoch, best_weights = [], math.inf, 0, None

    def step(mean: torch.Tensor) -> None:
        optimizer.zero_grad()
        mean.backward()
        optimizer.step()
        if decay:
            schedule.step()
        bar.update()

    silent = {} if progress else {"disable": True}  # only then, so that TQDM_DISABLE keeps its say
    bar = tqdm(total=total, desc="training", unit="batch", leave=False, delay=1, **silent)
    try:
        for epoch in range(1, epochs + 1):
            module.train()
            history.append(_epoch(module, batches, loss, step, epoch))
            if validate is None:
                best_epoch = epoch
                continue
            row = _validated(module, validate, epoch)
            history[-1] |= row
            bar.set_postfix(row, refresh=False)
            value = next(iter(row.values())) * (-1 if higher_is_better else 1)
            if value < best_value:
                best_value, best_epoch, best_weights = value, epoch, deepcopy(module.state_dict())
            elif patience is not None and epoch - best_epoch >= patience:
                break
    finally:
        bar.close()
        if best_weights is not None:
            module.load_state_dict(best_weights)
        module.eval()
    frame = pd.DataFrame(history, index=pd.RangeIndex(1, len(history) + 1, name="epoch"))
    frame.attrs["best_epoch"] = best_epoch
    return frame


def _epoch(module: nn.Module, batches: Iterable[Batch], loss: Loss, step: Callable, epoch: int) -> dict:
    """One pass with a step a batch: the mean over all rows of the loss and of each of its named terms."""
    sums, rows = {}, 0
    for number, batch in enumerate(batches, start=1):
        terms = loss(module, batch)
        terms = dict(terms) if isinstance(terms, Mapping) else {"loss": terms}
        for name, term in terms.items():
            shape = tuple(term.shape) if isinstance(term, torch.Tensor) else type(term).__name__
            wanted = "the mean over the rows, a tensor of shape ()"
            refuse(shape != (), "loss", f"{name!r} of shape {shape}", wanted)
        mean, size = sum(terms.values()), len(batch[0])
        for name, term in ({"loss": mean} | terms).items():
            value = term.item()
            if not math.isfinite(value):
                raise DivergedError(f"epoch {epoch}, batch {number}: {name} is {value}; try a smaller step size")
            sums[name] = sums.get(name, 0.0) + value * size
        rows += size
        step(mean)
    refuse(rows == 0, "batches", f"nothing in epoch {epoch}", "batches that allow a pass for each epoch")
    return {name: value / rows for name, value in sums.items()}


def _validated(module: nn.Module, validate: Validate, epoch: int) -> dict[str, float]:
    """The validation values by name; the first decides."""
    module.eval()
    with torch.no_grad():
        result = validate(module)
    named = result if hasattr(result, "items") else {"validation": result}
    row = {name: float(value) for name, value in named.items()}
    refuse(not row, "validate", "no value", "one number, or several by name")
    name, value = next(iter(row.items()))
    if not math.isfinite(value):
        raise DivergedError(f"epoch {epoch}, after its last batch: {name} is {value}")
    return row
