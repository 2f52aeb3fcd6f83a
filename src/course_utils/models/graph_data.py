"""Graphs made of one training part: users and items alone, or with more kinds; taught in chapter 9."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from course_utils.data.columns import column
from course_utils.data.interactions import Interactions, check_codes
from course_utils.errors import InputError, check_choice, check_shape
from course_utils.models.neighbors import similarities

with warnings.catch_warnings():
    # As it is imported, PyG 2.8 scripts two classes that nothing here uses; torch deprecates that from 2.14 on.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is (deprecated|not supported)", FutureWarning)
    from torch_geometric.data import Data, HeteroData

Table = pd.DataFrame | None
KINDS = ("genre", "occupation", "region", "taste", "together", "hour", "weekday")


def check_undirected(edge_index: torch.Tensor, n_nodes: int) -> None:
    """Refuse edges ``(2, n_edges)`` to unknown nodes, one that stands there twice, or one without its way back."""
    check_shape(2, "n_edges", edge_index=edge_index)
    check_codes(edge_index.flatten(), n_nodes, "edge_index")
    keys, counts = (edge_index[0] * n_nodes + edge_index[1]).unique(return_counts=True)  # sorted
    back = keys % n_nodes * n_nodes + keys // n_nodes
    faults = {
        "repeated edge(s)": (counts > 1, "each edge once in each direction"),
        "edge(s) without their way back": (~torch.isin(keys, back), "both directions: torch_geometric's to_undirected"),
    }
    for fault, (wrong, expected) in faults.items():
        if wrong.any():
            first = divmod(int(keys[wrong][0]), n_nodes)
            raise InputError("edge_index", got=f"{int(wrong.sum())} {fault}, the first is {first}", expected=expected)


def bipartite_graph(interactions: Interactions) -> Data:
    """Users and items as nodes, each interaction as an edge in both directions; taught in chapter 9.

    Pass the training part alone: what stands in the graph, a model has seen. Node u is user u, node ``n_users + i`` is
    item i. ``edge_index`` is ``(2, 2 * n_interactions)``: first the edges from users to items, then the same ones back.
    """
    there = torch.stack([interactions.users, interactions.items + interactions.n_users])
    edge_index = torch.cat([there, there.flip(0)], dim=1)
    return Data(edge_index=edge_index, num_nodes=interactions.n_users + interactions.n_items)


def hetero_graph(
    interactions: Interactions, *, items: Table = None, users: Table = None, kinds: Sequence[str] | None = None
) -> HeteroData:
    """Users, items, and what else is known about them, as one graph; taught in chapter 9.

    Pass the training part alone: user ``rated`` item. The ``kinds`` add more, None all that the given tables allow:

    - ``genre``: item ``has`` genre, from the columns ``item_id`` and ``genres``, text such as ``"Action|Comedy"``.
    - ``occupation``: user ``works_as`` occupation, from the columns ``user_id`` and ``occupation``.
    - ``region``: user ``lives_in`` the first digit of ``zip_code``; letters are one region, "other".
    - ``taste``, ``together``: user ``alike`` user, item ``alike`` item, the 10 nearest by cosine of what they share.
    - ``hour``, ``weekday``: user ``active_at``, ``active_on`` a time (UTC, Monday first) at which they rated something.

    Users and items are numbered by their codes; then come nodes of the other kinds, with their ``names``. Each kind of
    edge has its way back, named ``rev_...``; no edge occurs twice. A table has each id once.
    """
    if kinds is None:
        read_from = {"genre": items, "occupation": users, "region": users}
        kinds = [kind for kind in KINDS if read_from.get(kind, interactions) is not None]
    for kind in kinds:
        check_choice(KINDS, kinds=kind)
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = interactions.n_users, interactions.n_items
    rated = interactions.csr(binary=True)
    _link(data, "user", "rated", "item", torch.stack([interactions.users, interactions.items]))
    if "genre" in kinds:
        genres = _column(items, "item_id", "genres", interactions.item_ids, "items").str.get_dummies("|")
        _name(data, "item", "has", "genre", genres.drop(columns="", errors="ignore"))  # no genre is none
    if "occupation" in kinds:
        occupation = _column(users, "user_id", "occupation", interactions.user_ids, "users")
        _name(data, "user", "works_as", "occupation", pd.get_dummies(occupation))
    if "region" in kinds:
        digit = _column(users, "user_id", "zip_code", interactions.user_ids, "users").str[0]
        _name(data, "user", "lives_in", "region", pd.get_dummies(digit.where(digit.str.isdigit(), "other")))
    if "taste" in kinds:
        _link(data, "user", "alike", "user", _nearest(rated))
    if "together" in kinds:
        _link(data, "item", "alike", "item", _nearest(rated.T))
    times = pd.to_datetime(pd.Series(interactions.timestamps.numpy()), unit="s").dt
    clocks = (("hour", "active_at", times.hour, 24), ("weekday", "active_on", times.day_of_week, 7))
    for kind, relation, slot, size in clocks:
        if kind in kinds:
            active = np.zeros((interactions.n_users, size), bool)
            active[interactions.users.numpy(), slot.to_numpy()] = True
            _name(data, "user", relation, kind, pd.DataFrame(active))
    return data


def _column(table: pd.DataFrame, key: str, name: str, ids: pd.Index, argument: str) -> pd.Series:
    """A column of a table in the order of the codes."""
    values = column(table, name, argument).set_axis(column(table, key, argument))
    missing = int((~ids.isin(values.index)).sum())
    if missing or not values.index.is_unique:
        raise InputError(argument, got=f"a table that lacks {missing} id(s) or repeats one", expected="each id once")
    return values.loc[ids].reset_index(drop=True)


def _link(data: HeteroData, start: str, relation: str, end: str, edges: torch.Tensor) -> None:
    """Add edges: between two kinds also the way back, within one kind they hold it already."""
    data[start, relation, end].edge_index = edges
    if start != end:
        data[end, f"rev_{relation}", start].edge_index = edges.flip(0)


def _name(data: HeteroData, start: str, relation: str, kind: str, table: pd.DataFrame) -> None:
    """Add one node a column of a table, and an edge to it from each row that has it."""
    data[kind].num_nodes, data[kind].names = table.shape[1], [str(name) for name in table.columns]
    _link(data, start, relation, kind, torch.from_numpy(np.stack(table.to_numpy(bool).nonzero())))


def _nearest(rows: object, k: int = 10) -> torch.Tensor:
    """Edges from each row to its k nearest by cosine, and back, each once; only where something is shared."""
    best, nearest = similarities(rows).fill_diagonal_(0).topk(min(k, rows.shape[0] - 1), dim=1)
    chosen = torch.zeros(rows.shape[0], rows.shape[0], dtype=torch.bool).scatter_(1, nearest, best > 0)
    return (chosen | chosen.T).nonzero().T
