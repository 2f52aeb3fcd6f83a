# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 3. Deep and graph models
#
# Chapters 7 to 9: tables and pairs, click models and what judges them, messages over a graph. The numbers are yours
# alone: they come from your student number. Give each answer to three decimals or more, or hand over the number as it
# was computed. Hand in this notebook. It is run from top to bottom, and each question is judged by itself.

# %% tags=["bootstrap"]

# %%
from types import SimpleNamespace

import numpy as np

import course_utils

course_utils.setup()
STUDENT = None  # your student number, digits alone


# %% tags=["numbers"]
def numbers(student):
    """All that is asked below, drawn for one student number. Leave this cell as it is."""
    own = SimpleNamespace()

    rng = np.random.default_rng([3, 1, int(student)])
    own.rows = rng.integers(-5, 10, (6, 3)).astype(float)  # a table of six codes
    own.codes, own.code_weights = rng.permutation(6)[:3], rng.choice([0.5, 1.0, 1.5, 2.0], 3)
    own.cardinalities, own.feature, own.code = (
        rng.integers(5, 40, 4).tolist(),
        int(rng.integers(1, 4)),
        int(rng.integers(5)),
    )

    rng = np.random.default_rng([3, 2, int(student)])
    own.dense, own.embedded = rng.integers(-2, 4, 2).astype(float), rng.integers(-2, 4, (3, 2)).astype(float)
    own.features, own.width = int(rng.integers(8, 30)), int(rng.choice([8, 16, 32]))

    rng = np.random.default_rng([3, 3, int(student)])
    own.values, own.buckets = int(rng.integers(300, 900)), int(rng.integers(1000, 3000))

    rng = np.random.default_rng([3, 4, int(student)])
    own.x0, own.w, own.W = rng.normal(size=3).round(2), rng.normal(size=3).round(2), rng.normal(size=(3, 3)).round(2)

    rng = np.random.default_rng([3, 5, int(student)])
    own.labels = rng.permutation([1] * 9 + [0] * 15).astype(float)
    while True:
        own.logits = (3 * (own.labels - 0.4) + rng.normal(size=24) * 2.4).round(2)
        if 12 <= (own.logits[own.labels == 1][:, None] < own.logits[own.labels == 0]).sum() <= 50:  # of 135 pairs
            break

    rng = np.random.default_rng([3, 6, int(student)])
    while True:
        own.links = (rng.random((4, 5)) < 0.55).astype(float)  # a row a user, a column a film
        if (own.links.sum(axis=0) > 0).all() and (own.links.sum(axis=1) > 0).all():
            break
    own.start = rng.normal(size=(9, 2)).round(2)  # a vector a node, users first

    own.split_seed = int(np.random.default_rng([3, 7, int(student)]).integers(10, 10_000))
    return own


# %%
if STUDENT is None:
    raise ValueError("put your student number into the cell above")
mine = numbers(STUDENT)

# %% [markdown]
# ## 1. A bag of codes (3 points)
#
# `mine.rows` is an embedding table. Pool the codes `mine.codes` with the weights `mine.code_weights` by sum:
# `pooled`. What is the mean of the same rows without weights, `averaged`? And four features with `mine.cardinalities`
# codes share one fused table: in which row, counted from 0, stands code `mine.code` of feature `mine.feature` (also
# counted from 0), `place`?

# %% tags=["solution"]
pooled = mine.code_weights @ mine.rows[mine.codes]  # SOLUTION
averaged = mine.rows[mine.codes].mean(axis=0)  # SOLUTION
place = sum(mine.cardinalities[: mine.feature]) + mine.code  # SOLUTION


# %% tags=["hidden"]
def bag(student, mode, weights=None):
    import torch

    own = numbers(student)
    layer = torch.nn.EmbeddingBag.from_pretrained(torch.tensor(own.rows), mode=mode)
    weights = None if weights is None else torch.tensor(own.code_weights)
    return layer(torch.tensor(own.codes), torch.tensor([0]), per_sample_weights=weights)[0]


def test_pooled(STUDENT, pooled):
    same(pooled, bag(STUDENT, "sum", weights=True))


def test_averaged(STUDENT, averaged):
    same(averaged, bag(STUDENT, "mean"))


def test_place(STUDENT, place):
    own = numbers(STUDENT)
    same(place, np.cumsum([0, *own.cardinalities])[own.feature] + own.code)


