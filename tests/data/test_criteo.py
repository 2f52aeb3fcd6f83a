"""Blocks of a file: each line once, in order, whatever the borders and the workers."""

import gzip
import operator
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from course_utils.data import criteo
from course_utils.errors import DataError, InputError
from course_utils.scale import memory


@pytest.fixture
def file(tmp_path):
    """50 lines in Criteo's layout; I1 numbers them, other fields may be empty."""
    rng, lines = np.random.default_rng(0), []
    for row in range(50):
        numbers = ["" if x < 0 else str(x) for x in rng.integers(-3, 9, 12)]
        codes = ["" if x % 5 == 0 else f"{x:08x}" for x in rng.integers(0, 2**32, 26)]
        lines.append("\t".join([str(row % 2), str(row), *numbers, *codes]) + "\n")
    (tmp_path / "train.txt").write_text("".join(lines))
    return tmp_path / "train.txt"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 15), st.booleans())
def test_each_line_of_any_text_lies_in_one_block(tmp_path_factory, lengths, size, end):
    path = tmp_path_factory.mktemp("text") / "x"
    path.write_text("\n".join("x" * n for n in lengths) + "\n" * end)
    parts = [criteo.read_block(path, block, size) for block in range(criteo.blocks(path, size))]
    assert b"".join(parts) == path.read_bytes()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_rows_come_once_and_in_file_order(file, workers):
    loader = DataLoader(criteo.CriteoStream(file, block_bytes=900), batch_size=None, num_workers=workers)
    tables = list(loader)
    assert len(tables) == criteo.blocks(file, 900) > 5
    assert [row for table in tables for row in table["I1"]] == list(range(50))
    (table,) = criteo.CriteoStream(file)
    pd.testing.assert_frame_equal(table, criteo.load_criteo(file), check_index_type=False)


def test_what_is_refused(file, tmp_path):
    with pytest.raises(InputError, match="block_bytes"):
        criteo.CriteoStream(file, block_bytes=0)
    with pytest.raises(DataError, match="no such file"):
        criteo.CriteoStream(tmp_path / "none.txt")
    packed = tmp_path / "train.txt.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(DataError, match="gzip"):
        criteo.CriteoStream(packed)
    text = file.read_text().splitlines(keepends=True)
    text[30] = text[30].replace("\t", " ", 1)
    file.write_text("".join(text))
    with pytest.raises(DataError, match=r"from byte \d+\): line \d+: 39 field"):
        list(criteo.CriteoStream(file, block_bytes=900))


def test_peak_growth_sees_what_a_call_holds_and_how_it_ends(capfd):
    small, large = memory.peak_growths([(operator.mul, b"x", 1000), (operator.mul, b"x", 100_000_000)])
    assert small < 10e6
    assert 90e6 < large < 130e6
    with pytest.raises(DataError, match="no answer from their process after 1 seconds"):
        memory.peak_growths([(time.sleep, 10)], timeout=1)  # waiting longer, one gets an answer
    with pytest.raises(DataError, match="code 1"):
        memory.peak_growths([(operator.truediv, 1, 0)])


def test_the_peak_of_a_stream_does_not_grow_with_its_file(file, tmp_path):
    large, larger = tmp_path / "large.txt", tmp_path / "larger.txt"
    large.write_bytes(file.read_bytes() * (8_000_000 // file.stat().st_size))
    larger.write_bytes(large.read_bytes() * 3)
    calls = [(criteo.count, large), (criteo.count, larger), (criteo.load_criteo, large)]
    once, more, table = memory.peak_growths(calls)
    assert once < table / 2
    assert more < table / 4
