"""Amazon's and Criteo's files: found, read line by line, and refused by the number of the line that is wrong."""

import gzip
import itertools
import shutil

import pandas as pd
import pytest

from course_utils import data
from course_utils.data import iter_criteo, lines, load_amazon_movies, load_criteo
from course_utils.errors import DataError, InputError

AMAZON = ["A1,0001,5.0,1400000000", "A2,NA,1.0,1300000000", '"A3,0001,3.5,1200000000']
DASHES = [""] * 26


def criteo_line(label="0", integers=("1",) * 13, categories=("68fd1e64",) * 26):
    return "\t".join([label, *integers, *categories])


CRITEO = [
    criteo_line("1", ["-2", "", "2147483648", *["0"] * 10]),
    criteo_line("0", [""] * 13, DASHES),
    criteo_line("1", categories=["1e100000", *DASHES[1:-1], "00000000"]),
]


def text_file(path, rows, packed=False, end="\n"):
    content = ("\n".join(rows) + end).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", ["\n", ""])
def test_amazon(tmp_path, packed, end):
    table = load_amazon_movies(text_file(tmp_path / "any.name", AMAZON, packed, end))
    # leading zeros and the word NA stay text
    ids = {"user_id": ["A1", "A2", '"A3'], "item_id": ["0001", "NA", "0001"]}
    numbers = {"rating": [5.0, 1.0, 3.5], "timestamp": [1400000000, 1300000000, 1200000000]}
    assert table.to_dict("list") == ids | numbers
    assert table.dtypes[["rating", "timestamp"]].tolist() == ["float64", "int64"]


@pytest.mark.parametrize("packed", [False, True])
def test_criteo(tmp_path, packed):
    table = load_criteo(text_file(tmp_path / "train.txt", CRITEO, packed))
    numbers, codes = [f"I{i}" for i in range(1, 14)], [f"C{i}" for i in range(1, 27)]
    assert list(table.columns) == ["label", *numbers, *codes]
    assert table["label"].tolist() == [1, 0, 1]
    assert set(table[numbers].dtypes) == {pd.Int64Dtype()}
    assert table.loc[0, ["I1", "I3"]].tolist() == [-2, 2147483648]
    assert table.loc[0, numbers].isna().tolist() == [False, True] + [False] * 11
    assert table["C1"].tolist()[::2] == ["68fd1e64", "1e100000"]  # text, not 1 * 10 ** 100000
    assert table.iloc[1, 1:].isna().all()
    assert table.loc[2, "C26"] == "00000000"


BELOW_2_64 = str(2**64 - 616)  # pandas reads it as -616 in a column where a number may be missing
NO_INTEGERS = ["9" * 19, "9" * 30, "-" + "9" * 19, "0x1", "12345678901234567890", "inf", BELOW_2_64, "1" * 16, "1.5"]
AMAZON_WRONG = [
    *(("A1,0001,5.0", "3 field"), ("A1,0001,5.0,1,2", "5 field"), ("", "1 field")),
    *(("A1,0001,five,1", "a number in rating, got 'five'"), ("A1,0001,nan,1", "a number in rating")),
    *(("A1,0001,5.0,then", "an integer in timestamp, got 'then'"), ("A1,0001,5.0,", "an integer in timestamp")),
    *((f"A1,0001,{rating},1", "a rating from 1 to 5") for rating in ("", "6.0")),
    *((f"{ids},5.0,1", "a user and an item") for ids in (",0001", "A1,")),
    *((f"A1,0001,5.0,{number}", f"an integer in timestamp, got '{number}'") for number in NO_INTEGERS),
]
CRITEO_WRONG = [
    *((criteo_line()[:-9], "39 field"), (criteo_line() + "\t", "41 field")),
    *((criteo_line("2"), "a label of 0 or 1"), (criteo_line(""), "an integer in label")),
    (criteo_line(categories=[*DASHES[1:], "68fd1e6"]), "8 hex digits or nothing in C26"),
    (criteo_line(categories=["68fd1e6g", *DASHES[1:]]), "8 hex digits or nothing in C1"),
    *((criteo_line(number), f"an integer in label, got '{number}'") for number in NO_INTEGERS),
    *((criteo_line(integers=[x, *["0"] * 12]), f"integer in I1, got '{x}'") for x in (*NO_INTEGERS, "x", "NA")),
    *((criteo_line(integers=[*["0"] * 12, x]), f"integer in I13, got '{x}'") for x in (*NO_INTEGERS, "x", "NA")),
]
WRONG = [(load_amazon_movies, AMAZON, *case) for case in AMAZON_WRONG]
WRONG += [(load_criteo, CRITEO, *case) for case in CRITEO_WRONG]


@pytest.mark.parametrize(("load", "good", "line", "words"), WRONG)
def test_the_malformed_line_is_named(tmp_path, monkeypatch, load, good, line, words):
    monkeypatch.setattr(lines, "CHUNK", 2)  # so that line numbers cross chunks
    path = text_file(tmp_path / "a.csv", [*good, line, *good])
    with pytest.raises(DataError, match=rf"a\.csv: line 4: .*{words}"):
        load(path)


