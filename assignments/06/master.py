# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 6. Systems
#
# Chapters 15 and 16: choosing, logs, slates, the long run, and what machines tell each other. The numbers are yours
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

    rng = np.random.default_rng([6, 1, int(student)])
    own.factors, own.x = rng.integers(-3, 4, (6, 3)).astype(float), rng.choice([0.5, 1.0, 2.0], 6)

    rng = np.random.default_rng([6, 2, int(student)])
    own.past = np.c_[np.ones(6), rng.integers(-2, 3, 6)]  # a row a step: a constant, and a feature
    own.arms, own.paid = rng.permutation([0, 0, 0, 1, 1, 1]), rng.integers(0, 2, 6).astype(float)
    own.now, own.alpha = np.array([1.0, rng.choice([-1.0, 1.0, 2.0])]), float(rng.choice([0.5, 1.0, 2.0]))

    rng = np.random.default_rng([6, 3, int(student)])
    own.rewards, own.chances = rng.integers(0, 6, 8).astype(float), rng.choice([0.1, 0.2, 0.5, 0.8], 8)
    own.target = rng.permutation([1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0])
    own.modelled, own.expected = (rng.uniform(1, 4, 8).round(1) for _ in range(2))

    rng = np.random.default_rng([6, 4, int(student)])
    own.weights, own.worth, own.nothing = rng.integers(1, 6, 5), rng.permutation(np.arange(2, 18, 3)[:5]), 2

    rng = np.random.default_rng([6, 5, int(student)])
    own.reward = rng.integers(0, 9, (2, 2)).astype(float)  # a row a state, a column an action
    own.leads_to_1, own.gamma = rng.choice([0.1, 0.3, 0.5, 0.7, 0.9], (2, 2)), float(rng.choice([0.5, 0.8, 0.9]))

    rng = np.random.default_rng([6, 6, int(student)])
    own.megabytes, own.workers = int(rng.integers(40, 200)), int(rng.choice([3, 4, 6, 8]))
    own.seconds, own.gigabytes_a_second = round(rng.uniform(0.05, 0.4), 2), float(rng.choice([0.5, 1.0, 2.0]))

    rng = np.random.default_rng([6, 7, int(student)])
    own.gradients, own.here = rng.integers(-3, 12, 6).astype(float), int(rng.choice([1, 2, 4, 5]))

    rng = np.random.default_rng([6, 8, int(student)])
    own.split_seed, own.blocks = int(rng.integers(10, 10_000)), int(rng.integers(10, 60))
    return own


# %%
if STUDENT is None:
    raise ValueError("put your student number into the cell above")
mine = numbers(STUDENT)

# %% [markdown]
# ## 1. All pairs, cheaply (2 points)
#
# Six features have the vectors `mine.factors` and the values `mine.x`. Give the sum over all pairs $j < l$ of
# $\mathbf v_j^\top \mathbf v_l\, x_j x_l$, `pairs`. And write `pairs_of(factors, x)`, which computes it without a
# loop over pairs. It is tried on 20,000 features.


# %% tags=["solution"]
def pairs_of(factors, x):
    # BEGIN SOLUTION
    weighted = factors * x[:, None]
    return (weighted.sum(axis=0) ** 2 - (weighted**2).sum(axis=0)).sum() / 2
    # END SOLUTION


pairs = pairs_of(mine.factors, mine.x)  # SOLUTION


# %% tags=["hidden"]
def test_pairs(STUDENT, pairs):
    own = numbers(STUDENT)
    same(pairs, sum(own.factors[j] @ own.factors[i] * own.x[j] * own.x[i] for j in range(6) for i in range(j)))


def test_many_features(pairs_of):
    factors, x = np.full((20_000, 2), 0.01), np.ones(20_000)
    same(pairs_of(factors, x), 20_000 * 19_999 * 1e-4)


# %% [markdown]
# ## 2. A bound (2 points)
#
# LinUCB with two arms has seen six steps: contexts `mine.past`, arms `mine.arms`, rewards `mine.paid`. What are the
# `estimates` of both arms (two numbers, without a bonus) in the context `mine.now`, and what are their `bounds` with
# $\alpha$ = `mine.alpha`?

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
estimates_, bonus = [], []
for arm in (0, 1):
    rows = mine.past[mine.arms == arm]
    inverse = np.linalg.inv(np.eye(2) + rows.T @ rows)
    estimates_.append(mine.now @ inverse @ rows.T @ mine.paid[mine.arms == arm])
    bonus.append(np.sqrt(mine.now @ inverse @ mine.now))
# END SOLUTION
estimates = np.array(estimates_)  # SOLUTION
bounds = estimates + mine.alpha * np.array(bonus)  # SOLUTION


