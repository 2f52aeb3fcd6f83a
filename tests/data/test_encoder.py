"""Tables to tensors: what is learned comes from the training part alone, and from a stream as from one table."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from course_utils.data.encoder import Encoder
from course_utils.errors import InputError
from course_utils.models.dlrm import DLRM, click_loss, inputs
from course_utils.models.factorization_machines import FactorizationMachine

TRAIN = pd.DataFrame(
    {
        "n": [0, 3, None, 1],
        "x": [1.0, 2, 3, 6],
        "c": ["b", "a", "b", None],
        "g": ["A|B", "", "B", "B|C"],
        "label": [0, 1, 1, 0],
    }
)
LATER = pd.DataFrame({"n": [-2], "x": [3.0], "c": ["z"], "g": ["C|Z|A"], "label": [1]})


def made(**settings):
    return Encoder(["n", "x"], ["c"], ["g"], log=["n"], **settings).fit(TRAIN)


def test_by_hand():
    encoder = made()
    rows = encoder.transform(TRAIN)
    logs = np.log1p([0, 3, 1])
    expected = (logs - logs.mean()) / logs.std()
    assert rows.dense[:, 0].numpy() == pytest.approx(
        [expected[0], expected[1], 0, expected[2]]
    )  # missing: the mean
    assert rows.dense[:, 1].numpy() == pytest.approx(StandardScaler().fit_transform(TRAIN[["x"]])[:, 0])
    assert rows.codes[:, 0].tolist() == [1, 3, 1, 2]  # b twice; then "(missing)", a
    assert rows.bags[0].tolist() == [[2, 1], [-1, -1], [1, -1], [1, 3]]  # B thrice; then A, C
    assert rows.labels.tolist() == [0, 1, 1, 0]
    assert rows.cardinalities == (4, 4)
    later = encoder.transform(LATER)
    assert later.dense[0, 0].item() == pytest.approx(expected[0])  # a negative count is 0
    assert later.codes.tolist() == [[0]]
    assert later.bags[0].tolist() == [[3, 0, 2]]


def test_rare_values_share_code_0():
    encoder = made(min_count=2)
    assert encoder.cardinalities == (2, 2)
    assert encoder.transform(TRAIN).codes[:, 0].tolist() == [1, 0, 1, 0]


def test_later_parts_change_nothing():
    encoder = made()
    before = encoder.transform(TRAIN)
    encoder.transform(LATER)
    after = encoder.transform(TRAIN)
    assert torch.equal(before.dense, after.dense)
    assert torch.equal(before.codes, after.codes)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.sampled_from([None, 3]))
def test_a_stream_learns_what_one_table_learns(size, min_count, buckets):
    generator = np.random.default_rng(size)
    n = 40
    table = pd.DataFrame(
        {
            "x": np.where(generator.random(n) < 0.2, np.nan, generator.normal(3, 2, n)),
            "c": generator.choice(list("abcdefgh"), n),
            "g": generator.choice(["", "A", "A|B", "C|D"], n),
            "label": 1,
        }
    )
    chunks = [table[start : start + size] for start in range(0, n, size)]
    both = [
        Encoder(["x"], ["c"], ["g"], min_count=min_count, buckets=buckets).fit(source)
        for source in (table, iter(chunks))
    ]
    one, other = (encoder.transform(table) for encoder in both)
    assert torch.allclose(one.dense, other.dense, atol=1e-9)
    assert torch.equal(one.codes, other.codes)
    assert torch.equal(one.bags[0], other.bags[0])


def test_hashing_keeps_codes_in_range_and_does_not_depend_on_the_other_values():
    values = pd.DataFrame({"c": [f"v{i}" for i in range(200)], "label": 0})
    encoder = Encoder([], ["c"], buckets=50).fit(values)
    codes = encoder.transform(values).codes[:, 0]
    assert encoder.cardinalities == (51,)
    assert codes.min() >= 1
    assert codes.max() <= 50
    few = Encoder([], ["c"], buckets=50).fit(values[50:60]).transform(values[50:60]).codes[:, 0]
    assert torch.equal(few, codes[50:60])
    assert 40 < codes.unique().numel() < 50  # 50 (1 - (1 - 1/50)^200) = 49.1 expected


def test_one_hot_is_the_sum_of_the_features():
    rows = made().transform(TRAIN)
    matrix = rows.one_hot().toarray()
    assert matrix.shape == (4, 2 + 4 + 4)
    assert np.array_equal(matrix[:, :2], rows.dense.numpy())
    assert matrix[:, 2:].tolist() == [
        [0, 1, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0, 1, 0, 1],
    ]


def test_click_loss_by_hand():
    labels = torch.tensor([1.0, 0.0])
    batch = (torch.tensor([[3.0], [1.0]]), torch.zeros(2, 1, dtype=torch.long), labels)
    odds = lambda dense, codes, offsets: dense[:, 0].log()  # noqa: E731  chances of 3/4 and 1/2
    assert click_loss(odds, batch).item() == pytest.approx(-(np.log(3 / 4) + np.log(1 / 2)) / 2)


def test_inputs_fit_the_models():
    """A linear model on one_hot and the linear part of a factorisation machine give the same logits."""
    torch.manual_seed(0)
    rows = made().transform(TRAIN)
    model = FactorizationMachine(rows.cardinalities, 2, num_dense=2)
    torch.nn.init.normal_(model.linear.weight)
    torch.nn.init.normal_(model.dense_linear)
    torch.nn.init.zeros_(model.embeddings.weight)
    torch.nn.init.zeros_(model.dense_factors)
    weights = torch.cat([model.dense_linear, model.linear.weight[:, 0]]).detach().numpy()
    logits = model(*inputs(rows.tensors())).detach().numpy()
    assert logits == pytest.approx(rows.one_hot() @ weights)
    plain = Encoder(["x"], ["c"]).fit(TRAIN).transform(TRAIN)  # no bags: plain codes
    dense, codes, offsets = inputs(plain.tensors())
    assert offsets is None
    assert torch.equal(codes, plain.codes)
    assert DLRM(1, plain.cardinalities, 2, [2], [1])(dense, codes, offsets).shape == (4,)


def test_refuses_what_cannot_be():
    with pytest.raises(InputError, match=r"log: got \['y'\]"):
        Encoder(["x"], [], log=["y"])
    with pytest.raises(InputError, match="min_count"):
        Encoder(["x"], [], min_count=0)
    with pytest.raises(InputError, match="expected a column 'x'"):
        Encoder(["x"], []).fit(TRAIN[["c"]])
    with pytest.raises(InputError, match="tables: got no row"):
        Encoder(["x"], []).fit(iter([]))
    with pytest.raises(InputError, match="before transform"):
        Encoder(["x"], []).transform(TRAIN)
    with pytest.raises(InputError, match="expected a column 'label'"):
        made().transform(TRAIN.drop(columns="label"))


# ---- nothing is lost in silence --------------------------------------------------------------------------------


def labelled(**columns):
    return pd.DataFrame(columns).assign(label=0)


@pytest.mark.parametrize("chunks", [1, 2, 7])
@pytest.mark.parametrize("mean", [0.0, 3.0, -1e5, 8.8e8, 1.7e12])
def test_deviation_far_from_zero(chunks, mean):
    x = (
        mean + np.random.default_rng(0).normal(size=700).cumsum()
    )  # it drifts, so the first chunk tells little
    table = labelled(x=x, late=np.where(np.arange(700) < 400, np.nan, x))
    encoder = Encoder(["x", "late"], []).fit(
        table.iloc[rows] for rows in np.array_split(np.arange(700), chunks)
    )
    assert encoder.deviation == pytest.approx([x.std(), x[400:].std()], rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-12, 8.8e8 / 7, 1e12 + 0.1])
def test_a_constant_column_is_zeros(value):
    table = labelled(x=[value] * 997)
    dense = Encoder(["x"], []).fit([table[:400], table[400:]]).transform(table).dense
    assert dense.abs().max() < 1e-3
    assert Encoder(["x"], []).fit(table).deviation == 1


def test_small_units_are_standardised_too():
    table = labelled(x=[1e-11, 3e-11])
    assert Encoder(["x"], []).fit(table).transform(table).dense[:, 0].tolist() == pytest.approx([-1, 1])


@pytest.mark.parametrize("kind", ["int64", "Int64", "float64", "Float64", "object"])
def test_a_gap_changes_no_code(kind):
    past = labelled(store=pd.array([1, 2, 3], kind if kind != "object" else "int64"))
    encoder = Encoder([], ["store"]).fit(past)
    known = encoder.transform(past).codes[:, 0].tolist()
    later = labelled(store=[1, 2, None])  # pandas makes it float64
    assert encoder.transform(later).codes[:, 0].tolist() == [*known[:2], 0]
    gap = Encoder([], ["store"]).fit(later)
    assert gap.transform(past).codes[:2, 0].tolist() == gap.transform(later).codes[:2, 0].tolist()
    assert 0 not in gap.transform(later).codes


def test_fractions_stay_values_of_their_own():
    table = labelled(size=[1.0, 1.5, 1.25, None])
    assert set(Encoder([], ["size"]).fit(table).codes["size"].index) == {"1", "1.5", "1.25", "(missing)"}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (labelled(x=[1.0, -np.inf]), "x: got an infinite value"),
        (labelled(x=["a", "b"]), "x: got a column of type"),
        (labelled(x=[1, 2]).assign(label=[0, 2]), "label: got 1 value.s. such as 2, expected 0 or 1"),
        (labelled(x=[1, 2]).assign(label=[-1, 1]), "label: got 1 value.s. such as -1"),
        (labelled(x=[1, 2]).assign(label=[None, 1]), "label: got 1 value.s. such as nan"),
        (labelled(x=[1, 2]).assign(label=["no", "yes"]), "label: got a column of type"),
        (labelled(x=[1, 2])[["x", "x", "label"]], "table: got 2 columns 'x'"),
    ],
)
def test_values_that_no_loss_should_see(table, says):
    with pytest.raises(InputError, match=says):
        Encoder(["x"], []).fit(table).transform(table)


@pytest.mark.parametrize("labels", [[True, False], [1, 0], [1.0, 0.0], pd.array([1, 0], "Int64")])
def test_labels_of_every_type(labels):
    table = labelled(x=[1, 2]).assign(label=labels)
    assert Encoder(["x"], []).fit(table).transform(table).labels.tolist() == [1, 0]


@pytest.mark.parametrize("genres", [[["Drama"], ["Comedy", "War"], []], [1, 2, 3], [("a",), None, ("b",)]])
def test_a_bag_is_text(genres):
    table = pd.DataFrame({"genres": pd.Series(genres, dtype=object), "label": 0})
    with pytest.raises(InputError, match=r"genres: got .* values, expected text joined by \|"):
        Encoder([], [], ["genres"]).fit(table)
