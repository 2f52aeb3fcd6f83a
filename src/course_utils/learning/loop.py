"""The training loop: modules, batches and a validation callback, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from course_utils.errors import DivergedError, InputError, check_counts

Batch = tuple[torch.Tensor, ...]
Loss = Callable[[nn.Module, Batch], torch.Tensor | Mapping[str, torch.Tensor]]
Validate = Callable[[nn.Module], float | Mapping[str, float]]


class Batches:
    """Slices of tensors that share their rows; each pass over it is one epoch. Built by :func:`batches`."""

    def __init__(self, tensors: Batch, batch_size: int, generator: torch.Generator | None) -> None:
        self.tensors, self.batch_size, self.generator = tensors, batch_size, generator

    def __len__(self) -> int:
        return -(-len(self.tensors[0]) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if self.generator is None:
            yield from zip(*(tensor.split(self.batch_size) for tensor in self.tensors), strict=True)
            return
        order = torch.randperm(len(self.tensors[0]), generator=self.generator, device=self.generator.device)
        for rows in order.split(self.batch_size):
            yield tuple(tensor[rows] for tensor in self.tensors)


def batches(*tensors: torch.Tensor, batch_size: int, generator: torch.Generator | None = None) -> Batches:
    """Cut tensors into batches of rows; taught in chapter 6.

    One permutation of the row numbers an epoch, then one look-up a batch: no worker, no call for each row.
    The last batch may be shorter.

    Args:
        tensors: one or more tensors with the same first size ``n_rows``.
        batch_size: rows a batch, at least 1.
        generator: shuffles anew at each pass, reproducibly by its seed. Without it the rows keep their order.

    Returns:
        An object to loop over as often as you like. It gives tuples of tensors, ``(batch_size, ...)`` each.

    Raises:
        InputError: no tensor, no row, different numbers of rows, or a batch size below 1.
    """
    lengths = [len(tensor) for tensor in tensors]
    if not lengths or lengths[0] == 0 or len(set(lengths)) > 1:
        raise InputError(
            "tensors", got=f"{lengths} rows", expected="one or more tensors with the same number of rows"
        )
    check_counts(batch_size=batch_size)
    return Batches(tensors, int(batch_size), generator)


def fit(
    module: nn.Module,
    batches: Iterable[Batch],
    loss: Loss,
    *,
    epochs: int,
    optimizer: torch.optim.Optimizer | None = None,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    decay: bool = False,
    validate: Validate | None = None,
    patience: int | None = None,
    higher_is_better: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a module by gradient steps; taught in chapter 6.

    Afterwards the module is in evaluation mode. With ``validate`` it holds the weights of its best epoch, also
    when an error or an interrupt ends the training early.

    Args:
        module: any module with parameters; it is changed in place.
        batches: what one epoch runs through, such as :func:`batches`. It must allow a pass for each epoch. The
            length of a batch's first entry is its number of rows.
        loss: ``loss(module, batch)`` gives the mean over the rows of the batch, a tensor of shape ``()``; or several
            named ones, whose sum is minimised and each of which is tallied in a column of its own. A loss that needs
            negatives draws them itself.
        epochs: passes over the batches, at most.
        optimizer: anything with ``zero_grad()`` and ``step()``. Without it, Adam with ``lr`` and ``weight_decay``.
        scheduler: anything with ``step()``, called after each step of the optimizer: so count its time in batches.
        lr: step size of that Adam (0.01 unless given).
        weight_decay: L2 weight of that Adam (0 unless given). It pulls on every parameter at every step, biases and
            rows that are not in the batch included.
        decay: whether the optimizer's step size falls in a straight line, from where it stands to 0 after all epochs.
        validate: ``validate(module)`` is called after each epoch, without gradients and in evaluation mode. It gives
            a number, or several named ones of which the first decides.
        patience: stop after so many epochs without a better validation value. Without it, all epochs run.
        higher_is_better: whether a larger validation value is the better one.
        progress: show a bar (the environment variable ``TQDM_DISABLE=1`` silences it too).

    Returns:
        One row an epoch, index ``epoch`` from 1. Column ``loss`` is the sum of the losses of all rows divided by the
        number of rows, each measured before its own step; then the named losses; then ``validation`` or the names
        that ``validate`` gave. ``.attrs["best_epoch"]`` is the epoch whose weights the module holds.

    Raises:
        InputError: an argument is out of range, or batches, loss or validate do not keep their form.
        DivergedError: a loss or a deciding validation value is nan or infinite; the message names epoch and batch.
    """
    check_counts(epochs=epochs, patience=1 if patience is None else patience)
    _require(patience is None or validate is not None, "patience", patience, "a validate callback beside it")
    own = lr is None and weight_decay is None
    _require(
        optimizer is not None or scheduler is None, "scheduler", "one", "an optimizer of yours beside it"
    )
    _require(
        optimizer is None or own,
        "lr, weight_decay",
        (lr, weight_decay),
        "neither beside an optimizer of yours",
    )
    _require(not decay or scheduler is None, "decay", decay, "False beside a scheduler of yours")
    _require(not decay or hasattr(batches, "__len__"), "decay", decay, "batches that have a length beside it")
    if optimizer is None:
        optimizer = torch.optim.Adam(
            module.parameters(), lr=0.01 if lr is None else lr, weight_decay=weight_decay or 0
        )
    total = epochs * len(batches) if hasattr(batches, "__len__") else None
    if decay:
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=total)
    history: list[dict[str, float]] = []
    best_value, best_epoch, best_weights = math.inf, 0, None
    silent = {} if progress else {"disable": True}  # only then, so that TQDM_DISABLE keeps its say
    bar = tqdm(total=total, desc="training", unit="batch", leave=False, delay=1, **silent)
    try:
        for epoch in range(1, epochs + 1):
            module.train()
            history.append(_epoch(module, batches, loss, optimizer, scheduler, epoch, bar))
            if validate is None:
                best_epoch = epoch
                continue
            value, row = _validated(module, validate, epoch)
            history[-1] |= row
            bar.set_postfix(row, refresh=False)
            value = -value if higher_is_better else value
            if value < best_value:
                best_value, best_epoch, best_weights = value, epoch, _copy(module)
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