# %% [markdown]
# ## 2. The interaction (2 points)
#
# The dense vector is `mine.dense`, the embeddings are the rows of `mine.embedded`. Give `z`, the input of DLRM's top
# MLP, in the order of section 7.5. And how wide is it, `input_width`, for `mine.features` categorical features and a
# dense side, all of width `mine.width`?

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
vectors = np.vstack([mine.dense, mine.embedded])
pairs = [vectors[i] @ vectors[j] for i in range(4) for j in range(i)]
# END SOLUTION
z = np.append(mine.dense, pairs)  # SOLUTION
input_width = mine.width + mine.features * (mine.features + 1) // 2  # SOLUTION


# %% tags=["hidden"]
def test_z(STUDENT, z):
    import torch

    from course_utils.models.dlrm import DotInteraction

    own = numbers(STUDENT)
    made = DotInteraction(4, 2)(torch.tensor(own.dense)[None], torch.tensor(own.embedded)[None])
    same(z, made[0])


def test_input_width(STUDENT, input_width):
    own = numbers(STUDENT)
    vectors = range(own.features + 1)
    same(input_width, own.width + sum(i > j for i in vectors for j in vectors))


# %% [markdown]
# ## 3. Collisions (1 point)
#
# `mine.values` values are hashed into `mine.buckets` buckets. With which probability does a value share its bucket,
# `shares`?

# %% tags=["solution"]
shares = 1 - (1 - 1 / mine.buckets) ** (mine.values - 1)  # SOLUTION


# %% tags=["hidden"]
def test_shares(STUDENT, shares):
    from scipy.stats import binom

    own = numbers(STUDENT)
    same(shares, 1 - binom.pmf(0, own.values - 1, 1 / own.buckets), within=2e-4)


# %% [markdown]
# ## 4. Cross layers (2 points)
#
# Without biases: the output of *two* layers of version 1, both with the vector `mine.w`, from `mine.x0`:
# `crossed_v1`. And of two layers of version 2, both with the matrix `mine.W`: `crossed_v2`.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
first = mine.x0 * (mine.x0 @ mine.w) + mine.x0
second = mine.x0 * (mine.W @ mine.x0) + mine.x0
# END SOLUTION
crossed_v1 = mine.x0 * (first @ mine.w) + first  # SOLUTION
crossed_v2 = mine.x0 * (mine.W @ second) + second  # SOLUTION


# %% tags=["hidden"]
def crossed(student, version):
    import torch

    from course_utils.models.dlrm import CrossNetwork

    own, network = numbers(student), CrossNetwork(3, 2, version=version)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for layer in network.layers:
            target, given = (layer.weight, own.w) if version == 1 else (layer.linear.weight, own.W)
            target.copy_(torch.tensor(given).reshape(target.shape))
        return network(torch.tensor(own.x0)[None])[0]


def test_crossed_v1(STUDENT, crossed_v1):
    same(crossed_v1, crossed(STUDENT, 1))


def test_crossed_v2(STUDENT, crossed_v2):
    same(crossed_v2, crossed(STUDENT, 2))


# %% [markdown]
# ## 5. What the measures say (4 points)
#
# `mine.logits` and `mine.labels` are of 24 rows. Give `log_loss`, `entropy` (the normalised entropy), `auc`, and the
# `scale` by which all logits have to be multiplied for the least log loss on these rows.


# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
def loss_at(factor):
    p = 1 / (1 + np.exp(-factor * mine.logits))
    return -(mine.labels * np.log(p) + (1 - mine.labels) * np.log(1 - p)).mean()


share = mine.labels.mean()
yes, no = mine.logits[mine.labels == 1][:, None], mine.logits[mine.labels == 0]
factors = np.linspace(0.01, 3, 30_000)
# END SOLUTION
log_loss = loss_at(1)  # SOLUTION
entropy = log_loss / -(share * np.log(share) + (1 - share) * np.log(1 - share))  # SOLUTION
auc = ((yes > no) + 0.5 * (yes == no)).mean()  # SOLUTION
scale = factors[np.argmin([loss_at(factor) for factor in factors])]  # SOLUTION


# %% tags=["hidden"]
def of_the_rows(student, name):
    import torch

    from course_utils.evaluation import metrics

    own = numbers(student)
    return getattr(metrics, name)(torch.tensor(own.logits), torch.tensor(own.labels))


def test_log_loss(STUDENT, log_loss):
    same(log_loss, of_the_rows(STUDENT, "log_loss"))


def test_entropy(STUDENT, entropy):
    same(entropy, of_the_rows(STUDENT, "normalized_entropy"))


def test_auc(STUDENT, auc):
    same(auc, of_the_rows(STUDENT, "auc"))


def test_scale(STUDENT, scale):
    from scipy.optimize import brentq

    own = numbers(STUDENT)
    slope = lambda a: own.logits @ (1 / (1 + np.exp(-a * own.logits)) - own.labels)  # noqa: E731
    same(scale, brentq(slope, 1e-3, 20), within=2e-3)