# %% tags=["hidden"]
def played(student, bonus):
    from course_utils.simulation.bandits import LinUCB

    own = numbers(student)
    bandit = LinUCB(1, 2, 2, alpha=own.alpha if bonus else 0)
    for context, arm, paid in zip(own.past, own.arms, own.paid):
        bandit.update(np.array([arm]), np.array([paid]), context[None])
    return bandit.values(np.random.default_rng(0), np.array([[0, 1]]), own.now[None])[0]


def test_estimates(STUDENT, estimates):
    same(estimates, played(STUDENT, bonus=False))


def test_bounds(STUDENT, bounds):
    same(bounds, played(STUDENT, bonus=True))


# %% [markdown]
# ## 3. A log that somebody else wrote (5 points)
#
# In eight steps the log has the rewards `mine.rewards`, its chances of what it did `mine.chances`, and the chances
# `mine.target` with which the policy that you ask about does the same. Give the `naive` average, `ips`, `snips`, and
# the doubly robust estimate `robust`, with a model that predicts `mine.modelled` for what was done and
# `mine.expected` for the new policy. Which share of the log speaks about the new policy, `effective`?

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
ratio = mine.target / mine.chances
# END SOLUTION
naive = mine.target @ mine.rewards / mine.target.sum()  # SOLUTION
ips = (ratio * mine.rewards).mean()  # SOLUTION
snips = ratio @ mine.rewards / ratio.sum()  # SOLUTION
robust = (mine.expected + ratio * (mine.rewards - mine.modelled)).mean()  # SOLUTION
effective = ratio.sum() ** 2 / (8 * (ratio**2).sum())  # SOLUTION


# %% tags=["hidden"]
def estimated(student, name):
    from course_utils.evaluation import off_policy

    own = numbers(student)
    if name == "effective_share":
        return off_policy.effective_share(own.target, own.chances)
    if name == "naive_average":
        return off_policy.naive_average(own.rewards, own.target)
    if name == "doubly_robust":  # the model's promise, and by IPS what it missed
        return own.expected.mean() + off_policy.ips(own.rewards - own.modelled, own.target, own.chances)
    return getattr(off_policy, name)(own.rewards, own.target, own.chances)


def test_naive(STUDENT, naive):
    same(naive, estimated(STUDENT, "naive_average"))


def test_ips(STUDENT, ips):
    same(ips, estimated(STUDENT, "ips"))


def test_snips(STUDENT, snips):
    same(snips, estimated(STUDENT, "snips"))


def test_robust(STUDENT, robust):
    same(robust, estimated(STUDENT, "doubly_robust"))


def test_effective(STUDENT, effective):
    same(effective, estimated(STUDENT, "effective_share"))


# %% [markdown]
# ## 4. The best slate (2 points)
#
# Five items have the choice weights `mine.weights` and are worth `mine.worth` each, when taken; taking nothing weighs
# `mine.nothing` and is worth 0. What are all five together worth, `all_five`? And what is the best slate of any size
# worth, `best_slate`?


# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
def slate_worth(chosen):
    return mine.weights[chosen] @ mine.worth[chosen] / (mine.nothing + mine.weights[chosen].sum())


slates = [[item for item in range(5) if bits >> item & 1] for bits in range(1, 32)]
# END SOLUTION
all_five = slate_worth(list(range(5)))  # SOLUTION
best_slate = max(map(slate_worth, slates))  # SOLUTION


# %% tags=["hidden"]
def growing(student):
    """What the best 1, 2, ... 5 items by worth are worth as a slate: the best of all slates is one of these."""
    own = numbers(student)
    order = np.argsort(-own.worth)
    return (own.weights * own.worth)[order].cumsum() / (own.nothing + own.weights[order].cumsum())


def test_all_five(STUDENT, all_five):
    same(all_five, growing(STUDENT)[-1])


def test_best_slate(STUDENT, best_slate):
    same(best_slate, growing(STUDENT).max())


# %% [markdown]
# ## 5. The long run (2 points)
#
# Two states, two actions: `mine.reward[s, a]` is paid at once, `mine.leads_to_1[s, a]` is the chance that the next
# state is 1. Give the table `q` of $Q(s, a)$ for the discount `mine.gamma`. How much more is the best action worth
# from state 1 than from state 0, `ahead`?

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
table = np.zeros((2, 2))
for _ in range(2000):
    best = table.max(axis=1)
    table = mine.reward + mine.gamma * ((1 - mine.leads_to_1) * best[0] + mine.leads_to_1 * best[1])
# END SOLUTION
q = table  # SOLUTION
ahead = q[1].max() - q[0].max()  # SOLUTION


# %% tags=["hidden"]
def by_policies(student):
    """The long run of all four policies from linear equations; the best of them is the best in both states."""
    own, found = numbers(student), []
    for policy in ((0, 0), (0, 1), (1, 0), (1, 1)):
        move = own.leads_to_1[[0, 1], list(policy)]
        found.append(np.linalg.solve(np.eye(2) - own.gamma * np.c_[1 - move, move], own.reward[[0, 1], list(policy)]))
    values = np.max(found, axis=0)
    return values, own.reward + own.gamma * ((1 - own.leads_to_1) * values[0] + own.leads_to_1 * values[1])


