"""Optimizers that touch only the rows of a table that were in the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from course_utils.errors import InputError


class RowwiseSGD(torch.optim.Optimizer):
    r"""Plain gradient steps, :math:`\theta \leftarrow \theta - \eta\, g`; taught in chapter 7.

    The same numbers as ``torch.optim.SGD``. For a table with a sparse gradient (``sparse=True`` on an embedding), the
    step is one scatter of the looked-up rows: its price grows with the batch, not with the table.

    Args:
        params: parameters, or groups of them, as for any optimizer.
        lr: step size :math:`\eta`, above 0.

    Raises:
        InputError: the step size is not above 0.
    """

    def __init__(self, params: Iterable, lr: float) -> None:
        super().__init__(params, {"lr": _above_zero(lr)})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step with the gradients at hand; a parameter without one stays."""
        loss = _evaluate(closure)
        for parameter, lr in _with_gradient(self):
            if parameter.grad.is_sparse:
                rows, values = parameter.grad._indices()[0], parameter.grad._values()
                _add_rows(parameter, rows, values * -lr)  # a row that comes twice gets both
            else:
                parameter.add_(parameter.grad, alpha=-lr)
        return loss


class RowwiseAdagrad(torch.optim.Optimizer):
    r"""Adagrad with one running sum for each row of a table; taught in chapter 7.

    Adagrad divides a step by the root of the sum of all squared gradients so far: rows that come often make smaller
    steps. For a table with a sparse gradient, row r keeps the one number

    .. math:: h_r \leftarrow h_r + \tfrac1D \textstyle\sum_{t=1}^{D} g_{rt}^2, \qquad
              W_r \leftarrow W_r - \eta\, g_r / (\sqrt{h_r} + \epsilon)

    in place of D of them, and rows outside the batch are not touched. All other parameters get the step of
    ``torch.optim.Adagrad``, one sum an entry. So do the tables of facebookresearch/dlrm by its option ``rwsadagrad``.

    Args:
        params: parameters, or groups of them.
        lr: step size :math:`\eta`, above 0.
        eps: :math:`\epsilon`, above 0.

    Raises:
        InputError: a number is not above 0, or a table's gradient is sparse now and was dense before, or the reverse.
    """

    def __init__(self, params: Iterable, lr: float = 0.01, eps: float = 1e-10) -> None:
        super().__init__(params, {"lr": _above_zero(lr), "eps": _above_zero(eps, "eps")})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step with the gradients at hand; a parameter without one stays."""
        loss = _evaluate(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group["lr"], group["eps"])
        return loss

    def _update(self, parameter: torch.Tensor, lr: float, eps: float) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        shape = parameter.shape[:1] if gradient.is_sparse else parameter.shape
        if not state:
            state["sum"] = parameter.new_zeros(shape)
        total = state["sum"]
        if total.shape != shape:
            kind = "sparse" if gradient.is_sparse else "dense"
            raise InputError("gradient", got=f"a {kind} one", expected="the kind of the first step")
        if gradient.is_sparse:
            gradient = gradient.coalesce()  # add up a row's parts before squaring
            rows, values = gradient._indices()[0], gradient._values()  # (n,), (n, D)
            total.index_put_((rows,), values.square().flatten(1).mean(1), accumulate=True)
            scale = (total[rows].sqrt_() + eps).view(-1, *[1] * (values.ndim - 1))
            _add_rows(parameter, rows, values / scale * -lr)
        else:
            total.addcmul_(gradient, gradient)
            parameter.addcdiv_(gradient, total.sqrt() + eps, value=-lr)


def _add_rows(table: torch.Tensor, rows: torch.Tensor, values: torch.Tensor) -> None:
    """``table[rows] += values``, also for rows that come more than once.

    With an expanded index ``scatter_add_`` sorts the rows and adds each run of them at once; ``index_add_`` and the
    sum of a dense and a sparse tensor go row by row and took three times as long on the table of the benchmark.
    """
    index = rows.view(-1, *[1] * (values.ndim - 1)).expand_as(values)
    table.scatter_add_(0, index, values)


def _with_gradient(optimizer: torch.optim.Optimizer) -> Iterable[tuple[torch.Tensor, float]]:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield parameter, group["lr"]


def _evaluate(closure: Callable[[], float] | None) -> float | None:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _above_zero(value: float, name: str = "lr") -> float:
    if not value > 0:
        raise InputError(name, got=value, expected="a number above 0")
    return value