def _epoch(
    module: nn.Module,
    batches: Iterable[Batch],
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None,
    epoch: int,
    bar: tqdm,
) -> dict[str, float]:
    """One pass with a step a batch; sums over rows divided by rows, for the loss and each of its named terms."""
    sums: dict[str, float] = {}
    rows = 0
    for number, batch in enumerate(batches, start=1):
        terms = loss(module, batch)
        terms = dict(terms) if isinstance(terms, Mapping) else {"loss": terms}
        for name, term in terms.items():
            shape = tuple(term.shape) if isinstance(term, torch.Tensor) else type(term).__name__
            _require(
                shape == (),
                "loss",
                f"{name!r} of shape {shape}",
                "the mean over the rows, a tensor of shape ()",
            )
        mean = sum(terms.values())
        size = len(batch[0])
        for name, term in ({"loss": mean} | terms).items():
            value = term.item()
            if not math.isfinite(value):
                raise DivergedError(
                    f"epoch {epoch}, batch {number}: {name} is {value}; a smaller step size may help"
                )
            sums[name] = sums.get(name, 0.0) + value * size
        rows += size
        optimizer.zero_grad()
        mean.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        bar.update()
    _require(rows > 0, "batches", f"nothing in epoch {epoch}", "batches that allow a pass for each epoch")
    return {name: value / rows for name, value in sums.items()}


def _validated(module: nn.Module, validate: Validate, epoch: int) -> tuple[float, dict[str, float]]:
    """The deciding validation value, and all of them by name."""
    module.eval()
    with torch.no_grad():
        result = validate(module)
    row = {k: float(v) for k, v in (result.items() if hasattr(result, "items") else [("validation", result)])}
    _require(len(row) > 0, "validate", "no value", "one number, or several by name")
    name, value = next(iter(row.items()))
    if not math.isfinite(value):
        raise DivergedError(f"epoch {epoch}, after its last batch: {name} is {value}")
    return value, row


def _copy(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all parameters and buffers that later steps do not touch."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _require(condition: bool, argument: str, got: object, expected: str) -> None:
    if not condition:
        raise InputError(argument, got=got, expected=expected)
