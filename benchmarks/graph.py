"""How long is an epoch of LightGCN beside RecBole's and PyTorch Geometric's, in the same run?

    python benchmarks/graph.py
    python benchmarks/graph.py --repeats 3 --recbole /tmp/recbole

RecBole's model file comes as ``_recbole.py`` says. All sides run on one thread in float32, by turns, on
the same training part of MovieLens-100K, in the same batches of 2,048 with the same negatives, one a positive, drawn
beforehand; three layers of 64 factors, Adam, BPR with a penalty on the rows before propagation. A time is the
processor time of one epoch.

- ours: the adjacency in CSR form, its product its own backward (``course_utils.models.graph``).
- RecBole: ``recbole.model.general_recommender.LightGCN``, its adjacency in COO form through autograd.
- PyG: ``torch_geometric.nn.models.LightGCN`` on ``edge_index``, a gather and a scatter an edge; and on our CSR matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import _recbole
from _timing import compare, epochs, parser, peer, report, show_times, turns

# isort: split
import torch
from torch.nn.functional import embedding
from torch_geometric.nn.models import LightGCN as Pyg

from course_utils.data import Interactions, load_movielens, splits
from course_utils.learning import negatives
from course_utils.models.graph import LightGCN, normalized_adjacency
from course_utils.models.graph_data import bipartite_graph

LAYERS, FACTORS, BATCH, PENALTY = 3, 64, 2048, 1e-4
Triples = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Step = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def triples(data: Interactions) -> list[Triples]:
    """One epoch: users, their items, and an unseen item for each."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(data), generator=generator)
    users, items = data.users[order], data.items[order]
    unseen = negatives.uniform(data, users, 1, generator=generator)[:, 0]
    return list(zip(users.split(BATCH), items.split(BATCH), unseen.split(BATCH), strict=True))


def ours(data: Interactions, dtype: torch.dtype = torch.float32) -> tuple[torch.nn.Module, Step]:
    """The loss of a step as ``LightGCN.fit`` has it."""
    model = LightGCN(data.n_users, data.n_items, FACTORS, LAYERS).to(dtype)
    adjacency = model.normalized(bipartite_graph(data).edge_index)

    def step(users: torch.Tensor, items: torch.Tensor, unseen: torch.Tensor) -> torch.Tensor:
        users, items = users[:, None], torch.stack([items, unseen], dim=1) + data.n_users
        nodes = model(adjacency)
        scores = (embedding(items, nodes) @ embedding(users, nodes).mT)[..., 0]
        return model.error(scores) + PENALTY * model.penalty(users, items)

    return model, step


def pyg(data: Interactions, *, csr: bool = False) -> tuple[torch.nn.Module, Step]:
    """PyG's model and loss; in CSR form its convolution multiplies, and needs the normalisation done before."""
    model = Pyg(data.n_users + data.n_items, FACTORS, LAYERS, normalize=not csr)
    edges = bipartite_graph(data).edge_index
    edges = normalized_adjacency(edges, model.num_nodes) if csr else edges

    def step(users: torch.Tensor, items: torch.Tensor, unseen: torch.Tensor) -> torch.Tensor:
        items, unseen = items + data.n_users, unseen + data.n_users
        nodes = model.get_embedding(edges)
        ranks = [(nodes[users] * nodes[other]).sum(-1) for other in (items, unseen)]
        return model.recommendation_loss(*ranks, node_id=torch.cat([users, items, unseen]), lambda_reg=PENALTY)

    return model, step


def recbole(data: Interactions, folder: Path) -> tuple[torch.nn.Module, Step]:
    """RecBole's own class, fed with what it asks of a data set."""

    class DataSet:
        def num(self, field: str) -> int:
            return data.n_users if field == "user" else data.n_items

        def inter_matrix(self, form: str) -> object:
            return data.csr(binary=True).asformat(form)

    config = {
        **{"USER_ID_FIELD": "user", "ITEM_ID_FIELD": "item", "NEG_PREFIX": "neg_", "device": "cpu"},
        **{"embedding_size": FACTORS, "n_layers": LAYERS, "reg_weight": PENALTY, "require_pow": False},
    }
    model = _recbole.model("LightGCN", folder)(config, DataSet())
    return model, lambda users, items, unseen: model.calculate_loss({"user": users, "item": items, "neg_item": unseen})


def main() -> None:
    """Train all sides by turns, an epoch at a time."""
    arguments = parser(__doc__, repeats=4)
    arguments.add_argument("--recbole", type=Path, default=_recbole.FOLDER, help="folder with RecBole's package")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    movielens = load_movielens()
    data = movielens.interactions(splits.random_split(movielens.ratings, seed=0)[0])
    batches = triples(data)
    sides = {
        "ours": ours(data),
        "ours, float64": ours(data, torch.float64),
        "PyG, edge_index": pyg(data),
        "PyG, CSR": pyg(data, csr=True),
    }
    if theirs := peer("RecBole", lambda: recbole(data, options.recbole)):
        sides["RecBole"] = theirs
    running = {
        name: epochs(torch.optim.Adam(model.parameters(), lr=0.005), step, batches).__next__
        for name, (model, step) in sides.items()
    }
    question = "LightGCN, an epoch, MovieLens-100K"
    times = turns(running, options.repeats)
    show_times(question, times)
    report([compare(times, question, "ours", name) for name in ("RecBole", "PyG, edge_index", "PyG, CSR")])


if __name__ == "__main__":
    main()
