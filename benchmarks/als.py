"""How fast is one iteration of implicit ALS beside the library ``implicit``, in the same run?

    python benchmarks/als.py
    python benchmarks/als.py --repeats 3 --only movielens
    python benchmarks/als.py --only growth   # how the cost of one iteration grows, some minutes

Both sides run on one thread in float32 with 64 factors, from the same start, by turns. A time is the processor time
of one iteration (users and items), the median over the iterations of a fit. A ratio is the median over the
repetitions of ours divided by theirs. Processor time leaves out the waiting for other programs, but not what they do
to the caches: trust the ratios, not the milliseconds. The vectors of 10^7 entries (``--only large``, two minutes a
turn) leave the caches: there huge pages decide, which NumPy asks Linux for and torch does not. The loss is the
objective over all cells, ours over theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from time import process_time

from _timing import Row, compare, parser, peer, report, show_times, turns

# isort: split
import numpy as np
import torch
from _data import power_law
from scipy import sparse

from course_utils.data import Interactions, load_movielens
from course_utils.models.als import implicit_cg, implicit_cholesky, implicit_loss
from course_utils.models.least_squares import Rows

FACTORS, REGULARIZATION = 64, 40.0


def movielens() -> sparse.csr_array:
    """Extra confidence of the ratings of MovieLens-100K, as ``ImplicitALS`` has it by default."""
    return 1.25 * Interactions.from_frame(load_movielens().ratings).csr()


def confidence(n_users: int, n_items: int, n_entries: int) -> sparse.csr_array:
    """Random entries of extra confidence 4."""
    pairs = power_law(n_users, n_items, n_entries)
    return sparse.csr_array((np.full(n_entries, 4.0), pairs), shape=(n_users, n_items))


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
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        FACTORS, REGULARIZATION, alpha=1.0, iterations=iterations, use_cg=solver == "cg", num_threads=1
    )
    model.user_factors, model.item_factors = starts(matrix)
    whole = sparse.csr_matrix(matrix).astype(np.float32)
    whole.data += 1
    ticks = []
    model.fit(whole, show_progress=False, callback=lambda *_: ticks.append(process_time()))
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


def against_implicit(name: str, matrix: sparse.csr_array, solver: str, iterations: int, repeats: int) -> Row:
    """By turns, each side a fit from the same start; and the two losses, which must agree to a thousandth."""
    sides, last = both_sides(matrix), {}

    def side(fit: Callable, label: str, data: object) -> Callable[[], float]:
        def run() -> float:
            seconds, *last[label] = fit(data, solver, iterations)
            return seconds

        return run

    there = peer("implicit", lambda: __import__("implicit.cpu.als"))
    running = {"ours": side(lambda *rest: ours(sides, *rest), "ours", matrix)}
    if there:
        running["implicit"] = side(theirs, "implicit", matrix)
    times = turns(running, repeats, warm_up=False)
    exact = replace(sides[0], values=sides[0].values.double())
    losses = {
        label: implicit_loss(exact, *(x.double() for x in factors), REGULARIZATION) for label, factors in last.items()
    }
    question = f"implicit ALS, {'two steps of CG' if solver == 'cg' else 'exact'}, an iteration, {name}"
    show_times(question, times)
    if not there:
        return compare(times, question, "ours", "implicit")
    relative = losses["ours"] / losses["implicit"]
    assert relative < 1.001, f"our loss is {relative:.5f} of theirs"
    return compare(times, question, "ours", "implicit", note=f"loss {relative:.4f} of theirs")


def growth(shapes: list[tuple[int, int, int]], bandwidth: float) -> None:
    print("| entries | users x items | ms | ns an entry | implicit, ns an entry | gathered GB/s | of the triad |")
    print("|---|---|---|---|---|---|---|")
    for n_users, n_items, n_entries in shapes:
        matrix = confidence(n_users, n_items, n_entries)
        time = ours(both_sides(matrix), matrix, "cg", 5)[0]
        peer = theirs(matrix, "cg", 4)[0]
        # A half-step fetches a vector an entry five times: three products on entries, two CSR products.
        gathered = 2 * 5 * n_entries * FACTORS * 4 / time / 1e9
        print(
            f"| {n_entries:,} | {n_users:,} x {n_items:,} | {1e3 * time:.1f} | {1e9 * time / n_entries:.0f} "
            f"| {1e9 * peer / n_entries:.0f} | {gathered:.0f} | {gathered / bandwidth:.2f} |",
            flush=True,
        )


def show_growth() -> None:
    bandwidth, sizes = triad(), (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
    print(f"\nMemory bandwidth of one thread in this run (triad): {bandwidth:.0f} GB/s.")
    print("\nOne shape, more entries: a fixed cost for the 25,000 vectors, then time grows with the entries.\n")
    growth([(20_000, 5_000, n) for n in sizes], bandwidth)
    print("\nMore users and items too: the vectors leave the caches, and an entry costs more.\n")
    growth([(n // 50, n // 200, n) for n in sizes], bandwidth)


def main() -> None:
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--only", choices=["movielens", "power-law", "large", "growth"], help="one part alone")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    rows, name = [], "MovieLens-100K"
    if options.only == "growth":
        return show_growth()
    if options.only in (None, "movielens"):
        rows.append(against_implicit(name, movielens(), "cg", 15, options.repeats))
        rows.append(against_implicit(name, movielens(), "cholesky", 9, options.repeats))
    if options.only in (None, "power-law"):
        name, matrix = "20,000 x 5,000, 1,000,000 entries", confidence(20_000, 5_000, 1_000_000)
        repeats = min(3, options.repeats)
        rows.append(against_implicit(name, matrix, "cg", 11, repeats))
        rows.append(against_implicit(name, matrix, "cholesky", 3, repeats))
    if options.only in (None, "large"):
        name, matrix = "200,000 x 50,000, 10,000,000 entries", confidence(200_000, 50_000, 10_000_000)
        rows.append(against_implicit(name, matrix, "cg", 3, min(3, options.repeats)))
    report(rows)


if __name__ == "__main__":
    main()
