# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 4. Learning to rank
#
# Chapters 10 and 11: what a loss pushes, and which items it is shown as wrong. The numbers are yours alone: they come
# from your student number. Give each answer to three decimals or more, or hand over the number as it was computed.
# Hand in this notebook. It is run from top to bottom, and each question is judged by itself.

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

    rng = np.random.default_rng([4, 1, int(student)])
    own.chosen, own.others = round(rng.uniform(0, 1.5), 2), rng.normal(0.3, 0.8, 4).round(2)  # scores of one list
    own.margin = float(rng.choice([0.5, 1.0, 1.5]))

    rng = np.random.default_rng([4, 2, int(student)])
    own.scores, own.relevance = rng.permutation([2.1, 1.2, 0.4, -0.5]), rng.permutation([3, 2, 1, 0])

    rng = np.random.default_rng([4, 3, int(student)])
    own.catalogue, own.trial = int(rng.integers(80, 400)), int(rng.integers(3, 12))

    rng = np.random.default_rng([4, 4, int(student)])
    own.counts, own.power = rng.integers(1, 60, 5).astype(float), float(rng.choice([0.5, 0.75, 1.0]))
    own.negative_scores, own.draws = rng.normal(size=5).round(2), int(rng.integers(5, 30))

    rng = np.random.default_rng([4, 5, int(student)])
    own.positive, own.three, own.q = 1.0, rng.normal(0.5, 1, 3).round(2), rng.permutation([0.6, 0.3, 0.1])

    rng = np.random.default_rng([4, 6, int(student)])
    own.gamma = float(rng.choice([0.3, 0.5, 0.7]))
    while True:
        own.near, own.candidates = (
            round(rng.uniform(0.6, 1.4), 2),
            rng.uniform(0.2, 2.6, 9).round(2),
        )  # squared distances
        more = own.candidates - own.near
        if min((more < 0).sum(), ((more > 0.01) & (more < own.gamma - 0.01)).sum(), (more > own.gamma).sum()) > 0:
            if (np.abs(more) > 0.005).all() and (np.abs(more - own.gamma) > 0.005).all():
                break

    rng = np.random.default_rng([4, 7, int(student)])
    own.split_seed, own.film = int(rng.integers(10, 10_000)), int(rng.integers(1, 1000))
    return own


# %%
if STUDENT is None:
    raise ValueError("put your student number into the cell above")
mine = numbers(STUDENT)

# %% [markdown]
# ## 1. Three losses on one list (3 points)
#
# A chosen item has the score `mine.chosen`, four others have `mine.others`. Give the mean `hinge` loss of the four
# pairs with the margin `mine.margin`, the mean `bpr` loss of the pairs, and the `softmax` loss of the chosen item
# among all five.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
leads = mine.chosen - mine.others
everyone = np.append(mine.chosen, mine.others)
# END SOLUTION
hinge = np.maximum(0, mine.margin - leads).mean()  # SOLUTION
bpr = np.log(1 + np.exp(-leads)).mean()  # SOLUTION
softmax = np.log(np.exp(everyone).sum()) - mine.chosen  # SOLUTION


# %% tags=["hidden"]
def pair(student):
    import torch

    own = numbers(student)
    return torch.full((4,), own.chosen, dtype=torch.float64), torch.tensor(own.others), own.margin


def test_hinge(STUDENT, hinge):
    from course_utils.learning import losses

    same(hinge, losses.hinge_loss(*pair(STUDENT)))


def test_bpr(STUDENT, bpr):
    from course_utils.learning import losses

    same(bpr, losses.bpr_loss(*pair(STUDENT)[:2]))


def test_softmax(STUDENT, softmax):
    from course_utils.learning import losses

    chosen, others, _ = pair(STUDENT)
    same(softmax, losses.sampled_softmax_loss(chosen[:1], others[None]))


# %% [markdown]
# ## 2. The list as a whole (3 points)
#
# Four items with `mine.scores` and `mine.relevance`. Give ListNet's loss `listnet`, ListMLE's loss `listmle`, and the
# four `lambdas` of LambdaRank, the push on each item (up is positive), with the gain $2^g - 1$ and no cut.


# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
def shares(values):
    return np.exp(values) / np.exp(values).sum()


order = np.argsort(-mine.relevance)
draws = [mine.scores[i] - np.log(np.exp(mine.scores[order[j:]]).sum()) for j, i in enumerate(order)]
gain, rank = 2.0**mine.relevance, np.argsort(np.argsort(-mine.scores))
discount = 1 / np.log2(2 + rank)
ideal = np.sort(gain - 1) @ np.sort(discount)
push = np.zeros(4)
for i in range(4):
    for j in range(4):
        if mine.relevance[i] > mine.relevance[j]:
            swap = abs((gain[i] - gain[j]) * (discount[i] - discount[j])) / ideal
            push[[i, j]] += np.array([1, -1]) * swap / (1 + np.exp(mine.scores[i] - mine.scores[j]))
