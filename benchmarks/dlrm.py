"""How fast is a training step of DLRM beside the usual ways to build it, in the same run?

    python benchmarks/dlrm.py                # two threads where the machine is quiet, one where it is busy
    python benchmarks/dlrm.py --threads 1 --float32

Criteo's shape: 26 categorical features of 100,000 codes each, 13 dense ones, embeddings of width 16, bottom MLP
13-512-256-64-16, top MLP 367-512-256-1, batches of 2,048, float32. Sides:

- ``bags, sparse, SGD``: facebookresearch/dlrm's construction, written here from its description: 26 EmbeddingBags with
  sparse gradients, a batched product with the lower triangle picked by two index lists, a sigmoid and the cross entropy
  of probabilities, ``torch.optim.SGD``;
- ``bags, dense, Adagrad``: the same with dense gradients and ``torch.optim.Adagrad``; ``bags, sparse, Adagrad`` too;
- ``ours, SGD`` and ``ours, Adagrad``: ``course_utils.models.dlrm.DLRM`` with one fused table and row-wise optimizers;
- ``ours, SGD, bfloat16``: the same step under autocast. It can gain only where the processor has instructions for
  bfloat16 (AVX-512 BF16 or AMX); the first lines say how fast a plain product of matrices is in each type.

The sides take turns: each repetition runs some steps of each, on the same batches. A time is the median over the
steps of a repetition: wall time, or with one thread processor time, which leaves out the waiting for other programs.
Before any timing, one step from the same weights must give all float32 sides the same loss.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from itertools import pairwise
from statistics import median
from time import perf_counter

from _timing import Times, clock, compare, parser, quiet, report, show_times, timed, turns

# isort: split
import torch
from torch import nn
from torch.nn import functional as F

from course_utils.learning.optimizers import RowwiseAdagrad
from course_utils.models.dlrm import DLRM

FEATURES, ROWS, DENSE, WIDTH, BATCH = 26, 100_000, 13, 16, 2048
BOTTOM, TOP = [512, 256, 64, WIDTH], [512, 256, 1]
LR = {"SGD": 0.1, "Adagrad": 0.01}
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # dense (B, 13), codes (B, 26), labels (B,)


class RowwiseSGD(torch.optim.Optimizer):
    """The numbers of ``torch.optim.SGD`` but for rounding; a sparse gradient is one scatter of its rows."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:
        """Make one step with the gradients at hand."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad.is_sparse:
                    rows, values = parameter.grad._indices()[0], parameter.grad._values()  # (n,), (n, D)
                    # a row that comes twice gets both
                    parameter.scatter_add_(0, rows[:, None].expand_as(values), values * -group["lr"])
                else:
                    parameter.add_(parameter.grad, alpha=-group["lr"])


class Bags(nn.Module):
    """DLRM as facebookresearch/dlrm puts it together: one EmbeddingBag a feature, probabilities out."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        made = (nn.EmbeddingBag(ROWS, WIDTH, mode="sum", sparse=sparse) for _ in range(FEATURES))
        self.tables = nn.ModuleList(made)
        self.bottom = _network([DENSE, *BOTTOM], nn.ReLU())
        vectors = FEATURES + 1
        self.top = _network([WIDTH + vectors * (vectors - 1) // 2, *TOP], nn.Sigmoid())
        self.i = torch.tensor([i for i in range(vectors) for _ in range(i)])
        self.j = torch.tensor([j for i in range(vectors) for j in range(i)])

    def forward(self, dense: torch.Tensor, offsets: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """Probabilities, ``(B,)``; offsets and indices ``(26, B)``."""
        x = self.bottom(dense)
        embedded = [table(indices[f], offsets[f]) for f, table in enumerate(self.tables)]
        vectors = torch.cat([x, *embedded], dim=1).view(len(x), -1, WIDTH)
        products = torch.bmm(vectors, vectors.transpose(1, 2))
        return self.top(torch.cat([x, products[:, self.i, self.j]], dim=1))[:, 0]


def _network(widths: list[int], last: nn.Module) -> nn.Sequential:
    layers = [part for wide, narrow in pairwise(widths) for part in (nn.Linear(wide, narrow), nn.ReLU())]
    return nn.Sequential(*layers[:-1], last)


def ours() -> DLRM:
    model = DLRM(DENSE, [ROWS] * FEATURES, WIDTH, BOTTOM, TOP)
    model.embeddings.sparse = True
    return model


def bags(weights: DLRM, sparse: bool) -> Bags:
    """The peer with our model's weights."""
    model = Bags(sparse)
    for feature, table in enumerate(model.tables):
        table.weight.data.copy_(weights.embeddings.table(feature))
    for mine, theirs in ((weights.bottom_mlp, model.bottom), (weights.top_mlp, model.top)):
        theirs.load_state_dict(mine.state_dict())
    return model


def our_step(model: DLRM, optimizer: torch.optim.Optimizer, half: bool = False) -> Callable[[Batch], float]:
    def step(batch: Batch) -> float:
        dense, codes, labels = batch
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(dense, codes)
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def their_step(model: Bags, optimizer: torch.optim.Optimizer) -> Callable[[Batch], float]:
    offsets = torch.arange(BATCH).expand(FEATURES, BATCH).contiguous()

    def step(batch: Batch) -> float:
        dense, codes, labels = batch
        loss = F.binary_cross_entropy(model(dense, offsets, codes), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def sides(with_half: bool) -> dict[str, tuple[Callable[[Batch], float], bool]]:
    """Each side's step, from the same weights; and whether it wants its codes feature by feature, (26, B)."""
    start = ours()

    def copy() -> DLRM:
        model = ours()
        model.load_state_dict(start.state_dict())
        return model

    made: dict[str, tuple[Callable[[Batch], float], bool]] = {}
    for name, sparse, kind in (
        ("bags, sparse, SGD", True, torch.optim.SGD),
        ("bags, dense, Adagrad", False, torch.optim.Adagrad),
        ("bags, sparse, Adagrad", True, torch.optim.Adagrad),
    ):
        model = bags(start, sparse)
        made[name] = their_step(model, kind(model.parameters(), lr=LR[name.split()[-1]])), True
    for name, kind in (
        ("ours, SGD", RowwiseSGD),
        ("ours, Adagrad", RowwiseAdagrad),
        ("ours, SGD, bfloat16", RowwiseSGD),
    ):
        half = "bfloat16" in name
        if half and not with_half:
            continue
        model = copy()
        optimizer = kind(model.parameters(), lr=LR[name.split(", ")[1]])
        made[name] = our_step(model, optimizer, half), False
    return made


class World:
    """Batches whose clicks depend on the dense features and on the first codes of each categorical one."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.taste = torch.randn(FEATURES, 20, generator=self.generator) / 4
        self.slope = torch.randn(DENSE, generator=self.generator) / 8

    def batch(self) -> Batch:
        """Half of the codes among the first 20, the other half anywhere."""
        shape, g = (BATCH, FEATURES), self.generator
        common = torch.rand(shape, generator=g) < 0.5
        codes = torch.where(common, torch.randint(20, shape, generator=g), torch.randint(ROWS, shape, generator=g))
        dense = torch.randn(BATCH, DENSE, generator=g).abs()
        effect = self.taste[torch.arange(FEATURES), codes.clamp(max=19)] * (codes < 20)
        logits = effect.sum(1) + dense @ self.slope - 1
        return dense, codes, (torch.rand(BATCH, generator=g) < logits.sigmoid()).float()


def measure(repeats: int, steps: int, with_half: bool) -> Times:
    """Seconds a step of each side, one median a repetition."""
    world, table = World(), sides(with_half)
    batches = [world.batch() for _ in range(steps)]
    by_feature = [(dense, codes.T.contiguous(), labels) for dense, codes, labels in batches]
    first = {name: step((by_feature if flipped else batches)[0]) for name, (step, flipped) in table.items()}
    second = {name: step((by_feature if flipped else batches)[0]) for name, (step, flipped) in table.items()}
    exact = [name for name in table if "bfloat16" not in name]
    assert max(abs(first[name] - first[exact[0]]) for name in exact) < 1e-5, first
    assert abs(second["ours, SGD"] - second["bags, sparse, SGD"]) < 1e-5, second
    watch = clock(torch.get_num_threads())

    def side(step: Callable[[Batch], float], flipped: bool) -> Callable[[], float]:
        mine = by_feature if flipped else batches
        return lambda: median(timed(step, batch, clock=watch)[1] for batch in mine)

    return turns({name: side(*how) for name, how in table.items()}, repeats, warm_up=False)


def held_out(half: bool, steps: int) -> float:
    """Log loss on 20 fresh batches after so many steps of row-wise Adagrad."""
    torch.manual_seed(0)
    model, world = ours(), World()
    step = our_step(model, RowwiseAdagrad(model.parameters(), lr=LR["Adagrad"]), half)
    for _ in range(steps):
        step(world.batch())
    total = 0.0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        for _ in range(20):
            dense, codes, labels = world.batch()
            total += F.binary_cross_entropy_with_logits(model(dense, codes).float(), labels).item()
    return total / 20


def matrix_speed(dtype: torch.dtype) -> float:
    """GFLOP/s of the largest product of the top MLP."""
    a, b = torch.randn(BATCH, 512).to(dtype), torch.randn(512, 512).to(dtype)
    best = float("inf")
    for _ in range(10):
        begin = perf_counter()
        F.linear(a, b)
        best = min(best, perf_counter() - begin)
    return 2 * BATCH * 512 * 512 / best / 1e9


def main() -> None:
    arguments = parser(__doc__, repeats=11)
    arguments.add_argument("--steps", type=int, default=5, help="steps of each side in a repetition")
    arguments.add_argument("--threads", type=int, help="two where the machine is quiet, else one")
    arguments.add_argument("--float32", action="store_true", help="leave bfloat16 out")
    arguments.add_argument("--train", type=int, default=60, help="steps before the two log losses")
    options = arguments.parse_args()
    threads = options.threads or (2 if quiet() and (os.cpu_count() or 1) > 1 else 1)
    warnings.filterwarnings("ignore", message="Sparse invariant checks")
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    speed = {dtype: matrix_speed(dtype) for dtype in (torch.float32, torch.bfloat16)}
    print("matrix product:", ", ".join(f"{s:.0f} GFLOP/s in {d}" for d, s in speed.items()))
    threads = f"{threads} thread{'s'[: threads - 1]}"
    question = "DLRM, a training step of Criteo's shape"
    times = measure(options.repeats, options.steps, not options.float32)
    show_times(f"{question}, {threads}", times)
    rows = [
        compare(times, question, *sides, note=threads)
        for sides in (
            ("ours, SGD", "bags, sparse, SGD"),
            ("ours, Adagrad", "bags, dense, Adagrad"),
            ("ours, Adagrad", "bags, sparse, Adagrad"),
        )
    ]
    if not options.float32:
        losses = [held_out(half, options.train) for half in (False, True)]
        note = f"{threads}; log loss {losses[0]:.4f} and {losses[1]:.4f} in bfloat16"
        rows.append(compare(times, question, "ours, SGD, bfloat16", "ours, SGD", note=note))
    report(rows)


if __name__ == "__main__":
    main()
