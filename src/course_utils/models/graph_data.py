"""Graphs made of one training part: users and items alone, or with more kinds; taught in chapter 9."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, check_counts
from course_utils.models.neighbors import similarities


def check_undirected(edge_index: torch.Tensor, n_nodes: int) -> None:
    """Refuse a list of edges that holds one twice, or one without its way back.

    Args:
        edge_index: ``(2, n_edges)``, each column one direction of an edge.
        n_nodes: number of nodes.

    Raises:
        InputError: the shape is wrong, a node is unknown, an edge stands there twice, or goes one way only.
    """
    if edge_index.ndim != 2 or len(edge_index) != 2:
        raise InputError("edge_index", got=f"shape {tuple(edge_index.shape)}", expected="shape (2, n_edges)")
    if edge_index.numel() == 0:
        return
    low, high = int(edge_index.min()), int(edge_index.max())
    if low < 0 or high >= n_nodes:
        raise InputError("edge_index", got=f"nodes {low}..{high}", expected=f"nodes in 0..{n_nodes - 1}")
    keys, counts = (edge_index[0] * n_nodes + edge_index[1]).unique(return_counts=True)  # sorted
    if (counts > 1).any():
        pair = divmod(int(keys[counts > 1][0]), n_nodes)
        got = f"{int((counts > 1).sum())} repeated edge(s), the first is {pair}"
        raise InputError("edge_index", got=got, expected="each edge once in each direction")
    back = keys % n_nodes * n_nodes + keys // n_nodes
    alone = ~torch.isin(keys, back)
    if alone.any():
        pair = divmod(int(keys[alone][0]), n_nodes)
        got = f"{int(alone.sum())} edge(s) without their way back, the first is {pair}"
        raise InputError("edge_index", got=got, expected="both directions: torch_geometric's to_undirected")


with warnings.catch_warnings():
    # As it is imported, PyG 2.8 scripts two classes that nothing here uses; torch deprecates that from 2.14 on.
    warnings.filterwarnings("ignore", r"`torch\.jit\.script` is (deprecated|not supported)", FutureWarning)
    from torch_geometric.data import Data, HeteroData

_TABLES = {"genre": "items", "occupation": "users", "region": "users"}
KINDS = ("genre", "occupation", "region", "taste", "together", "hour", "weekday")


def bipartite_graph(interactions: Interactions) -> Data:
    """Users and items as nodes, each interaction as an edge in both directions; taught in chapter 9.

    Pass the training part alone: what stands in the graph, a model has seen.

    Args:
        interactions: each pair once. Node u is user u, node ``n_users + i`` is item i.

    Returns:
        ``Data`` with ``num_nodes`` and ``edge_index`` ``(2, 2 * n_interactions)``: first the edges from users to items,
        then the same ones back. There are no features: what a node is like is learned.

    Raises:
        InputError: a pair occurs twice.
    """
    n_nodes = interactions.n_users + interactions.n_items
    there = torch.stack([interactions.users, interactions.items + interactions.n_users])
    edge_index = torch.cat([there, there.flip(0)], dim=1)
    check_undirected(edge_index, n_nodes)
    return Data(edge_index=edge_index, num_nodes=n_nodes)


def hetero_graph(
    interactions: Interactions,
    *,
    items: pd.DataFrame | None = None,
    users: pd.DataFrame | None = None,
    kinds: Sequence[str] | None = None,
    neighbors: int = 10,
) -> HeteroData:
    """Users, items, and what else is known about them, as one graph; taught in chapter 9.

    =============== =========================== ==================================================================
    kind            edges                       from
    =============== =========================== ==================================================================
    always          user ``rated`` item         ``interactions``
    ``genre``       item ``has`` genre          ``items.genres``, text such as ``"Action|Comedy"``
    ``occupation``  user ``works_as`` occupation ``users.occupation``
    ``region``      user ``lives_in`` region    the first digit of ``users.zip_code``; letters are one region, "other"
    ``taste``       user ``alike`` user         each user's nearest by the cosine of their sets of items
    ``together``    item ``alike`` item         each item's nearest by the cosine of their sets of users
    ``hour``        user ``active_at`` hour     the hours of the day (UTC) at which the user rated something
    ``weekday``     user ``active_on`` weekday  likewise the days of the week, Monday first
    =============== =========================== ==================================================================

    All but the first three come from the interactions, so nothing of a test part gets in.

    Args:
        interactions: the training part.
        items: a table with ``item_id`` and ``genres`` that covers the items.
        users: a table with ``user_id``, ``occupation`` and ``zip_code`` that covers the users.
        kinds: which of the kinds to add; all that the given tables allow when left out.
        neighbors: for ``taste`` and ``together``, how many nearest each node chooses, at least 1.

    Returns:
        ``HeteroData``: nodes ``"user"`` and ``"item"`` numbered by their codes, then the other kinds, with their
        ``names``. Each kind of edge has its way back, named ``rev_...``; no edge occurs twice.

    Raises:
        InputError: a kind is unknown, its table is missing or lacks ids, or ``neighbors`` is below 1.
    """
    kinds = _allowed(kinds, {"items": items, "users": users})
    check_counts(neighbors=neighbors)
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = interactions.n_users, interactions.n_items
    rated = interactions.csr(binary=True)
    _link(data, "user", "rated", "item", torch.stack([interactions.users, interactions.items]))
    if "genre" in kinds:
        genres = _column(items, "item_id", "genres", interactions.item_ids, "items").str.get_dummies("|")
        _name(data, "item", "has", "genre", genres.drop(columns="", errors="ignore"))  # no genre is none
    if "occupation" in kinds:
        jobs = _column(users, "user_id", "occupation", interactions.user_ids, "users")
        _name(data, "user", "works_as", "occupation", pd.get_dummies(jobs))
    if "region" in kinds:
        digit = _column(users, "user_id", "zip_code", interactions.user_ids, "users").str[0]
        _name(data, "user", "lives_in", "region", pd.get_dummies(digit.where(digit.str.isdigit(), "other")))
    if "taste" in kinds:
        _link(data, "user", "alike", "user", _nearest(rated, neighbors))
    if "together" in kinds:
        _link(data, "item", "alike", "item", _nearest(rated.T, neighbors))
    times = pd.to_datetime(pd.Series(interactions.timestamps.numpy()), unit="s")
    for kind, relation, slot, size in (
        ("hour", "active_at", times.dt.hour, 24),
        ("weekday", "active_on", times.dt.day_of_week, 7),
    ):
        if kind in kinds:
            active = np.zeros((interactions.n_users, size), bool)
            active[interactions.users.numpy(), slot.to_numpy()] = True
            _name(data, "user", relation, kind, pd.DataFrame(active))
    return data


def _allowed(kinds: Sequence[str] | None, tables: dict[str, pd.DataFrame | None]) -> Sequence[str]:
    """The wanted kinds, checked; by default those whose tables are there."""
    if kinds is None:
        return [kind for kind in KINDS if tables.get(_TABLES.get(kind), True) is not None]
    for kind in kinds:
        if kind not in KINDS:
            raise InputError("kinds", got=repr(kind), expected=f"some of {', '.join(KINDS)}")
        if kind in _TABLES and tables[_TABLES[kind]] is None:
            raise InputError(_TABLES[kind], got="no table", expected=f"the one that {kind!r} is read from")
    return kinds


def _column(table: pd.DataFrame, key: str, column: str, ids: pd.Index, name: str) -> pd.Series:
    """A column of a table in the order of the codes."""
    for wanted in (key, column):
        if wanted not in table.columns:
            raise InputError(name, got=f"columns {list(table.columns)}", expected=f"a column {wanted!r}")
    values = table.set_index(key)[column]
    if not values.index.is_unique or not ids.isin(values.index).all():
        missing = int((~ids.isin(values.index)).sum())
        raise InputError(
            name, got=f"a table that lacks {missing} id(s) or repeats one", expected="each id once"
        )
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


def _nearest(rows: object, k: int) -> torch.Tensor:
    """Edges from each row to its k nearest by cosine, and back, each once; only where something is shared."""
    best, nearest = similarities(rows).fill_diagonal_(0).topk(min(k, rows.shape[0] - 1), dim=1)
    chosen = torch.zeros(rows.shape[0], rows.shape[0], dtype=torch.bool).scatter_(1, nearest, best > 0)
    return (chosen | chosen.T).nonzero().T