# END SOLUTION
listnet = -(shares(mine.relevance) * np.log(shares(mine.scores))).sum()  # SOLUTION
listmle = -sum(draws)  # SOLUTION
lambdas = push  # SOLUTION


# %% tags=["hidden"]
def listed(student, name):
    import torch

    from course_utils.learning import losses

    own = numbers(student)
    leaf = torch.tensor(own.scores)[None].requires_grad_()
    loss = getattr(losses, f"{name}_loss")(leaf, torch.tensor(own.relevance)[None])
    loss.backward()
    return loss.detach(), -leaf.grad[0]


def test_listnet(STUDENT, listnet):
    same(listnet, listed(STUDENT, "listnet")[0])


def test_listmle(STUDENT, listmle):
    same(listmle, listed(STUDENT, "listmle")[0])


def test_lambdas(STUDENT, lambdas):
    same(lambdas, listed(STUDENT, "lambdarank")[1])


# %% [markdown]
# ## 3. WARP (2 points)
#
# A catalogue of `mine.catalogue` items, and the first violator comes at trial `mine.trial`. Give the estimated
# `warp_rank` and the `warp_weight` of its hinge.

# %% tags=["solution"]
warp_rank = (mine.catalogue - 1) // mine.trial  # SOLUTION
warp_weight = sum(1 / j for j in range(1, warp_rank + 1))  # SOLUTION


# %% tags=["hidden"]
def test_warp_rank(STUDENT, warp_rank):
    own = numbers(STUDENT)
    same(warp_rank, int((own.catalogue - 1) / own.trial))


def test_warp_weight(STUDENT, warp_weight):
    import torch

    from course_utils.learning import losses

    own = numbers(STUDENT)
    tried = torch.full((1, own.trial), -9.0, dtype=torch.float64)
    tried[0, -1] = 0.0
    same(warp_weight, losses.warp_loss(torch.zeros(1, dtype=torch.float64), tried, n_items=own.catalogue))


# %% [markdown]
# ## 4. The sampler's chances (2 points)
#
# Five films have `mine.counts` interactions and are drawn with the power `mine.power`. Give the `chances`. Then
# correct the scores `mine.negative_scores` of these five as negatives, with `mine.draws` draws for each positive:
# `corrected`.

# %% tags=["solution"]
chances = mine.counts**mine.power / (mine.counts**mine.power).sum()  # SOLUTION
corrected = mine.negative_scores - np.log(mine.draws * chances)  # SOLUTION


# %% tags=["hidden"]
def log_chances(student):
    own = numbers(student)
    logs = own.power * np.log(own.counts)
    return own, logs - np.logaddexp.reduce(logs)


def test_chances(STUDENT, chances):
    same(chances, np.exp(log_chances(STUDENT)[1]), within=2e-4)


def test_corrected(STUDENT, corrected):
    own, logs = log_chances(STUDENT)
    same(corrected, own.negative_scores - np.log(own.draws) - logs)


# %% [markdown]
# ## 5. A mean over all outcomes (3 points)
#
# A positive scores `mine.positive`; `mine.three` are the scores of the three unseen items, and the sampler draws them
# with the chances `mine.q`. Give the full softmax loss `full`. Then list all outcomes of *two* draws, and give the
# mean loss as if the draws were uniform, `as_if_uniform` (subtract $\ln(2/3)$ from each negative), and the mean
# corrected loss, `corrected_loss`.


# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
def cost(negatives):
    return np.log(np.exp(np.append(mine.positive, negatives)).sum()) - mine.positive


outcomes = [(i, j, mine.q[i] * mine.q[j]) for i in range(3) for j in range(3)]
adjusted = mine.three - np.log(2 * mine.q)
# END SOLUTION
full = cost(mine.three)  # SOLUTION
as_if_uniform = sum(p * cost(mine.three[[i, j]] - np.log(2 / 3)) for i, j, p in outcomes)  # SOLUTION
corrected_loss = sum(p * cost(adjusted[[i, j]]) for i, j, p in outcomes)  # SOLUTION


# %% tags=["hidden"]
def all_outcomes(student, log_q):
    import torch

    from course_utils.learning import losses

    own = numbers(student)
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    chance = torch.tensor(own.q)[pairs].prod(dim=1)
    taken = torch.tensor(log_q)[pairs]
    each = [
        losses.sampled_softmax_loss(
            torch.tensor([own.positive], dtype=torch.float64),
            torch.tensor(own.three)[row][None],
            negative_log_q=q[None],
        )
        for row, q in zip(pairs, taken)
    ]
    return (chance * torch.stack(each)).sum()


