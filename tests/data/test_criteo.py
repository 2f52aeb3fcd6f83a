"""Blocks of a file: each line once, in order, whatever the borders, the workers and the ranks."""

import gzip
import operator
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from course_utils.data import criteo
from course_utils.data.criteo import load_criteo
from course_utils.errors import DataError, InputError
from course_utils.scale import memory


def lines(n, seed=0):
    """So many lines in Criteo's layout; I1 numbers them, other fields may be empty."""
    rng = np.random.default_rng(seed)
    for row in range(n):
        numbers = [str(row), *("" if x < 0 else str(x) for x in rng.integers(-3, 9, 12))]
        codes = ["" if x % 5 == 0 else f"{x:08x}" for x in rng.integers(0, 2**32, 26)]
        yield "\t".join([str(row % 2), *numbers, *codes]) + "\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("".join(lines(50)))
    return path


@pytest.mark.parametrize("size", [1, 7, 64, 500, 10**6])
@pytest.mark.parametrize("last_newline", [True, False])
def test_each_line_lies_in_one_block(file, size, last_newline):
    text = file.read_bytes()
    if not last_newline:
        text = text[:-1]
        file.write_bytes(text)
    parts = [criteo.read_block(file, b, size) for b in range(criteo.blocks(file, size))]
    assert b"".join(parts) == text


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 15))
def test_blocks_add_up_to_any_text(tmp_path_factory, lengths, size):
    path = tmp_path_factory.mktemp("text") / "x"
    path.write_text("".join("x" * n + "\n" for n in lengths))
    parts = [criteo.read_block(path, b, size) for b in range(criteo.blocks(path, size))]
    assert b"".join(parts) == path.read_bytes()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_rows_come_once_and_in_file_order(file, workers):
    loader = DataLoader(criteo.CriteoStream(file, block_bytes=900), batch_size=None, num_workers=workers)
    tables = list(loader)
    assert len(tables) == criteo.blocks(file, 900) > 5
    assert [row for table in tables for row in table["I1"]] == list(range(50))


def test_a_table_is_that_of_the_loader(file):
    (table,) = criteo.CriteoStream(file)
    whole = load_criteo(file)
    assert table.equals(whole)
    assert (table.dtypes == whole.dtypes).all()


def test_ranks_share_the_rows(file):
    seen = Counter()
    for rank in range(3):
        for table in criteo.CriteoStream(file, block_bytes=700, rank=rank, world=3):
            seen.update(table["I1"].tolist())
    assert seen == Counter(range(50))


def test_a_malformed_line_is_named_with_its_block(file):
    text = file.read_text().splitlines(keepends=True)
    text[30] = text[30].replace("\t", " ", 1)
    file.write_text("".join(text))
    with pytest.raises(DataError, match=r"from byte \d+\): line \d+: 39 field"):
        list(criteo.CriteoStream(file, block_bytes=900))


def test_wrong_arguments(file, tmp_path):
    with pytest.raises(InputError, match="rank"):
        criteo.CriteoStream(file, rank=2, world=2)
    with pytest.raises(InputError, match="block_bytes"):
        criteo.CriteoStream(file, block_bytes=0)
    with pytest.raises(DataError, match="no such file"):
        criteo.CriteoStream(tmp_path / "none.txt")
    packed = tmp_path / "train.txt.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(DataError, match="gzip"):
        criteo.CriteoStream(packed)


def test_peak_growth_sees_what_a_call_holds():
    small, large = memory.peak_growths([(operator.mul, b"x", 1000), (operator.mul, b"x", 100_000_000)])
    assert small < 10e6
    assert 90e6 < large < 130e6


def test_peak_growth_of_a_call_without_end():
    with pytest.raises(DataError, match="no answer from their process after 1 seconds"):
        memory.peak_growths([(time.sleep, 10)], timeout=1)  # waiting longer, one gets an answer


def test_peak_growth_of_a_call_that_fails(capfd):
    with pytest.raises(DataError, match="code 1"):
        memory.peak_growths([(operator.truediv, 1, 0)])


def test_the_peak_of_a_stream_does_not_grow_with_its_file(file, tmp_path):
    large = tmp_path / "large.txt"
    large.write_bytes(file.read_bytes() * (8_000_000 // file.stat().st_size))
    larger = tmp_path / "larger.txt"
    larger.write_bytes(large.read_bytes() * 3)
    calls = [(criteo.count, large), (criteo.count, larger), (criteo.load, large)]
    once, more, table = memory.peak_growths(calls)
    assert once < table / 2
    assert more < table / 4
