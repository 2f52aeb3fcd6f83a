"""How fast is one iteration of implicit ALS beside the library ``implicit``, in the same run?

    python benchmarks/als.py                 # all questions, some minutes
    python benchmarks/als.py --repeats 3 --only movielens

Both sides run on one thread in float32 with 64 factors, from the same start, by turns. A time is the processor time
of one iteration (users and items), the median over the iterations of a fit. A ratio is the median over the
repetitions of ours divided by theirs. Processor time leaves out the waiting for other programs, but not what they do
to the caches: trust the ratios, not the milliseconds. The loss is the objective over all cells, ours over theirs.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from statistics import median
from time import process_time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy and torch are loaded

import numpy as np  # noqa: E402
import torch  # noqa: E402
from implicit.cpu.als import AlternatingLeastSquares  # noqa: E402
from scipy import sparse  # noqa: E402

from course_utils.data import load_movielens  # noqa: E402
from course_utils.implicit_als import implicit_cg, implicit_cholesky, implicit_loss  # noqa: E402
from course_utils.interactions import Interactions  # noqa: E402
from course_utils.least_squares import Rows  # noqa: E402

FACTORS, REGULARIZATION = 64, 40.0


def movielens() -> sparse.csr_array:
    """Extra confidence of the ratings of MovieLens-100K, as ``ImplicitALS`` has it by default."""
    return 1.25 * Interactions.from_frame(load_movielens().ratings).csr()


def power_law(n_users: int, n_items: int, n_entries: int, seed: int = 0) -> sparse.csr_array:
    """Random entries of extra confidence 4; activity and popularity fall like a power of the rank."""
    rng = np.random.default_rng(seed)
    found = np.empty(0, np.int64)
    while len(found) < n_entries:  # popular cells come up twice: draw until enough different ones are there
        codes = []
        for size, power in ((n_users, 0.7), (n_items, 0.9)):
            weight = (np.arange(size) + 10.0) ** -power
            codes.append(rng.choice(size, n_entries, p=weight / weight.sum()))
        found = np.unique(np.concatenate([found, codes[0] * n_items + codes[1]]))
    users, items = np.divmod(rng.permutation(found)[:n_entries], n_items)
    users, items = rng.permutation(n_users)[users], rng.permutation(n_items)[items]
    return sparse.csr_array((np.full(n_entries, 4.0), (users, items)), shape=(n_users, n_items))


def both_sides(matrix: sparse.csr_array) -> tuple[Rows, Rows]:
    users, items = (torch.from_numpy(x.astype(np.int64)) for x in matrix.nonzero())
    values = torch.from_numpy(matrix.data).float()
    n_users, n_items = matrix.shape
    by_user = Rows.from_entries(users, items, values, n_users, n_items)
    return by_user, Rows.from_entries(items, users, values, n_items, n_users)


def starts(matrix: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(0.01 * rng.random((n, FACTORS), dtype=np.float32) for n in matrix.shape)


def ours(sides: tuple[Rows, Rows], matrix: sparse.csr_array, solver: str, iterations: int) -> tuple:
    X, Y = (torch.from_numpy(x) for x in starts(matrix))
    by_user, by_item = sides
    times = []
    for _ in range(iterations):
        begin = process_time()
        if solver == "cg":
            X = implicit_cg(by_user, X, Y, REGULARIZATION, 2)
            Y = implicit_cg(by_item, Y, X, REGULARIZATION, 2)
        else:
            X = implicit_cholesky(by_user, Y, REGULARIZATION)
            Y = implicit_cholesky(by_item, X, REGULARIZATION)
        times.append(process_time() - begin)
    return median(times), X, Y


def theirs(matrix: sparse.csr_array, solver: str, iterations: int) -> tuple:
    model = AlternatingLeastSquares(
        FACTORS, REGULARIZATION, alpha=1.0, iterations=iterations, use_cg=solver == "cg", num_threads=1
    )
    model.user_factors, model.item_factors = starts(matrix)
    confidence = sparse.csr_matrix(matrix).astype(np.float32)
    confidence.data += 1
    ticks = []
    model.fit(confidence, show_progress=False, callback=lambda *_: ticks.append(process_time()))
    return median(np.diff(ticks)), torch.from_numpy(model.user_factors), torch.from_numpy(model.item_factors)


def triad() -> float:
    """Memory bandwidth in GB/s: the fastest of several ``a = b + 2 c`` over arrays far larger than the caches."""
    a, b, c = (torch.ones(2**26) for _ in range(3))
    best = float("inf")
    for _ in range(7):
        begin = process_time()
        torch.add(b, c, alpha=2, out=a)
        best = min(best, process_time() - begin)
    return 3 * a.nbytes / best / 1e9


def against_implicit(name: str, matrix: sparse.csr_array, solver: str, iterations: int, repeats: int) -> None:
    sides = both_sides(matrix)
    mine, peer, ratios = [], [], []
    for _ in range(repeats):
        a, X, Y = ours(sides, matrix, solver, iterations)
        b, U, V = theirs(matrix, solver, iterations)
        mine.append(a)
        peer.append(b)
        ratios.append(a / b)
    exact = replace(sides[0], values=sides[0].values.double())
    losses = [implicit_loss(exact, x.double(), y.double(), REGULARIZATION) for x, y in ((X, Y), (U, V))]
    print(
        f"| {name}, {solver} | {1e3 * median(mine):.1f} | {1e3 * median(peer):.1f} | {median(ratios):.2f} "
        f"| {min(ratios):.2f} to {max(ratios):.2f} | {losses[0] / losses[1]:.5f} |",
        flush=True,
    )


def growth(shapes: list[tuple[int, int, int]], bandwidth: float) -> None:
    print(
        "| entries | users x items | ms | ns an entry | implicit, ns an entry | gathered GB/s | of the triad |"
    )
    print("|---|---|---|---|---|---|---|")
    for n_users, n_items, n_entries in shapes:
        matrix = power_law(n_users, n_items, n_entries)
        time = ours(both_sides(matrix), matrix, "cg", 5)[0]
        peer = theirs(matrix, "cg", 4)[0]
        # A half-step fetches a vector an entry five times: three products on entries, two CSR products.
        gathered = 2 * 5 * n_entries * FACTORS * 4 / time / 1e9
        print(
            f"| {n_entries:,} | {n_users:,} x {n_items:,} | {1e3 * time:.1f} | {1e9 * time / n_entries:.0f} "
            f"| {1e9 * peer / n_entries:.0f} | {gathered:.0f} | {gathered / bandwidth:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="repetitions of each comparison")
    parser.add_argument("--only", choices=["movielens", "power-law", "growth"], help="one part alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    if options.only != "growth":
        print("| matrix, solver | ours, ms | implicit, ms | ratio | range | loss, ours / theirs |")
        print("|---|---|---|---|---|---|")
    if options.only in (None, "movielens"):
        for solver in ("cg", "cholesky"):
            against_implicit("MovieLens-100K", movielens(), solver, 15, options.repeats)
    if options.only in (None, "power-law"):
        matrix = power_law(20_000, 5_000, 1_000_000)
        against_implicit("20,000 x 5,000, 10^6 entries", matrix, "cg", 15, options.repeats)
        against_implicit("20,000 x 5,000, 10^6 entries", matrix, "cholesky", 3, min(3, options.repeats))
    if options.only in (None, "growth"):
        bandwidth, sizes = triad(), (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
        print(f"\nMemory bandwidth of one thread in this run (triad): {bandwidth:.0f} GB/s.")
        print(
            "\nOne shape, more entries: a fixed cost for the 25,000 vectors, then time grows with the entries.\n"
        )
        growth([(20_000, 5_000, n) for n in sizes], bandwidth)
        print("\nMore users and items too: the vectors leave the caches, and an entry costs more.\n")
        growth([(n // 50, n // 200, n) for n in sizes], bandwidth)


if __name__ == "__main__":
    main()
