"""Cross layers: products of features of a chosen degree (floor 3)."""

from __future__ import annotations

import torch
from torch import nn

from course_utils.errors import InputError


class CrossNetwork(nn.Module):
    r"""Layers that multiply the input by a function of the last output; taught in chapter 8.

    With :math:`x_0` the input, layer l gives

    - version 1: :math:`x_{l+1} = x_0\, (x_l^\top w_l) + b_l + x_l` (Wang et al. 2017, equation 3): one number times
      :math:`x_0`, so with zero biases each output is a multiple of it;
    - version 2: :math:`x_{l+1} = x_0 \odot (W_l x_l + b_l) + x_l` (Wang et al. 2021, equation 1): one number an entry.
      With ``rank`` r, :math:`W_l = U_l V_l^\top` with two matrices of r columns (equation 2).

    After L layers the output holds products of up to L + 1 entries of the input.

    Args:
        width: length d of the input, at least 1.
        layers: number of layers L, at least 1.
        version: 1 or 2.
        rank: for version 2: columns of the two factors, at least 1; None: a full matrix.

    Attributes:
        layers: the L layers. A layer has ``weight`` and ``bias``, both ``(d,)``, in version 1; ``linear`` in version 2,
            one ``nn.Linear(d, d)``, or two with r numbers between them.

    Raises:
        InputError: an argument is out of range, or a rank stands beside version 1.
    """

    def __init__(self, width: int, layers: int, *, version: int = 2, rank: int | None = None) -> None:
        super().__init__()
        for name, value in (("width", width), ("layers", layers), ("rank", 1 if rank is None else rank)):
            if value < 1:
                raise InputError(name, got=value, expected="at least 1")
        if version not in (1, 2):
            raise InputError("version", got=version, expected="1 or 2")
        if version == 1 and rank is not None:
            raise InputError("rank", got=rank, expected="None in version 1")
        self.width = width
        made = (_Cross1(width) if version == 1 else _Cross2(width, rank) for _ in range(layers))
        self.layers = nn.ModuleList(made)

    def forward(self, x0: torch.Tensor) -> torch.Tensor:
        """The last layer's output, ``(B, d)``.

        Args:
            x0: input, ``(B, d)``.

        Raises:
            InputError: another width.
        """
        if x0.ndim != 2 or x0.shape[1] != self.width:
            raise InputError("x0", got=f"shape {tuple(x0.shape)}", expected=f"(B, {self.width})")
        x = x0
        for layer in self.layers:
            x = layer(x0, x)
        return x


class _Cross1(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.weight, std=width**-0.5)

    def forward(self, x0: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x0 * (x @ self.weight)[:, None] + self.bias + x  # (B, d)


class _Cross2(nn.Module):
    def __init__(self, width: int, rank: int | None) -> None:
        super().__init__()
        if rank is None:
            self.linear = nn.Linear(width, width)
        else:
            self.linear = nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, width))

    def forward(self, x0: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x0 * self.linear(x) + x  # (B, d)
