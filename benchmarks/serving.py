"""What does an answer of the service cost, and what does its index save, and lose?

    python benchmarks/serving.py [--repeats 5]

The client is this process, the service another one; each asks over the loopback, one question at a time, on the wall's
clock. Histories are those of MovieLens' users, at most 50 films. ``exact`` scores each item by the model's fold-in,
``indexed`` lets usearch choose the candidates. The large catalogue has 50,000 items whose vectors are like real ones:
each lies between a film's vector and that of one of its ten neighbours. Random vectors of the same lengths stand beside
them, for they flatter no index.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import socket
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median

from _timing import Row, compare, parser, report, show_times, turns

# isort: split
import numpy as np
import pandas as pd
import torch
import uvicorn
from torch.nn.functional import normalize

from course_utils.data import Table, load_movielens
from course_utils.evaluation import recommend_for
from course_utils.models.als import ImplicitALS
from course_utils.serving import Store, create_app
from course_utils.serving.run import QUIET

ITEMS, ASKED, LONGEST = 50_000, 30, 50
Histories = list[dict[int, float]]


@contextmanager
def served(model: ImplicitALS, table: Table, *, index: bool):
    """A call that asks a service in another process, and gives its answer."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(model, table, Store(Path(folder) / "feedback.sqlite"), index=index)
        door = socket.create_server(("127.0.0.1", 0))
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as course_utils.serving.run does
        server = uvicorn.Server(uvicorn.Config(app, timeout_keep_alive=600, **QUIET))
        process = multiprocessing.get_context("fork").Process(target=server.run, args=([door],))
        process.start()
        connection = http.client.HTTPConnection("127.0.0.1", door.getsockname()[1], timeout=60)

        def ask(history: dict[int, float], *, reasons: bool = False) -> list[dict]:
            body = {"history": [{"item": i, "rating": r} for i, r in history.items()], "reasons": reasons}
            connection.request("POST", "/recommend", json.dumps(body), {"content-type": "application/json"})
            return json.loads(connection.getresponse().read())["items"]

        try:
            yield ask
        finally:
            connection.close()
            process.terminate()
            process.join()
            door.close()


def larger(model: ImplicitALS, table: Table, histories: Histories, *, random: bool) -> tuple:
    """A catalogue of 50,000: the model, the table, and the histories in it."""
    draw, Q = torch.Generator().manual_seed(0), model.item_factors
    first = torch.randint(len(Q), (ITEMS,), generator=draw)
    near = (normalize(Q) @ normalize(Q).T).topk(11).indices[:, 1:]
    second = near[first, torch.randint(10, (ITEMS,), generator=draw)]
    made = torch.lerp(Q[first], Q[second], torch.rand(ITEMS, 1, generator=draw))
    if random:
        made = normalize(torch.randn(made.shape, generator=draw)) * made.norm(dim=1, keepdim=True)
    large = ImplicitALS(model.factors)
    large.user_factors, large.item_factors = model.user_factors, made
    items = pd.DataFrame({"item_id": np.arange(ITEMS), "title": [f"item {n}" for n in range(ITEMS)]})
    ratings = pd.DataFrame({"user_id": 0, "item_id": items["item_id"], "rating": 1.0 + items["item_id"] % 5})
    twin = {film: int((first == film - 1).nonzero()[0]) for film in {f for history in histories for f in history}}
    mapped = [{twin[film]: stars for film, stars in history.items()} for history in histories]
    return large, Table(ratings, pd.DataFrame({"user_id": [0]}), items), mapped


def rows(name: str, model: ImplicitALS, table: Table, histories: Histories, repeats: int) -> list[Row]:
    """The service with and without its index, and the same list without a service."""
    known = table.interactions()
    with served(model, table, index=False) as exact, served(model, table, index=True) as indexed:
        pairs = [({row["item"] for row in exact(h)}, {row["item"] for row in indexed(h)}) for h in histories]
        recall = mean(len(wanted & found) / len(wanted) for wanted, found in pairs)
        wanted = {row["item_id"] for _, row in recommend_for(model, known, history=histories[0]).iterrows()}
        assert wanted == pairs[0][0]

        def each(call):
            """Median seconds of a question."""

            def run() -> float:
                spent = []
                for history in histories[:ASKED]:
                    begin = time.perf_counter()
                    call(history)
                    spent.append(time.perf_counter() - begin)
                return median(spent)

            return run

        sides = {
            "indexed": each(indexed),
            "exact": each(exact),
            "exact, with reasons": each(lambda history: exact(history, reasons=True)),
            "recommend_for": each(lambda history: recommend_for(model, known, history=history)),
        }
        times = turns(sides, repeats)
    question = f"ten titles for a history, {name}"
    show_times(question, times)
    ms = {side: f"{1e3 * median(spent):.1f}" for side, spent in times.items()}
    said = f"{ms['indexed']} and {ms['exact']} ms; recall@10 {recall:.3f}"
    made = [compare(times, question, "indexed", "exact", note=said)]
    made += [compare(times, question, "exact", "recommend_for", note=f"{ms['recommend_for']} ms without a service")]
    reasons = f"{ms['exact, with reasons']} ms"
    return [*made, compare(times, question, "exact, with reasons", "exact", note=reasons)]


def main() -> None:
    arguments = parser(__doc__, repeats=5).parse_args()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    movielens = load_movielens()
    model = ImplicitALS().fit(movielens.interactions())
    groups = movielens.ratings.groupby("user_id")[["item_id", "rating"]]
    histories = [{int(i): float(r) for i, r in part.tail(LONGEST).itertuples(index=False)} for _, part in groups][:100]
    found = rows("MovieLens-100K, 1,682 items", model, movielens, histories, arguments.repeats)
    for random in (False, True):
        name = f"{ITEMS:,} items, {'random vectors' if random else 'vectors like real ones'}"
        found += rows(name, *larger(model, movielens, histories, random=random), arguments.repeats)
    report(found)


if __name__ == "__main__":
    main()
