"""How does the cost of a training step grow with users, items, interactions and factors? Chapter 16 reads the table.

    python benchmarks/growth.py                            # prints the table, some minutes
    python benchmarks/growth.py --save                     # writes results/ch16_growth.csv too: execute chapter 16 anew
    python benchmarks/growth.py --save --only LightGCN     # the other rows stay as they are

One quantity at a time is doubled twice, the others stay. A cost is the processor time of one thread: of an iteration
of ALS, of an epoch of LightGCN, of a step of DLRM. All sizes of a question run by turns; a ratio is the median over
the repetitions of a size's time divided by the time of the smallest size in the same turn. The interactions are
random: what counts here is how many there are.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import process_time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy and torch are loaded

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from torch.nn.functional import binary_cross_entropy_with_logits  # noqa: E402

from course_utils.data import Interactions  # noqa: E402
from course_utils.models.dlrm import DLRM  # noqa: E402
from course_utils.models.graph import LightGCN  # noqa: E402
from course_utils.models.least_squares import Rows, ridge  # noqa: E402

STEPS = (1, 2, 4)
ALS_BASE = {"users": 6_000, "items": 3_000, "interactions": 300_000, "factors": 32}
GRAPH_BASE = {"users": 2_000, "items": 1_000, "interactions": 100_000, "factors": 32}
DLRM_BASE = {"batch rows": 1_024, "table rows": 30_000, "embedding width": 16, "features": 8}


def random_interactions(sizes: dict[str, int]) -> Interactions:
    """So many different pairs, drawn uniformly, with ratings 1 to 5."""
    rng = np.random.default_rng(0)
    cells = rng.choice(sizes["users"] * sizes["items"], sizes["interactions"], replace=False)
    users, items = np.divmod(cells, sizes["items"])
    frame = pd.DataFrame({"user_id": users, "item_id": items, "rating": rng.integers(1, 6, len(cells)) * 1.0})
    ids = {"user_ids": np.arange(sizes["users"]), "item_ids": np.arange(sizes["items"])}
    return Interactions.from_frame(frame.assign(timestamp=0), **ids)


def als(sizes: dict[str, int]) -> Callable[[], object]:
    """One iteration: all users, then all items."""
    interactions = random_interactions(sizes)
    by_user, by_item = Rows.both_sides(interactions, interactions.ratings)
    start = 0.1 * torch.randn(sizes["items"], sizes["factors"])

    def iteration() -> None:
        other = start
        for rows in (by_user, by_item):
            penalty = 0.1 * rows.lengths[:, None].to(other.dtype).expand(-1, sizes["factors"]).clamp(min=1)
            other = ridge(rows, other, rows.values, penalty)

    return iteration


def lightgcn(sizes: dict[str, int]) -> Callable[[], object]:
    """One epoch: a step for every 2,048 interactions, each over the whole graph."""
    interactions = random_interactions(sizes)
    model = LightGCN(sizes["users"], sizes["items"], sizes["factors"])
    return lambda: model.fit(interactions, epochs=1, progress=False)


def dlrm(sizes: dict[str, int], *, sparse: bool) -> Callable[[], object]:
    """One step of SGD on a batch, with gradients of whole tables or of the rows in the batch alone."""
    width, features, rows = sizes["embedding width"], sizes["features"], sizes["batch rows"]
    model = DLRM(13, [sizes["table rows"]] * features, width, [64, width], [64, 32, 1])
    model.embeddings.sparse = sparse
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    dense, labels = torch.randn(rows, 13), torch.randint(2, (rows,)).double()
    codes = torch.randint(sizes["table rows"], (rows, features))

    def step() -> None:
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(model(dense, codes), labels).backward()
        optimizer.step()

    return lambda: [step() for _ in range(5)]


QUESTIONS = {
    "ALS, an iteration": (als, ALS_BASE),
    "LightGCN, an epoch": (lightgcn, GRAPH_BASE),
    "DLRM, a step, dense gradients": (lambda sizes: dlrm(sizes, sparse=False), DLRM_BASE),
    "DLRM, a step, sparse gradients": (lambda sizes: dlrm(sizes, sparse=True), DLRM_BASE),
}


def measure(make: Callable, base: dict[str, int], quantity: str, repeats: int) -> list[float]:
    """Cost at each size over the cost at the smallest one, the median over the repetitions."""
    calls = [make(base | {quantity: base[quantity] * step}) for step in STEPS]
    for call in calls:
        call()  # warm
    ratios = []
    for _ in range(repeats):
        spent = []
        for call in calls:
            start = process_time()
            call()
            spent.append(process_time() - start)
        ratios.append([time / spent[0] for time in spent])
    return [median(column) for column in zip(*ratios, strict=True)]


def rows(repeats: int, only: str) -> Iterator[dict[str, object]]:
    """One row a model, quantity and size."""
    for model, (make, base) in QUESTIONS.items():
        if only not in model:
            continue
        for quantity in base:
            ratios = measure(make, base, quantity, repeats)
            print(f"{model:32} {quantity:16}", *(f"{ratio:6.2f}" for ratio in ratios), flush=True)
            for step, ratio in zip(STEPS, ratios, strict=True):
                row = {"model": model, "quantity": quantity, "size": base[quantity] * step, "times": step}
                yield row | {"cost": round(ratio, 2)}


def main(repeats: int, only: str = "", *, save: bool = False) -> pd.DataFrame:
    """Measure all, or the models with ``only`` in their name; ``save`` writes results/ch16_growth.csv."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    table = pd.DataFrame(rows(repeats, only))
    if not save:
        return table
    path = Path(__file__).resolve().parents[1] / "results" / "ch16_growth.csv"
    if only and path.exists():
        old = pd.read_csv(path)
        table = pd.concat([old[~old["model"].isin(table["model"])], table])
    place = {name: number for number, name in enumerate(QUESTIONS)}
    table = table.sort_values("model", key=lambda names: names.map(place), kind="stable")
    table.to_csv(path, index=False, lineterminator="\n")
    subprocess.run([sys.executable, path.parents[1] / "experiments" / "_tables.py", path, __file__], check=True)
    print(f"results/ch16_growth.csv: {len(table)} rows")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    main(options.repeats, options.only, save=options.save)