@pytest.mark.parametrize("number", [10**15 - 1, 1 - 10**15, 2**31, 0])
def test_integers_are_exact(tmp_path, number):
    integers = [str(number), *["3"] * 12]
    assert load_criteo(text_file(tmp_path / "x", [criteo_line(integers=integers)])).loc[0, "I1"] == number
    assert load_amazon_movies(text_file(tmp_path / "y", [f"a,b,5,{number}"])).timestamp[0] == number


NO_TEXT = [(criteo_line(categories=["\xff", *DASHES[1:]]).encode("latin-1") + b"\n", "lines 1 to 1 are no UTF-8 text")]
NO_TEXT += [(criteo_line().encode() + b"\n" + b"1" * 5000, "line 2: no end within 1,000 bytes")]


@pytest.mark.parametrize(("content", "words"), NO_TEXT)
def test_what_is_no_text(tmp_path, monkeypatch, content, words):
    monkeypatch.setattr(lines, "LONGEST_LINE", 1000)
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_criteo(tmp_path / "x")


@pytest.mark.parametrize("kind", ["tar", "gztar", "zip"])
def test_an_archive_in_place_of_the_file(tmp_path, kind):
    text_file(tmp_path / "dac" / "train.txt", CRITEO)
    with pytest.raises(DataError, match="a zip or tar archive; unpack it"):
        load_criteo(shutil.make_archive(str(tmp_path / "dac"), kind, tmp_path / "dac"))


def test_criteo_streams(tmp_path, monkeypatch):
    path = text_file(tmp_path / "train.txt", CRITEO * 5, packed=True)
    whole, chunks = load_criteo(path), list(iter_criteo(path, chunk_rows=4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 4, 3]
    assert whole.index.tolist() == list(range(15))
    pd.testing.assert_frame_equal(pd.concat(chunks), whole)
    for chunk, rows in itertools.product((4, lines.CHUNK), (1, 3, 4, 5, 8, 13, 14, 15, 99)):
        monkeypatch.setattr(lines, "CHUNK", chunk)
        pd.testing.assert_frame_equal(load_criteo(path, rows=rows), whole.iloc[:rows])
    for call, name in ((load_criteo, "rows"), (iter_criteo, "chunk_rows")):
        with pytest.raises(InputError, match=f"{name}: got 0"):
            call(tmp_path, **{name: 0})


def test_criteo_reads_no_further_than_asked(tmp_path):
    """A gzip file cut off behind the rows asked for still gives them."""
    whole = gzip.compress("".join(f"{line}\n" for line in CRITEO * 2000).encode(), mtime=0)
    (tmp_path / "train.txt.gz").write_bytes(whole[:-20])
    assert len(load_criteo(tmp_path, rows=10)) == 10
    with pytest.raises(DataError, match=r"train.txt.gz: truncated or damaged after line \d+"):
        load_criteo(tmp_path)


FOUND = [("amazon-movies", load_amazon_movies, AMAZON, "ratings_Movies_and_TV.csv")]
FOUND += [("criteo-kaggle", load_criteo, CRITEO, "train.txt")]


@pytest.mark.parametrize(("name", "load", "rows", "file"), FOUND)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_found_below_the_data_folder(tmp_path, monkeypatch, name, load, rows, file, suffix):
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder, words in (("", f"{name}: pass path=, or set COURSE_DATA_DIR"), ("~/data", f"{name}: no file .*{file}")):
        monkeypatch.setenv("COURSE_DATA_DIR", folder)
        assert not data.available(name)
        with pytest.raises(DataError, match=words):
            load()
    path = text_file(tmp_path / "data" / name / (file + suffix), rows, packed=bool(suffix))
    assert data.available(name)
    for given in (None, path, str(path.parent), f"~/data/{name}"):  # a file, or the folder that holds it
        assert len(load(given)) == 3
    with pytest.raises(DataError, match=f"{name}: no file .*elsewhere"):
        load(tmp_path / "elsewhere")
    path.write_bytes(b"")
    with pytest.raises(DataError, match="empty, expected"):
        load(path)
    with pytest.raises(InputError, match="name: got 'netflix', expected one of 'amazon-movies', 'criteo-kaggle'"):
        data.available("netflix")


@pytest.mark.skipif(not data.available("amazon-movies"), reason="COURSE_DATA_DIR does not hold the real files")
def test_real_files():
    amazon, clicks = load_amazon_movies(), load_criteo()
    assert amazon["rating"].isin([1, 2, 3, 4, 5]).all()
    assert not amazon.duplicated(["user_id", "item_id"]).any()
    assert (len(amazon), amazon["user_id"].nunique(), amazon["item_id"].nunique()) == (57_019, 2_579, 3_107)
    assert amazon["rating"].mean() == pytest.approx(3.937, abs=5e-4)
    assert [pd.to_datetime(time, unit="s").year for time in amazon["timestamp"].agg(["min", "max"])] == [1998, 2014]
    assert clicks.shape == (8_000, 40)
    assert clicks["label"].mean() == pytest.approx(0.216)
    assert (clicks["I2"].min() < 0, clicks["I1"].isna().any(), clicks["C1"].notna().all()) == (True, True, True)
    pd.testing.assert_frame_equal(pd.concat(iter_criteo(chunk_rows=3_000)), clicks)
