"""An optimizer that touches only the rows of a table that were in the batch."""

from collections.abc import Iterable

import torch

from course_utils.errors import check_range, refuse


class RowwiseAdagrad(torch.optim.Optimizer):
    r"""Adagrad with one running sum for each row of a table; taught in chapter 7.

    For a table with a sparse gradient (``sparse=True`` on an embedding), row r keeps the one number

    .. math:: h_r \leftarrow h_r + \tfrac1D \textstyle\sum_{t=1}^{D} g_{rt}^2, \qquad
              W_r \leftarrow W_r - \eta\, g_r / (\sqrt{h_r} + \epsilon)

    in place of D of them, and rows outside the batch are not touched (facebookresearch/dlrm, ``rwsadagrad``). All other
    parameters get the step of ``torch.optim.Adagrad``. ``lr`` is :math:`\eta`, ``eps`` :math:`\epsilon`.
    """

    def __init__(self, params: Iterable, lr: float = 0.01, eps: float = 1e-10) -> None:
        check_range("above 0", lr=lr, eps=eps)
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self) -> None:
        """Make one step with the gradients at hand; a parameter without one stays."""
        for group in self.param_groups:
            for parameter in (p for p in group["params"] if p.grad is not None):
                self._update(parameter, parameter.grad, group["lr"], group["eps"])

    def _update(self, parameter: torch.Tensor, gradient: torch.Tensor, lr: float, eps: float) -> None:
        shape, state = parameter.shape[:1] if gradient.is_sparse else parameter.shape, self.state[parameter]
        if not state:
            state["sum"] = parameter.new_zeros(shape)
        total = state["sum"]
        refuse(total.shape != shape, "gradient", gradient.layout, "the layout of the first step")
        if not gradient.is_sparse:
            total.addcmul_(gradient, gradient)
            parameter.addcdiv_(gradient, total.sqrt() + eps, value=-lr)
            return
        gradient = gradient.coalesce()  # add up a row's parts before squaring
        rows, values = gradient._indices()[0], gradient._values()  # (n,), (n, D)
        total[rows] += values.square().flatten(1).mean(1)
        column = -1, *[1] * (values.ndim - 1)  # one number a row
        step = values / (total[rows].sqrt() + eps).view(column) * -lr
        # so, and not with index_add_, which goes row by row: three times as long on the table of the benchmark
        parameter.scatter_add_(0, rows.view(column).expand_as(values), step)
