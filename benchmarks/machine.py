"""How much of what one thread of the machine can do do ALS, LightGCN and DLRM take? Bytes and flops by formula.

    python benchmarks/machine.py

A row's ratio is the time of the machine's best over ours, so it is a share: 1 is all that the machine gives. The best
is a copy, as STREAM has it, for what waits for bytes, and ``torch.mm`` for what multiplies matrices. Both run by turns
with our code, float32, processor time. What is counted:

- ALS, an iteration of two steps of CG: five times a half-step, each entry fetches one vector. The copy is one of
  memory. Of 10^7 entries the vectors have 64 MB, which the caches do not hold.
- LightGCN, a step on MovieLens-100K: forwards and backwards, each entry of the adjacency fetches a vector and its own
  place and value in each layer, and each layer is written; Adam reads four arrays as large as the table and writes
  three. All of it fits a cache, so the copy is one of arrays as large as the table.
- DLRM, a step of SGD on one thread: the products of both networks, forwards and for two gradients (the first layer has
  one), and those of the vectors with each other. The product is one of matrices 2,048 x 2,048.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from _timing import Row, compare, parser, report, show_times, stopwatch, timed, turns

# isort: split
import als
import dlrm
import graph
import torch

from course_utils.data import load_movielens, splits
from course_utils.learning.optimizers import RowwiseSGD
from course_utils.models.graph_data import bipartite_graph

LARGE, SIDE = 2**28, 2048


def copying(size: int, n_bytes: float) -> Callable[[], float]:
    """Seconds to copy so many bytes, read and written, between two arrays of ``size`` bytes."""
    source, target, rounds = torch.ones(size // 4), torch.ones(size // 4), -(-LARGE // size)
    moved = 2 * source.nbytes * rounds
    return lambda: timed(lambda: [target.copy_(source) for _ in range(rounds)])[1] * n_bytes / moved


def multiplying(flops: float) -> Callable[[], float]:
    """Seconds for so many flops in a product of two large matrices."""
    a, b, out = (torch.randn(SIDE, SIDE) for _ in range(3))
    return lambda: timed(lambda: torch.mm(a, b, out=out))[1] * flops / (2 * SIDE**3)


def share(name: str, limit: str, best: Callable, ours: Callable, work: float, unit: str, repeats: int) -> Row:
    """The row of one model; ``work`` is in bytes or flops."""
    times = turns({limit: best, name: ours}, repeats)
    show_times(name, times)
    here, there = (work / sorted(times[side])[repeats // 2] / 1e9 for side in (name, limit))
    question = "share of what one thread of the machine can do, 1 is all"
    return compare(times, question, limit, name, note=f"{here:.0f} of {there:.0f} {unit}")


def als_row(repeats: int, n_entries: int) -> Row:
    """An iteration with vectors that leave the caches."""
    matrix = als.confidence(n_entries // 50, n_entries // 200, n_entries)
    sides = als.both_sides(matrix)
    work = 2 * 5 * n_entries * als.FACTORS * 4
    name = f"implicit ALS, an iteration, {n_entries:,} entries"
    return share(
        name,
        "a copy of as many bytes",
        copying(LARGE, work),
        lambda: als.ours(sides, matrix, "cg", 1)[0],
        work,
        "GB/s",
        min(3, repeats),
    )


def lightgcn_row(repeats: int) -> Row:
    """An epoch: forwards, backwards and Adam, a step a batch."""
    movielens = load_movielens()
    data = movielens.interactions(splits.random_split(movielens.ratings, seed=0)[0])
    batches, (net, step) = graph.triples(data), graph.ours(data)
    running = graph.epochs(torch.optim.Adam(net.parameters(), lr=0.005), step, batches)
    table = 4 * graph.FACTORS * (data.n_users + data.n_items)
    entries = bipartite_graph(data).edge_index.shape[1]
    product = entries * (4 * graph.FACTORS + 8) + table
    work = len(batches) * (2 * graph.LAYERS * product + 7 * table)
    name = "LightGCN, an epoch, MovieLens-100K"
    limit = f"a copy of as many bytes in arrays of {table / 1e6:.1f} MB"
    return share(name, limit, copying(table, work), running.__next__, work, "GB/s", repeats)


def dlrm_row(repeats: int) -> Row:
    """A step on Criteo's shape."""
    net, vectors = dlrm.ours(), dlrm.FEATURES + 1
    step = dlrm.our_step(net, RowwiseSGD(net.parameters(), lr=dlrm.LR["SGD"]))
    batches = [dlrm.World().batch() for _ in range(3)]
    bottom = [dlrm.DENSE, *dlrm.BOTTOM]
    top = [dlrm.WIDTH + vectors * (vectors - 1) // 2, *dlrm.TOP]
    weights = sum(a * b for layers in (bottom, top) for a, b in pairwise(layers))
    work = 2 * dlrm.BATCH * (3 * (weights + vectors**2 * dlrm.WIDTH) - bottom[0] * bottom[1])

    def ours() -> float:
        return stopwatch(lambda: [step(batch) for batch in batches])() / len(batches)

    name = "DLRM, a training step of Criteo's shape"
    return share(name, "torch.mm of as many flops", multiplying(work), ours, work, "GFLOP/s", repeats)


def main() -> None:
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--entries", type=int, default=10_000_000, help="of ALS")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    rows = [als_row(options.repeats, options.entries), lightgcn_row(options.repeats), dlrm_row(options.repeats)]
    report(rows)


if __name__ == "__main__":
    main()
