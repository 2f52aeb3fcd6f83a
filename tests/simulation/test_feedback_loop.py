"""The feedback loop and its policies: hand examples, common random numbers, what each knob may touch, planning."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from shared import refusals

from course_utils.errors import InputError
from course_utils.models.baselines import Popularity
from course_utils.models.neighbors import EASE
from course_utils.simulation import policies
from course_utils.simulation.feedback_loop import FeedbackLoop
from course_utils.simulation.policies import OFFSETS, STATES, OffsetPolicy, Oracle, RandomSlates, Retrained, plan
from course_utils.simulation.world import closeness, engagement

SMALL = {"n_users": 40, "n_items": 80, "rounds": 8, "warm_up": 4}
SHAPE = (STATES, len(OFFSETS))


def small(**knobs):
    return FeedbackLoop(**(SMALL | knobs))


class Fixed:  # always the first items that a user has not taken
    def start(self, world, generator):
        self.feedback, self.generator = [], generator

    def slate(self, state, users):
        order = torch.arange(state.seen.shape[1], 0, -1.0).expand(len(users), -1)
        return order.masked_fill(state.seen[users], -1).topk(state.slate_size, dim=1).indices

    def update(self, feedback):
        self.feedback.append(feedback)


def test_engagement_by_hand_and_where_it_is_largest():
    # distance .3: exp(-.5); |x| = .5 and k = 2: factor 2; bait 1: factor 2
    assert engagement(torch.tensor(-0.2), torch.tensor(-0.5), 2.0, 1.0).item() == pytest.approx(4 * np.exp(-0.5))
    x = torch.linspace(0, 1, 100_001)
    for k, best, worth in ((0, 0.2, 1), (0.5, 0.24, 0.991), (1, 0.271, 0.973), (2, 0.311, 0.934)):
        top = x[engagement(torch.tensor(0.2), x, k).argmax()]
        assert [top, closeness(torch.tensor(0.2), top)] == pytest.approx([best, worth], abs=5e-4)


def test_shares_of_what_is_taken_follow_the_choice_model():
    loop = FeedbackLoop(40_000, 20, 1, slate_size=2, warm_up=1, tastes=0.0, appetite=1.0, nothing=0.5)
    run, taste, positions = loop.run(Fixed()), torch.tensor(0.0), loop.world.positions[:2]
    fresh = (run.slates[0] == torch.tensor([0, 1])).all(dim=1)
    weight = engagement(taste, positions, 1.0)
    for item in (0, 1):
        share = (run.taken[0][fresh] == item).double().mean()
        assert abs(share - weight[item] / (0.5 + weight.sum())) < 0.01  # P(i) = e_i / (e_0 + sum e)
        happy = run.satisfied[0][fresh & (run.taken[0] == item)].double().mean()
        assert abs(happy - closeness(taste, positions[item])) < 0.02  # the survey


@pytest.mark.parametrize("drift", [0.25, 0.0])
def test_taste_goes_the_share_of_the_way(drift):
    run = small(drift=drift).run(RandomSlates())
    x, before, after = run.world.positions[run.taken], run.tastes[:-1], run.tastes[1:]
    took = run.taken >= 0
    assert 0 < took.double().mean() < 1
    assert torch.allclose(after[took], ((1 - drift) * before + drift * x)[took])
    assert torch.equal(after[~took], before[~took])
    assert torch.equal(run.tastes[0], run.world.tastes)


def test_a_mood_belongs_to_user_round_and_item_and_feedback_is_what_happened():
    class Reversed(Fixed):
        def slate(self, state, users):  # neither numbers drawn nor the order of a slate change what the users do
            self.generator.random(1000)
            return super().slate(state, users).flip(1)

    policy = Reversed()
    run, other = small().run(Fixed()), small().run(policy)
    assert torch.equal(run.taken, other.taken)
    assert torch.equal(run.satisfied, other.satisfied)
    for feedback, taken in zip(policy.feedback, run.taken, strict=True):
        assert torch.equal(feedback.taken, taken)
        assert not feedback.satisfied[taken < 0].any()
        assert torch.equal((feedback.slates == taken[:, None]).any(dim=1), taken >= 0)
    another = small(seed=1).world
    assert not torch.equal(run.world.positions, another.positions)
    assert not torch.equal(run.world.tastes, another.tastes)


def test_the_table_against_loops():
    run, now = small(bait_share=0.3, bait_pull=1.0).run(RandomSlates()), 3
    x, bait, tastes, slates = run.world.positions, run.world.bait, run.tastes, run.slates[now]
    taken = [(u, i) for u, i in enumerate(run.taken[now].tolist()) if i >= 0]
    expected = {
        "click rate": [len(taken) / 40],
        "taken extremity": [abs(x[i]) for _, i in taken],
        "from taken": [abs(x[i] - tastes[now, u]) for u, i in taken],
        "from shown": [abs(x[i] - tastes[now, u]) for u, slate in enumerate(slates) for i in slate],
        "shown extremity": [abs(x[i]) for slate in slates for i in slate],
        "taste extremity": tastes[now + 1].abs(),
        "bait taken": [bool(bait[i]) for _, i in taken],
        "bait shown": [bool(bait[i]) for slate in slates for i in slate],
        "shown breadth": [abs(x[a] - x[b]) for slate in slates for p, a in enumerate(slate) for b in slate[:p]],
        "satisfaction": [0.0 if bait[i] else closeness(tastes[now, u], x[i]) for u, i in taken],
    }
    means = {name: np.mean([float(value) for value in values]) for name, values in expected.items()}
    means["polarization"] = np.std(tastes[now + 1].numpy(), ddof=1)
    assert dict(run.table().loc[now]) == pytest.approx(means)
    real, baited = run.taken >= 0, bait[run.taken] & (run.taken >= 0)
    assert baited.any()  # bait satisfies nobody
    assert not run.satisfied[baited].any()
    assert run.satisfaction[baited].max() == 0 < run.satisfaction[real & ~baited].min()


def test_alike_and_gini_by_hand():
    run = small().run(RandomSlates())
    same, other = (replace(run, taken=torch.tensor(x)) for x in ([[0, 0], [1, 1]], [[0, 0], [1, 4], [2, -1]]))
    assert (same.alike(), other.alike()) == (1, 1 / 4)  # {0, 1, 2} and {0, 4}: one of four
    assert same.gini() == pytest.approx(1 - 2 / 80)


POLICIES = [RandomSlates(), Oracle(), Oracle("satisfaction"), OffsetPolicy()]
POLICIES += [Retrained(Popularity, objective="satisfaction")]
POLICIES += [Retrained(lambda: EASE(5.0), exploration=0.3, diversity=0.5)]


@pytest.mark.parametrize("policy", POLICIES)
def test_same_numbers_again_nothing_taken_twice_and_global_generators_left_alone(policy):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = small().run(policy), small().run(policy)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    for name in ("tastes", "slates", "taken", "satisfied"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    rounds, users = (first.taken >= 0).nonzero(as_tuple=True)
    taken = first.world.history.mask().long()
    taken.index_put_((users, first.taken[rounds, users]), torch.tensor(1), accumulate=True)
    assert taken.max() == 1


def test_what_a_model_is_fitted_to():
    fitted = []

    class Watching(Popularity):
        def fit(self, interactions):
            fitted.append(len(interactions))
            return super().fit(interactions)

    loop = small()
    past = loop.world.history
    for objective, before in (("engagement", len(past)), ("satisfaction", int((past.ratings > 0).sum()))):
        fitted.clear()
        run = loop.run(Retrained(Watching, objective=objective))
        came = (run.taken >= 0) if objective == "engagement" else run.satisfied
        assert fitted == [before + int(came[:now].sum()) for now in range(8)]


def test_exploration_mixes_in_chance_and_diversity_spreads_a_slate():
    loop = FeedbackLoop(200, 200, 3, warm_up=4)
    model, some, every = (loop.run(Retrained(Popularity, exploration=share)).slates[0] for share in (0, 0.5, 1))
    assert 0.4 < (some == model).double().mean() < 0.6
    assert (every == model).double().mean() < 0.02
    runs = [loop.run(Retrained(lambda: EASE(5.0), diversity=weight)) for weight in (0.0, 0.5, 1.0)]
    assert (np.diff([run.table()["shown breadth"].mean() for run in runs]) > 0).all()


def test_oracles_show_the_best():
    loop = small(bait_share=0.3, bait_pull=2.0, appetite=2.0)
    world = loop.world
    value = engagement(world.tastes[:, None], world.positions, 2.0, 2.0 * world.bait)
    value = value.masked_fill(world.history.mask(), -1)
    assert torch.equal(loop.run(Oracle()).slates[0][:, 0], value.argmax(dim=1))
    assert loop.run(Oracle()).table()["bait shown"].iloc[0] > 0.3
    assert loop.run(Oracle("satisfaction")).table()["bait shown"].max() == 0


def counts():
    rng = np.random.default_rng(0)
    moves = rng.integers(1, 9, (*SHAPE, STATES)).astype(float)
    moves[:, 0] = 0  # never tried, so worth nothing
    clicks = np.floor(moves.sum(axis=2) * rng.random(SHAPE))
    return policies.Counts(moves, clicks, np.floor(clicks * rng.random(SHAPE)))


@pytest.mark.parametrize("discount", [0.0, 0.9])  # at 0 it is the mean reward
@pytest.mark.parametrize("reward", ["clicks", "satisfied"])
def test_a_plan_is_the_value_of_its_own_policy_and_no_action_is_better(reward, discount):
    data = counts()
    q = plan(data, discount, reward)
    tried = data.moves.sum(axis=2).clip(min=1)
    mean, chance = getattr(data, reward) / tried, data.moves / tried[..., None]
    rows, best = np.arange(STATES), q.argmax(axis=1)
    solved = np.linalg.solve(np.eye(STATES) - discount * chance[rows, best], mean[rows, best])
    np.testing.assert_allclose(q.max(axis=1), solved, rtol=1e-8)
    np.testing.assert_allclose(q, mean + discount * chance @ solved, rtol=1e-8)


def test_the_policy_shows_where_its_action_points():
    far, near = np.zeros(SHAPE), np.zeros(SHAPE)
    far[:, -1] = near[:, 2] = 1
    out, at = (small().run(OffsetPolicy(table)).table()["shown extremity"].iloc[0] for table in (far, near))
    assert out > at + 0.2


def test_explore_counts_every_round_and_a_planned_policy_clicks_more_than_chance():
    knobs = {"n_users": 300, "n_items": 120, "rounds": 12, "appetite": 2.0, "nothing": 10.0}
    found = policies.explore((5, 6), **knobs)
    assert found.moves.sum() == 2 * 300 * 12
    assert 0 < found.satisfied.sum() < found.clicks.sum() < found.moves.sum()
    assert (found.satisfied <= found.clicks).all()
    assert found.moves.sum(axis=(0, 2)) / found.moves.sum() == pytest.approx([1 / 7] * 7, abs=0.04)
    loop = FeedbackLoop(seed=1, **knobs)
    planned, chance = (loop.run(policy).taken >= 0 for policy in (OffsetPolicy(plan(found, 0.0)), OffsetPolicy()))
    assert planned.double().mean() > chance.double().mean() + 0.02


KNOBS = {"drift": 1.5, "bait_share": 2, "tastes": 1.1, "appetite": -1, "bait_pull": -1, "nothing": 0}
KNOBS |= {"n_items": 20, "n_users": 1, "rounds": 0, "warm_up": 0, "slate_size": 1}
SETTINGS = {"exploration": 1.1, "diversity": -1, "objective": "happiness"}
BAD = [(small, *knob) for knob in KNOBS.items()]
BAD += [(partial(Retrained, Popularity), *setting) for setting in SETTINGS.items()]
BAD += [(partial(plan, counts(), discount=0.5), *pair) for pair in (("discount", 1.0), ("reward", "likes"))]
BAD += [(Oracle, "objective", "clicks"), (OffsetPolicy, "table", np.zeros((2, 2)))]
test_refusals = refusals(*((argument, call, {argument: value}) for call, argument, value in BAD))


def test_slates_that_break_the_rules():
    policy, zeros = Fixed(), torch.zeros(40, 5)
    high, same = torch.arange(76, 81).expand(40, 5), torch.arange(5).expand(40, 5)
    wrong = (zeros[:, :2], "shape"), (zeros, "item codes"), (high, "codes 76..80"), (zeros.long(), "twice")
    for slate, words in (*wrong, (same, "taken")):
        policy.slate = lambda state, users, slate=slate: slate
        with pytest.raises(InputError, match=f"^slate: .*{words}"):
            small(nothing=0.01).run(policy)
