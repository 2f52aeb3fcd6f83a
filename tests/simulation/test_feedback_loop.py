"""The feedback loop: hand examples, common random numbers, and what each knob may and may not touch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.errors import InputError
from course_utils.models.als import ImplicitALS
from course_utils.models.baselines import Popularity
from course_utils.models.neighbors import EASE
from course_utils.simulation.feedback_loop import FeedbackLoop
from course_utils.simulation.policies import Oracle, RandomSlates, Retrained
from course_utils.simulation.world import closeness, engagement

SMALL = {"n_users": 40, "n_items": 80, "rounds": 8, "warm_up": 4}


def small(**knobs):
    return FeedbackLoop(**(SMALL | knobs))


@pytest.mark.parametrize(
    ("k", "best", "worth"), [(0, 0.2, 1), (0.5, 0.24, 0.991), (1, 0.271, 0.973), (2, 0.311, 0.934)]
)
def test_where_engagement_is_largest(k, best, worth):
    x = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    top = x[engagement(torch.tensor(0.2), x, k).argmax()]
    assert abs(top - best) < 5e-4
    assert abs(closeness(torch.tensor(0.2), top) - worth) < 5e-4


def test_engagement_by_hand():
    # distance .3: exp(-.5); |x| = .5 and k = 2: factor 2; bait 1: factor 2
    got = engagement(torch.tensor(-0.2), torch.tensor(-0.5), 2.0, 1.0)
    assert got.item() == pytest.approx(4 * math.exp(-0.5))


@settings(max_examples=30, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 3), st.floats(0, 3))
def test_engagement_is_symmetric_and_grows_with_its_knobs(taste, x, k, bait):
    taste, x = torch.tensor(taste), torch.tensor(x)
    value = engagement(taste, x, k, bait)
    assert torch.allclose(value, engagement(-taste, -x, k, bait))
    assert value >= closeness(taste, x) * (1 - 1e-12)
    assert 0 < closeness(taste, x) <= 1


class Fixed:
    """Always the first items that a user has not taken."""

    def start(self, world, generator):
        self.feedback = []

    def slate(self, state, users):
        order = torch.arange(state.seen.shape[1], 0, -1.0).expand(len(users), -1)
        return order.masked_fill(state.seen[users], -1).topk(state.slate_size, dim=1).indices

    def update(self, feedback):
        self.feedback.append(feedback)


def test_shares_of_what_is_taken_follow_the_choice_model():
    """P(i) = e_i / (e_0 + sum e): measured on 40,000 first choices from one slate."""
    loop = FeedbackLoop(40_000, 20, 1, slate_size=2, warm_up=1, tastes=0.0, appetite=1.0, nothing=0.5)
    policy = Fixed()
    run = loop.run(policy)
    fresh = (run.slates[0] == torch.tensor([0, 1])).all(dim=1)
    weight = engagement(torch.tensor(0.0), loop.world.positions[:2], 1.0)
    for item, e in enumerate(weight):
        share = (run.taken[0][fresh] == item).double().mean()
        assert abs(share - e / (0.5 + weight.sum())) < 0.01
    # the survey: satisfied with probability closeness
    for item in (0, 1):
        happy = run.satisfied[0][fresh & (run.taken[0] == item)].double().mean()
        assert abs(happy - closeness(torch.tensor(0.0), loop.world.positions[item])) < 0.02


def test_taste_goes_the_share_of_the_way():
    loop = small(drift=0.25)
    run = loop.run(RandomSlates())
    x, before, after = loop.world.positions[run.taken], run.tastes[:-1], run.tastes[1:]
    took = run.taken >= 0
    assert took.any()
    assert not took.all()
    assert torch.allclose(after[took], (0.75 * before + 0.25 * x)[took])
    assert torch.equal(after[~took], before[~took])
    assert torch.equal(run.tastes[0], loop.world.tastes)


def test_without_drift_nobody_changes():
    run = small(drift=0.0).run(Oracle())
    assert torch.equal(run.tastes, run.tastes[:1].expand_as(run.tastes))


@pytest.mark.parametrize(
    "policy",
    [
        RandomSlates(),
        Oracle(),
        Oracle("satisfaction"),
        Retrained(Popularity),
        Retrained(lambda: EASE(5.0), exploration=0.3, diversity=0.5),
        Retrained(
            lambda: ImplicitALS(2, regularization=1.0, iterations=2), objective="satisfaction", every=3
        ),
    ],
)
def test_same_numbers_again_and_slates_that_keep_the_rules(policy):
    first, second = small().run(policy), small().run(policy)
    for name in ("tastes", "slates", "taken", "satisfied"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    for user in range(SMALL["n_users"]):
        taken = first.taken[:, user][first.taken[:, user] >= 0].tolist()
        before = first.world.history.items[first.world.history.users == user].tolist()
        assert len({*taken, *before}) == len(taken) + len(before)  # nothing is taken twice


def test_another_seed_is_another_world():
    assert not torch.equal(small(seed=0).world.positions, small(seed=1).world.positions)
    assert not torch.equal(small(seed=0).world.tastes, small(seed=1).world.tastes)


def test_two_policies_with_the_same_slates_meet_the_same_moods():
    """Common random numbers: a policy that draws numbers of its own changes nothing for the users."""

    class Wasteful(Fixed):
        def slate(self, state, users):
            self.generator.random(1000)
            return super().slate(state, users)

        def start(self, world, generator):
            super().start(world, generator)
            self.generator = generator

    one, other = small().run(Fixed()), small().run(Wasteful())
    assert torch.equal(one.taken, other.taken)
    assert torch.equal(one.satisfied, other.satisfied)


def test_a_mood_belongs_to_user_round_and_item():
    """An item that beats everything in one slate is taken from any slate of weaker items too."""

    class Reversed(Fixed):
        def slate(self, state, users):
            return super().slate(state, users).flip(1)

    assert torch.equal(small().run(Fixed()).taken, small().run(Reversed()).taken)


def test_global_generators_are_left_alone():
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    small().run(Retrained(lambda: EASE(5.0), exploration=0.2))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_feedback_is_what_happened():
    policy = Fixed()
    run = small().run(policy)
    assert [f.round for f in policy.feedback] == list(range(8))
    for now, feedback in enumerate(policy.feedback):
        assert torch.equal(feedback.taken, run.taken[now])
        assert not feedback.satisfied[feedback.taken < 0].any()
        shown = (feedback.slates == feedback.taken[:, None]).any(dim=1)
        assert torch.equal(shown, feedback.taken >= 0)


def test_what_a_model_is_fitted_to():
    fitted = []

    class Watching(Popularity):
        def fit(self, interactions):
            fitted.append(interactions)
            return super().fit(interactions)

    loop = small()
    run = loop.run(Retrained(Watching))
    assert len(fitted) == 8
    assert len(fitted[0]) == len(loop.world.history)
    assert len(fitted[-1]) == len(loop.world.history) + int((run.taken[:-1] >= 0).sum())
    fitted.clear()
    run = loop.run(Retrained(Watching, objective="satisfaction", every=4))
    assert len(fitted) == 2
    happy = int((loop.world.history.ratings > 0).sum())
    assert len(fitted[0]) == happy
    assert len(fitted[1]) == happy + int(run.satisfied[:4].sum())


def test_exploration_of_everything_is_chance_and_of_nothing_is_the_model():
    loop = FeedbackLoop(200, 200, 3, warm_up=4)
    model = loop.run(Retrained(Popularity)).slates[0]
    some = loop.run(Retrained(Popularity, exploration=0.5)).slates[0]
    every = loop.run(Retrained(Popularity, exploration=1.0)).slates[0]
    kept = (some == model).double().mean()
    assert 0.4 < kept < 0.6
    assert (every == model).double().mean() < 0.02


def test_diversity_spreads_a_slate():
    loop = FeedbackLoop(100, 200, 3, warm_up=10)
    breadth = [
        loop.run(Retrained(lambda: EASE(5.0), diversity=weight)).table()["shown breadth"].mean()
        for weight in (0.0, 0.5, 1.0)
    ]
    assert breadth[0] < breadth[1] < breadth[2]


def test_oracles_show_the_best():
    loop = small(bait_share=0.3, bait_pull=2.0, appetite=2.0)
    world = loop.world
    taste = world.tastes[:, None]
    seen = world.history.mask()
    value = engagement(taste, world.positions, 2.0, 2.0 * world.bait).masked_fill(seen, -1)
    assert torch.equal(loop.run(Oracle()).slates[0][:, 0], value.argmax(dim=1))
    assert loop.run(Oracle()).table()["bait shown"].iloc[0] > 0.3
    assert loop.run(Oracle("satisfaction")).table()["bait shown"].max() == 0


def test_bait_satisfies_nobody():
    run = small(bait_share=0.5, bait_pull=1.0).run(RandomSlates())
    bait = run.world.bait[run.taken] & (run.taken >= 0)
    assert bait.any()
    assert not run.satisfied[bait].any()
    assert run.satisfaction[bait].max() == 0
    assert run.satisfaction[(run.taken >= 0) & ~bait].min() > 0


def test_the_table_against_loops():
    run = small(bait_share=0.2).run(RandomSlates())
    row, now = run.table().loc[3], 3
    x, tastes = run.world.positions, run.tastes
    taken = [(u, i) for u, i in enumerate(run.taken[now].tolist()) if i >= 0]
    assert row["click rate"] == pytest.approx(len(taken) / 40)
    assert row["taken extremity"] == pytest.approx(np.mean([abs(x[i]) for _, i in taken]))
    assert row["from taken"] == pytest.approx(np.mean([abs(x[i] - tastes[now, u]) for u, i in taken]))
    assert row["bait taken"] == pytest.approx(np.mean([bool(run.world.bait[i]) for _, i in taken]))
    assert row["polarization"] == pytest.approx(np.std(tastes[now + 1].numpy(), ddof=1))
    pairs = [
        abs(float(x[a] - x[b])) for slate in run.slates[now] for p, a in enumerate(slate) for b in slate[:p]
    ]
    assert row["shown breadth"] == pytest.approx(np.mean(pairs))
    worth = [0.0 if run.world.bait[i] else float(closeness(tastes[now, u], x[i])) for u, i in taken]
    assert row["satisfaction"] == pytest.approx(np.mean(worth))


def test_alike_by_hand():
    """Two users: three items taken by one, two by the other, one in common: 1 / 4, whichever pair is drawn."""
    from dataclasses import replace

    run = small().run(RandomSlates())
    taken = torch.tensor([[0, 0], [1, 4], [2, -1]])
    two = replace(run, taken=taken)
    assert two.alike() == 0.25
    same = replace(run, taken=torch.tensor([[0, 0], [1, 1]]))
    assert same.alike() == 1.0
    assert same.gini() == pytest.approx(1 - 2 / 80)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"drift": 1.5}, "drift"),
        ({"appetite": -1}, "appetite"),
        ({"nothing": 0}, "nothing"),
        ({"n_items": 20}, "n_items"),
        ({"warm_up": 0}, "warm_up"),
        ({"bait_share": 2}, "bait_share"),
        ({"slate_size": 1}, "slate_size"),
    ],
)
def test_knobs_out_of_range(knobs, words):
    with pytest.raises(InputError, match=words):
        small(**knobs)


def test_policies_with_wrong_settings():
    with pytest.raises(InputError, match="exploration"):
        Retrained(Popularity, exploration=1.1)
    with pytest.raises(InputError, match="objective"):
        Retrained(Popularity, objective="happiness")
    with pytest.raises(InputError, match="objective"):
        Oracle("clicks")


@pytest.mark.parametrize(
    ("slate", "words"),
    [
        (lambda s, n: torch.zeros(n, 2, dtype=torch.long), "expected item codes"),
        (lambda s, n: torch.zeros(n, 5), "expected item codes"),
        (lambda s, n: torch.arange(76, 81).expand(n, 5), "codes 76..80"),
        (lambda s, n: torch.full((n, 5), 7), "twice|taken"),
        (lambda s, n: torch.arange(5).expand(n, 5), "has taken"),
    ],
)
def test_slates_that_break_the_rules(slate, words):
    class Broken(Fixed):
        def slate(self, state, users):
            return slate(state, len(users))

    with pytest.raises(InputError, match=words):
        small(nothing=0.01).run(Broken())