def test_q(STUDENT, q):
    same(q, by_policies(STUDENT)[1])


def test_ahead(STUDENT, ahead):
    values, _ = by_policies(STUDENT)
    same(ahead, values[1] - values[0])


# %% [markdown]
# ## 6. The price of talking (2 points)
#
# One worker needs `mine.seconds` for a step. `mine.workers` share its rows, and average `mine.megabytes` MB of
# gradients in a ring, over wires of `mine.gigabytes_a_second` GB a second (1 GB is 1,000 MB). How many megabytes does
# each worker `send`? And how many times as fast as one worker are they, `speedup`, when a step first computes and
# then sends?

# %% tags=["solution"]
send = 2 * (mine.workers - 1) / mine.workers * mine.megabytes  # SOLUTION
speedup = mine.seconds / (mine.seconds / mine.workers + send / 1000 / mine.gigabytes_a_second)  # SOLUTION


# %% tags=["hidden"]
def sent(own):
    """Piece by piece round the ring."""
    return sum(own.megabytes / own.workers for _ in range(2) for _ in range(own.workers - 1))


def test_send(STUDENT, send):
    same(send, sent(numbers(STUDENT)))


def test_speedup(STUDENT, speedup):
    own = numbers(STUDENT)
    wire = sent(own) / (1000 * own.gigabytes_a_second)
    same(speedup, own.seconds * own.workers / (own.seconds + own.workers * wire))


# %% [markdown]
# ## 7. Uneven shards (2 points)
#
# Six samples have the gradients `mine.gradients`. The first `mine.here` of them are in one process, the others in a
# second one; each takes the mean loss of its rows. What stands in `.grad` after DDP's averaging, `averaged`? And by
# which two numbers must the processes multiply their losses, so that the mean over all six stands there, `repair`?

# %% tags=["solution"]
averaged = (mine.gradients[: mine.here].mean() + mine.gradients[mine.here :].mean()) / 2  # SOLUTION
repair = [2 * mine.here / 6, 2 * (6 - mine.here) / 6]  # SOLUTION


# %% tags=["hidden"]
def test_averaged(STUDENT, averaged):
    import torch

    own, weight = numbers(STUDENT), torch.zeros((), dtype=torch.float64, requires_grad=True)
    losses = [(weight * torch.tensor(part)).mean() for part in np.split(own.gradients, [own.here])]
    (sum(losses) / 2).backward()
    same(averaged, weight.grad)


def test_repair(STUDENT, repair):
    own = numbers(STUDENT)
    same(repair, np.array([own.here, 6 - own.here]) / 3)


# %% [markdown]
# ## 8. Vectors that are shipped (3 points)
#
# Take the training part of `splits.random_split(ratings, seed=mine.split_seed)`, and deal its users out over
# `mine.blocks` blocks by `user_id` modulo `mine.blocks`. When ALS solves for the users, an item's vector goes once to
# each block with a rating of the item. How many vectors are `shipped`? Which `share` is that of a broadcast, which
# sends the vector of every item that is rated in this part to every block? And to how many blocks, in the mean, goes
# the vector of an item with five to nine ratings, `of_rare`?

# %% tags=["solution"]
from course_utils.data import load_movielens, splits

movielens = load_movielens()
# BEGIN SOLUTION NO PROMPT
past, _ = splits.random_split(movielens.ratings, seed=mine.split_seed)
block = past.user_id % mine.blocks
goes_to = block.groupby(past.item_id).nunique()
ratings_of = past.item_id.value_counts()
# END SOLUTION
shipped = goes_to.sum()  # SOLUTION
share = shipped / (len(goes_to) * mine.blocks)  # SOLUTION
of_rare = goes_to[ratings_of.index[ratings_of.between(5, 9)]].mean()  # SOLUTION


# %% tags=["hidden"]
def by_sets(student):
    """The same by sets of pairs."""
    from course_utils.data import load_movielens, splits

    own = numbers(student)
    past, _ = splits.random_split(load_movielens().ratings, seed=own.split_seed)
    items, users = past.item_id.tolist(), past.user_id.tolist()
    pairs = {(item, user % own.blocks) for item, user in zip(items, users)}
    names, counts = np.unique(items, return_counts=True)
    rare = set(names[(counts > 4) & (counts < 10)].tolist())
    return len(pairs), len(pairs) / len(names) / own.blocks, sum(item in rare for item, _ in pairs) / len(rare)


def test_shipped(STUDENT, shipped):
    same(shipped, by_sets(STUDENT)[0], within=1e-6)


def test_share(STUDENT, share):
    same(share, by_sets(STUDENT)[1])


def test_of_rare(STUDENT, of_rare):
    same(of_rare, by_sets(STUDENT)[2])