# %% [markdown]
# ## 6. Messages (3 points)
#
# `mine.links` joins users and films. Give the `weights` of the edges, the block of users and films of the normalised
# adjacency matrix, and `three_hops`, for each user and film the weight of all paths of three edges. Then write
# `lightgcn(start, links, layers)`: the mean of layers 0 to `layers`, a row a node, users first.

# %% tags=["solution"]
weights = mine.links / np.sqrt(np.outer(mine.links.sum(axis=1), mine.links.sum(axis=0)))  # SOLUTION
three_hops = weights @ weights.T @ weights  # SOLUTION


def lightgcn(start, links, layers):
    # BEGIN SOLUTION
    block = links / np.sqrt(np.outer(links.sum(axis=1), links.sum(axis=0)))
    users = len(links)
    kept = [np.asarray(start, dtype=float)]
    for _ in range(layers):
        kept.append(np.vstack([block @ kept[-1][users:], block.T @ kept[-1][:users]]))
    return np.mean(kept, axis=0)
    # END SOLUTION


# %% tags=["hidden"]
def adjacency(links):
    import torch

    from course_utils.models.graph import normalized_adjacency

    users, films = np.nonzero(links)
    there = torch.tensor(np.stack([users, films + len(links)]))
    return normalized_adjacency(torch.cat([there, there.flip(0)], dim=1), sum(links.shape), dtype=torch.float64)


def test_weights(STUDENT, weights):
    same(weights, adjacency(numbers(STUDENT).links).to_dense()[:4, 4:])


def test_three_hops(STUDENT, three_hops):
    whole = adjacency(numbers(STUDENT).links).to_dense()
    same(three_hops, (whole @ whole @ whole)[:4, 4:])


def test_lightgcn(STUDENT, lightgcn):
    import torch

    from course_utils.models.graph import propagate

    own = numbers(STUDENT)
    for layers in (0, 1, 3):
        wanted = propagate(torch.tensor(own.start), adjacency(own.links), [1 / (layers + 1)] * (layers + 1))
        same(lightgcn(own.start, own.links, layers), wanted)


# %% [markdown]
# ## 7. A graph that nobody trained (3 points)
#
# Split MovieLens-100K with `splits.random_split(ratings, seed=mine.split_seed)`. Score all films by the paths of
# three edges over the *training* part, mask what was seen, and give NDCG@10 on the test part, `paths_ndcg`. Then
# build the graph of *all* ratings instead, a leak, mask the training part as before, and give what the number
# becomes, `leaked_ndcg`.

# %% tags=["solution"]
from course_utils.data import load_movielens, splits

movielens = load_movielens()
# BEGIN SOLUTION NO PROMPT
import torch

from course_utils import ranking
from course_utils.evaluation import metrics

train, test = map(movielens.interactions, splits.random_split(movielens.ratings, seed=mine.split_seed))


def by_paths(known):
    links = known.double()
    block = links / (links.sum(1, keepdim=True).clamp(min=1) * links.sum(0).clamp(min=1)).sqrt()
    scores = (block @ block.T @ block).masked_fill(train.mask(), -torch.inf)
    return metrics.ndcg_at_k(ranking.top_k(scores, 10), test.mask(), 10).nanmean().item()


# END SOLUTION
paths_ndcg = by_paths(train.mask())  # SOLUTION
leaked_ndcg = by_paths(train.mask() | test.mask())  # SOLUTION


# %% tags=["hidden"]
def over_graph(student, leak):
    """By the package's graph and protocol: a recommender of fixed vectors."""
    import torch

    from course_utils.data import load_movielens, splits
    from course_utils.evaluation import measure_lists
    from course_utils.models.graph import normalized_adjacency
    from course_utils.models.graph_data import bipartite_graph

    movielens = load_movielens()
    train, test = map(movielens.interactions, splits.random_split(movielens.ratings, seed=numbers(student).split_seed))
    graph = bipartite_graph(movielens.interactions(movielens.ratings) if leak else train)
    block = (
        normalized_adjacency(graph.edge_index, graph.num_nodes).to_dense()[: train.n_users, train.n_users :].double()
    )
    scores = block @ (block.T @ block)

    class Paths:
        def score(self, users):
            return scores[users]

    return measure_lists(Paths(), train, test)["ndcg@10"]


def test_paths_ndcg(STUDENT, paths_ndcg):
    same(paths_ndcg, over_graph(STUDENT, leak=False), within=5e-4)


def test_leaked_ndcg(STUDENT, leaked_ndcg):
    same(leaked_ndcg, over_graph(STUDENT, leak=True), within=5e-4)
