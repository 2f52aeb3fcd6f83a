"""Tables to tensors: what is learned comes from the training part alone, and from a stream as from one table."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import refusals
from sklearn.preprocessing import StandardScaler

from course_utils.data.encoder import Encoder
from course_utils.models.dlrm import DLRM, click_loss, inputs
from course_utils.models.factorization_machines import FactorizationMachine

ROWS = [[0, 1.0, "b", "A|B", 0], [3, 2.0, "a", "", 1], [None, 3.0, "b", "B", 1], [1, 6.0, None, "B|C", 0]]
TRAIN = pd.DataFrame(ROWS, columns=["n", "x", "c", "g", "label"])
LATER = pd.DataFrame({"n": [-2], "x": [3.0], "c": ["z"], "g": ["C|Z|A"], "label": [1]})


def made(**settings):
    return Encoder(["n", "x"], ["c"], ["g"], log=["n"], **settings).fit(TRAIN)


def labelled(**columns):
    return pd.DataFrame(columns).assign(label=0)


def test_by_hand():
    encoder = made()
    rows = encoder.transform(TRAIN)
    logs = np.log1p([0, 3, 1])
    expected = (logs - logs.mean()) / logs.std()
    with_mean = [expected[0], expected[1], 0, expected[2]]  # for the one that is missing
    assert rows.dense[:, 0].numpy() == pytest.approx(with_mean)
    assert rows.dense[:, 1].numpy() == pytest.approx(StandardScaler().fit_transform(TRAIN[["x"]])[:, 0])
    assert rows.codes[:, 0].tolist() == [1, 3, 1, 2]  # b twice; then "(missing)", a
    assert rows.bags[0].tolist() == [[2, 1], [-1, -1], [1, -1], [1, 3]]  # B thrice; then A, C
    assert rows.labels.tolist() == [0, 1, 1, 0]
    assert rows.cardinalities == (4, 4)
    one_hot = rows.one_hot().toarray()
    assert np.array_equal(one_hot[:, :2], rows.dense.numpy())
    assert one_hot[:, 2:6].tolist() == [[0, 1, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert one_hot[:, 6:].tolist() == [[0, 1, 1, 0], [0] * 4, [0, 1, 0, 0], [0, 1, 0, 1]]
    later = encoder.transform(LATER)
    assert later.dense[0, 0].item() == pytest.approx(expected[0])  # a negative count is 0
    assert later.codes.tolist() == [[0]]
    assert later.bags[0].tolist() == [[3, 0, 2]]
    again = encoder.transform(TRAIN)  # the later part has changed nothing
    assert all(map(torch.equal, rows.tensors(), again.tensors()))
    frequent = made(min_count=2)  # rare values share code 0
    assert frequent.cardinalities == (2, 2)
    assert frequent.transform(TRAIN).codes[:, 0].tolist() == [1, 0, 1, 0]


@given(st.integers(1, 40), st.integers(1, 4), st.sampled_from([None, 3]))
def test_a_stream_learns_what_one_table_learns(size, min_count, buckets):
    draw, n = np.random.default_rng(size), 40
    x = np.where(draw.random(n) < 0.2, np.nan, draw.normal(3, 2, n))
    table = labelled(x=x, c=draw.choice(list("abcdefgh"), n), g=draw.choice(["", "A", "A|B", "C|D"], n))
    chunks = (table[start : start + size] for start in range(0, n, size))
    both = (Encoder(["x"], ["c"], ["g"], min_count=min_count, buckets=buckets).fit(part) for part in (table, chunks))
    one, other = (encoder.transform(table) for encoder in both)
    assert torch.allclose(one.dense, other.dense, atol=1e-9)
    assert all(map(torch.equal, one.tensors()[1:], other.tensors()[1:]))


def test_hashing_keeps_codes_in_range_and_does_not_depend_on_the_other_values():
    values = labelled(c=[f"v{i}" for i in range(200)])
    encoder = Encoder([], ["c"], buckets=50).fit(values)
    codes = encoder.transform(values).codes[:, 0]
    assert encoder.cardinalities == (51,)
    assert (codes.min() >= 1, codes.max() <= 50) == (True, True)
    few = Encoder([], ["c"], buckets=50).fit(values[50:60]).transform(values[50:60]).codes[:, 0]
    assert torch.equal(few, codes[50:60])
    assert 40 < codes.unique().numel() < 50  # 50 (1 - (1 - 1/50)^200) = 49.1 expected


def test_click_loss_by_hand():
    batch = (torch.tensor([[3.0], [1.0]]), torch.zeros(2, 1, dtype=torch.long), torch.tensor([1.0, 0.0]))
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
    assert model(*inputs(rows.tensors())).detach().numpy() == pytest.approx(rows.one_hot() @ weights)
    plain = Encoder(["x"], ["c"]).fit(TRAIN).transform(TRAIN)  # no bags: plain codes
    dense, codes, offsets = inputs(plain.tensors())
    assert offsets is None
    assert torch.equal(codes, plain.codes)
    assert DLRM(1, plain.cardinalities, 2, [2], [1])(dense, codes, offsets).shape == (4,)


@pytest.mark.parametrize("chunks", [1, 2, 7])
@pytest.mark.parametrize("mean", [0.0, 3.0, -1e5, 8.8e8, 1.7e12])
def test_deviation_far_from_zero(chunks, mean):
    # It drifts, so that the first chunk tells little.
    x = mean + np.random.default_rng(0).normal(size=700).cumsum()
    table = labelled(x=x, late=np.where(np.arange(700) < 400, np.nan, x))
    encoder = Encoder(["x", "late"], []).fit(table.iloc[rows] for rows in np.array_split(np.arange(700), chunks))
    assert encoder.deviation == pytest.approx([x.std(), x[400:].std()], rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-12, 8.8e8 / 7, 1e12 + 0.1])
def test_a_constant_column_is_zeros(value):
    table = labelled(x=[value] * 997)
    assert Encoder(["x"], []).fit([table[:400], table[400:]]).transform(table).dense.abs().max() < 1e-3
    assert Encoder(["x"], []).fit(table).deviation == 1
    small = labelled(x=[1e-11, 3e-11])  # standardised too
    assert Encoder(["x"], []).fit(small).transform(small).dense[:, 0].tolist() == pytest.approx([-1, 1])


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
    fractions = Encoder([], ["size"]).fit(labelled(size=[1.0, 1.5, 1.25, None]))  # stay values of their own
    assert set(fractions.codes["size"].index) == {"1", "1.5", "1.25", "(missing)"}


@pytest.mark.parametrize("labels", [[True, False], [1, 0], [1.0, 0.0], pd.array([1, 0], "Int64")])
def test_labels_of_every_type(labels):
    table = pd.DataFrame({"x": [1, 2], "label": labels})
    assert Encoder(["x"], []).fit(table).transform(table).labels.tolist() == [1, 0]


def encode(words, table, **settings):
    return words, lambda: Encoder(["x"], [], **settings).fit(table).transform(table)


X = labelled(x=[1, 2])
BAGS = [[["Drama"], ["Comedy", "War"], []], [1, 2, 3], [("a",), None, ("b",)]]
LABELS = [([0, 2], "1 value.s. such as 2, expected 0 or 1"), ([-1, 1], "1 value.s. such as -1")]
LABELS += [([None, 1], "1 value.s. such as nan"), (["no", "yes"], "a column of type")]
test_refusals = refusals(
    *(encode(r"log: got \['y'\]", X, log=["y"]), encode("min_count", X, min_count=0)),
    *(encode(".*expected a column 'x'", TRAIN[["c"]]), encode(".*tables: got no row", X[:0])),
    *(encode(".*expected a column 'label'", X.drop(columns="label")), encode("table: got 2 columns 'x'", X[["x", *X]])),
    *(encode("x: got an infinite value", labelled(x=[1.0, -np.inf])), encode("x: got a column", labelled(x=[*"ab"]))),
    *(encode(f"label: got {words}", X.assign(label=values)) for values, words in LABELS),
    *(encode(r"g: got .* values, expected text joined by \|", labelled(x=1, g=bag), bags=["g"]) for bag in BAGS),
    (".*before transform", Encoder(["x"], []).transform, X),
)