def test_full(STUDENT, full):
    own = numbers(STUDENT)
    same(full, np.logaddexp.reduce([own.positive, *own.three]) - own.positive)


def test_as_if_uniform(STUDENT, as_if_uniform):
    same(as_if_uniform, all_outcomes(STUDENT, np.full(3, np.log(2 / 3))))


def test_corrected_loss(STUDENT, corrected_loss):
    same(corrected_loss, all_outcomes(STUDENT, np.log(2 * numbers(STUDENT).q)))


# %% [markdown]
# ## 6. Hard, semi-hard, easy (3 points)
#
# The positive lies at the squared distance `mine.near`, nine negatives at `mine.candidates`, and the margin is
# `mine.gamma`. How many negatives are hard, semi-hard and easy, `kinds` (three numbers)? What do all nine cost in the
# mean, `triplet_cost`? And which squared distance has the negative that semi-hard mining takes, `mined`: the nearest
# that is farther than the positive?

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
hard = mine.candidates < mine.near
easy = mine.candidates >= mine.near + mine.gamma
# END SOLUTION
kinds = [hard.sum(), (~hard & ~easy).sum(), easy.sum()]  # SOLUTION
triplet_cost = np.maximum(0, mine.near - mine.candidates + mine.gamma).mean()  # SOLUTION
mined = mine.candidates[~hard].min()  # SOLUTION


# %% tags=["hidden"]
def test_kinds(STUDENT, kinds):
    own = numbers(STUDENT)
    same(kinds, np.histogram(own.candidates, [0, own.near, own.near + own.gamma, 99])[0])


def test_triplet_cost(STUDENT, triplet_cost):
    import torch

    from course_utils.learning import losses

    own = numbers(STUDENT)
    at = lambda d: torch.tensor(np.sqrt(np.broadcast_to(d, 9)))[:, None]  # noqa: E731
    same(triplet_cost, losses.triplet_loss(at(0.0), at(own.near), at(own.candidates), margin=own.gamma))


def test_mined(STUDENT, mined):
    import torch

    from course_utils.learning import negatives

    own = numbers(STUDENT)
    place = negatives.semi_hard(torch.tensor([-own.near]), torch.tensor(-own.candidates)[None]).item()
    same(mined, own.candidates[place])


# %% [markdown]
# ## 7. Shown as wrong (3 points)
#
# Split MovieLens-100K with `splits.random_split(ratings, seed=mine.split_seed)`, and take the film with the code
# `mine.film`. How often is it `right` in one epoch, that is, how many training ratings has it? With ten *uniform*
# negatives for each positive, how often is it expected to be shown as wrong, `wrong` (one decimal is enough)? And
# what share of all *test* ratings are of films with fewer than ten training ratings, `rare_share`?

# %% tags=["solution"]
from course_utils.data import load_movielens, splits

movielens = load_movielens()
# BEGIN SOLUTION NO PROMPT
train, test = map(movielens.interactions, splits.random_split(movielens.ratings, seed=mine.split_seed))
seen = train.mask().numpy()
mine_too = np.bincount(train.users, minlength=train.n_users)
free = train.n_items - mine_too
counts = np.bincount(train.items, minlength=train.n_items)
# END SOLUTION
right = counts[mine.film]  # SOLUTION
wrong = (10 * mine_too / free)[~seen[:, mine.film]].sum()  # SOLUTION
rare_share = (counts[test.items] < 10).mean()  # SOLUTION


# %% tags=["hidden"]
def by_tables(student):
    """From the tables alone."""
    from course_utils.data import load_movielens, splits

    movielens, own = load_movielens(), numbers(student)
    past, future = splits.random_split(movielens.ratings, seed=own.split_seed)
    film = movielens.items.item_id.iloc[own.film]
    theirs = past.groupby("user_id").item_id.agg(set)
    wrong = sum(10 * len(s) / (len(movielens.items) - len(s)) for s in theirs if film not in s)
    counts = past.item_id.value_counts()
    rare = (future.item_id.map(counts).fillna(0) < 10).mean()
    return counts.get(film, 0), wrong, rare


def test_right(STUDENT, right):
    same(right, by_tables(STUDENT)[0])


def test_wrong(STUDENT, wrong):
    same(wrong, by_tables(STUDENT)[1])


def test_rare_share(STUDENT, rare_share):
    same(rare_share, by_tables(STUDENT)[2])
