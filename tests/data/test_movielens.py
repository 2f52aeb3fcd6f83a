"""MovieLens: sources, checksums, the cache, archives; a server on this machine takes the network's place."""

import functools
import http.server
import io
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import warnings
import zipfile
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from shared import python, refusals

from course_utils.data import files, load_movielens, movielens
from course_utils.errors import DataError

U_DATA = b"7\t3\t5\t880000000\n9\t1\t1\t880000001\n7\t1\t4\t879999999\n8\t2\t3\t880000002\n"
U_USER = b"7|24|M|technician|85711\n8|53|F|none|T8H1N\n9|23|M|NA|01234\n"
FILMS = [  # id, GroupLens' title and genres; title, year and genres in the book
    ("1", "Plain Film (1995)", "Animation Children's Comedy", "Plain Film", "1995", "Animation|Children's|Comedy"),
    ("2", "Café au Lait, Le (Mépris, Le) (1993)", "Drama", "Café au Lait, Le (Mépris, Le)", "1993", "Drama"),
    ("3", "unknown", "unknown", "unknown", "", ""),
    ("4", "Land of the (1995) Giants (1996) (V)", "Animation", "Land of the (1995) Giants", "1996", "Animation"),
    ("5", "Trailing  Blanks (1996) ", "Crime Film-Noir", "Trailing Blanks", "1996", "Crime|Film-Noir"),
    ("6", "1-900 (1994)", "unknown", "1-900", "1994", ""),
]
ROWS = [("item_id", "title", "year", "genres"), *((film[0], *film[3:]) for film in FILMS), ()]
ITEMS_TSV = "\n".join(map("\t".join, ROWS)).encode()
FILES = {"u.data": U_DATA, "u.user": U_USER, "items.tsv": ITEMS_TSV}
TINY_SHA256 = {name: files.sha256(content) for name, content in FILES.items()}
OTHER = U_DATA.replace(b"5", b"4", 1)
NOWHERE = "http://127.0.0.1:9/ml-100k.zip"


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def grouplens_zip(u_data=U_DATA, films=FILMS, u_item=b""):
    lines = []
    for item, title, genres, *_ in films:
        flags = "|".join(str(int(genre in genres.split())) for genre in movielens.GENRES)
        lines.append(f"{item}|{title}|01-Jan-1995||http://example.org/{item}|{flags}\n")
    members = {"u.data": u_data, "u.user": U_USER, "u.item": u_item or "".join(lines).encode("latin-1")}
    return zipped({f"ml-100k/{name}": content for name, content in members.items()})


def recbole_wheel(u_data=U_DATA):
    lines = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"]
    for item, title, genres, *_ in FILMS:
        # as the real wheel: the last bracket of the title is the year, even where that is "V"
        name, _, year = " ".join(title.split()).rpartition(" (")
        name, year = (name, year.rstrip(")")) if name else ("unkonwn", "unkonwn")
        lines.append(f"{item}\t{name}\t{year}\t{genres}\n")
    inside, info = "recbole/dataset_example/ml-100k/ml-100k.", "recbole-1.2.1.dist-info/"
    members = {
        inside + "inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + u_data,
        inside + "user": b"user_id:token\tage:token\n" + U_USER.replace(b"|", b"\t"),
        inside + "item": "".join(lines).encode(),
        info + "METADATA": "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n",
        info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        info + "RECORD": "",
    }
    return zipped(members)


@contextmanager
def serving(root, context=None):
    """A server of a folder's files, at the port that it gives."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *said: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(root)))
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The made-up data takes MovieLens' place, a server that of its sources; no pip until a wheel is offered."""
    for name in [name for name in os.environ if name.upper().endswith("_PROXY") or name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(movielens, "MOVIELENS_SHA256", TINY_SHA256)
    monkeypatch.setattr(movielens, "_memory", {})
    index = tmp_path / "served" / "simple" / "recbole"
    index.mkdir(parents=True)

    def offer(wheel=None, archive=None, fragment="", known=None):
        if wheel:
            monkeypatch.setattr(movielens, "download_wheel", files.download_wheel)
            name = "recbole-1.2.1-py3-none-any.whl"
            (index / name).write_bytes(wheel)
            (index / "index.html").write_text(f'<!DOCTYPE html><a href="{name}{fragment}">{name}</a>')
        if archive:
            (tmp_path / "served" / "ml-100k.zip").write_bytes(archive)
            monkeypatch.setattr(movielens, "ARCHIVE_SHA256", known or files.sha256(archive))

    monkeypatch.setattr(movielens, "download_wheel", Mock(side_effect=DataError("No module named pip")))
    with serving(tmp_path / "served") as port:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple/")
        monkeypatch.setattr(movielens, "ARCHIVE_URL", f"http://127.0.0.1:{port}/ml-100k.zip")
        yield SimpleNamespace(cache=tmp_path / "cache" / "ml-100k", offer=offer)


def cut_off(monkeypatch):
    """From here on, whoever opens a connection or starts pip fails the test."""
    monkeypatch.setattr(socket.socket, "connect", None)
    monkeypatch.setattr(subprocess, "run", None)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("source", [{"wheel": recbole_wheel()}, {"archive": grouplens_zip()}], ids=list)
def test_each_source_gives_the_same_files_and_tables(tiny, source):
    tiny.offer(**source)
    loaded = load_movielens()
    assert contents(tiny.cache) == FILES
    ratings, users, items = loaded.ratings, loaded.users, loaded.items
    assert ratings.to_numpy().tolist()[:2] == [[7, 3, 5.0, 880000000], [9, 1, 1.0, 880000001]]
    assert ratings.dtypes.astype(str).tolist() == ["int64", "int64", "float64", "int64"]
    assert users["zip_code"].tolist() == ["85711", "T8H1N", "01234"]
    assert users["occupation"].tolist() == ["technician", "none", "NA"]  # words, not missing values
    assert (str(items["year"].dtype), items["year"].isna().tolist()) == ("Int64", [False, False, True] + [False] * 3)
    assert items["title"].tolist()[1:4] == ["Café au Lait, Le (Mépris, Le)", "unknown", "Land of the (1995) Giants"]
    assert items["genres"].tolist()[::2] == ["Animation|Children's|Comedy", "", "Crime|Film-Noir"]


def test_an_archive_put_there_by_hand_and_then_the_cache_need_no_network(tiny, monkeypatch):
    cut_off(monkeypatch)
    tiny.cache.parent.mkdir()
    tiny.cache.with_suffix(".zip").write_bytes(grouplens_zip())
    monkeypatch.setattr(movielens, "ARCHIVE_SHA256", files.sha256(grouplens_zip()))
    first = load_movielens()
    tiny.cache.with_suffix(".zip").write_bytes(grouplens_zip(OTHER))
    second = load_movielens()  # from the cache
    first.ratings.loc[0, "rating"] = -1  # a reader's scribble must not reach the next load
    assert second.ratings.loc[0, "rating"] == load_movielens().ratings.loc[0, "rating"] == 5
    shutil.rmtree(tiny.cache)
    with pytest.raises(DataError, match="has sha256"):
        load_movielens()


ARCHIVE = grouplens_zip()
SOURCES = [({"wheel": recbole_wheel(OTHER)}, r"registry wheel: u.data has sha256 \w+, expected")]
SOURCES += [({"archive": grouplens_zip(films=FILMS[1:])}, r"GroupLens' archive: items\.tsv has sha256")]
SOURCES += [({"archive": ARCHIVE, "known": "1" * 64}, r"GroupLens' archive: http.*hash")]
SOURCES += [({"archive": grouplens_zip(u_item=b"|||\n" + b"|" * 99)}, "GroupLens' archive: item file does not parse")]
SOURCES += [({"archive": ARCHIVE[:keep]}, "ml-100k.zip: truncated or damaged") for keep in (10, 200, -30)]


@pytest.mark.parametrize(("source", "words"), SOURCES, ids=range(7))
def test_a_source_with_other_bytes_is_refused(tiny, source, words):
    tiny.offer(**source)
    with pytest.raises(DataError, match=words):
        load_movielens()
    assert not tiny.cache.exists()
    tiny.offer(archive=grouplens_zip())  # the next source is asked
    assert load_movielens().ratings["rating"].tolist() == [5, 1, 4, 3]


def test_a_wheel_is_held_to_the_hash_of_its_index(tiny, tmp_path):
    wheel = recbole_wheel()
    tiny.offer(wheel, fragment=f"#sha256={'0' * 64}")
    with pytest.raises(DataError, match=r"pip download recbole==1\.2\.1: .*"):
        files.download_wheel("recbole==1.2.1", tmp_path)
    assert not list(tmp_path.glob("*.whl"))
    tiny.offer(wheel, fragment=f"#sha256={files.sha256(wheel)}")
    assert files.download_wheel("recbole==1.2.1", tmp_path).read_bytes() == wheel


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [lambda x: x[:-3], lambda x: x.replace(b"1", b"2"), lambda x: b"", None])
def test_a_damaged_cache_is_repaired(tiny, name, damage):
    tiny.offer(archive=grouplens_zip())
    tiny.cache.mkdir(parents=True)
    for file, content in FILES.items():
        if damage or file != name:
            (tiny.cache / file).write_bytes(damage(content) if file == name else content)
    load_movielens()
    assert contents(tiny.cache) == FILES


def test_no_source_says_what_to_do(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(movielens, "ARCHIVE_URL", NOWHERE)
    with pytest.raises(DataError, match=r"What to do[\s\S]*this Python has no pip: first python -m ensurepip"):
        load_movielens()
    monkeypatch.setattr(movielens, "download_wheel", files.download_wheel)  # it finds no such package
    with pytest.raises(DataError) as caught:
        load_movielens()
    said = ["registry wheel: pip download recbole==1.2.1: ", "GroupLens' archive: http://127.0.0.1", str(tiny.cache)]
    said += ["python -m course_utils.data\n", f"{tiny.cache}.zip", "the folder ml-100k", "COURSE_CACHE"]
    assert [words for words in said if words not in str(caught.value)] == []
    assert not tiny.cache.exists()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DataError, match=r"pip download recbole==1\.2\.1: pip gave no wheel"):
        files.download_wheel("recbole==1.2.1", tmp_path)


def test_a_cache_that_takes_no_writing_warns_and_works(tiny, monkeypatch):
    tiny.cache.parent.write_text("")  # a file in its place
    tiny.offer(archive=grouplens_zip())
    with pytest.warns(UserWarning, match=r"cannot write the cache .*Set COURSE_CACHE"):
        assert len(load_movielens().ratings) == 4
    cut_off(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_movielens().ratings) == 4  # from memory: no download, no second warning


@pytest.mark.parametrize("name", ["ml-100k/u.data", "ml-100k.zip"])
def test_a_pipe_in_the_cache_is_no_file(tmp_path, tiny, name):
    pipe = tiny.cache.parent / name
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="no source served it"):
        load_movielens()  # a read would wait for ever
    files.write_atomic(pipe, b"new")
    assert pipe.read_bytes() == b"new"


def test_two_processes_at_once(tiny):
    tiny.offer(recbole_wheel())
    code = (
        "from course_utils.data import movielens\n"
        f"movielens.MOVIELENS_SHA256, movielens.ARCHIVE_URL = {TINY_SHA256!r}, {NOWHERE!r}\n"
        "assert len(movielens.load_movielens().ratings) == 4"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert contents(tiny.cache) == FILES  # and no draft left behind


@pytest.mark.parametrize(("disabled", "bars"), [("1", False), ("", True)])
def test_progress_bars_obey_tqdm_disable(tiny, monkeypatch, disabled, bars, tmp_path):
    tiny.offer(recbole_wheel(), grouplens_zip())
    code = (
        "import sys; from pathlib import Path; from course_utils.data import files\n"
        f"files.download_url({movielens.ARCHIVE_URL!r}, {movielens.ARCHIVE_SHA256!r}, Path('to'))\n"
        "print('--', file=sys.stderr)\n"
        "files.download_wheel('recbole==1.2.1', Path('to'))"
    )
    monkeypatch.setenv("TQDM_DISABLE", disabled)
    done = python(code, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [("100%" in part) for part in done.stderr.split("--\n")] == [bars, bars]
    assert bars or done.stderr == "--\n"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the bad certificate")
def test_a_bad_certificate_is_never_accepted(tmp_path):
    """GroupLens' own certificate once expired: the answer is another source, not less checking."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout key -out cert"
    alternative = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command.split(), *alternative], check=True, capture_output=True, cwd=tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    (tmp_path / "x").write_bytes(b"x")
    with serving(tmp_path, context) as port, pytest.raises(DataError, match=r"not verify .* verification stays on"):
        files.download_url(f"https://localhost:{port}/x", files.sha256(b"x"), tmp_path / "to")


def mangled(*places, value):
    content = bytearray(zipped({"a": b"1" * 50}))
    for header, place in zip((b"PK\x03\x04", b"PK\x01\x02"), places, strict=True):
        content[content.find(header) + place] = value
    return content


DAMAGED = bytearray(zipped({"a": os.urandom(400)}))
DAMAGED[200] ^= 255
ESCAPES = ["../evil", "/evil", "ml-100k/../../evil", "..\\evil", "C:\\evil", "C:/evil", "/."]


MEMBERS = [(zipped({"a": b"1", name: b"2"}), "escapes the archive's folder; refused") for name in ESCAPES]
MEMBERS += [(zipped({"b..c/d": b"2"}), "has no member 'a'")]
MEMBERS += [(zipped({"a": b"0" * 10_001}), "'a' unpacks to 10,001 bytes; at most 10,000")]
ENCRYPTED, UNKNOWN = mangled(6, 8, value=1), mangled(8, 10, value=99)  # the latter: packed in an unknown way
MEMBERS += [(content, "x.zip: truncated or damaged") for content in (DAMAGED, ENCRYPTED, UNKNOWN)]


@pytest.mark.parametrize(("content", "words"), MEMBERS, ids=range(len(MEMBERS)))
def test_members_that_are_refused(tmp_path, monkeypatch, content, words):
    monkeypatch.setattr(files, "MOST_BYTES", 10_000)
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=words):
        files.read_members(tmp_path / "x.zip", {"A": "a"})
    for name in (".", "./", "b..c/d"):
        (tmp_path / "x.zip").write_bytes(zipped({"a": b"0" * 10_000, name: b""}))
        assert files.read_members(tmp_path / "x.zip", {"A": "a"}) == {"A": b"0" * 10_000}


def test_drafts_of_the_killed_are_cleared_away_and_a_failed_write_leaves_none(tmp_path, monkeypatch):
    for name, times in ((".x.abc.tmp", (0, 0)), (".x.def.tmp", None), (".y.abc.tmp", (0, 0))):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, times)
    files.write_atomic(tmp_path / "x", b"old")
    monkeypatch.setattr(os, "replace", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(tmp_path / "x", b"new")
    assert contents(tmp_path) == {".x.def.tmp": b"half", ".y.abc.tmp": b"half", "x": b"old"}


def test_the_real_tables_come_from_the_cache_and_write_back_as_u_data(movielens, monkeypatch):
    """The table is u.data, in its order: written out again, its checksum is the published one."""
    done = subprocess.run([sys.executable, "-m", "course_utils.data"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"MovieLens-100K: 100,000 ratings, verified, in {files.cache_dir() / 'ml-100k'}\n"
    cut_off(monkeypatch)
    content = load_movielens().ratings.astype({"rating": int}).to_csv(sep="\t", header=False, index=False).encode()
    assert files.sha256(content) == "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"


def test_facts_of_movielens(movielens):
    users, items = movielens.users, movielens.items
    assert "Harper" in movielens.citation
    assert users["user_id"].tolist() == list(range(1, 944))
    assert items["item_id"].tolist() == list(range(1, 1683))
    assert movielens.interactions(movielens.ratings[:9]).csr().shape == (943, 1682)
    assert (~users["zip_code"].str.fullmatch(r"\d{5}")).sum() == 18
    assert (~items["title"].map(str.isascii)).sum() == 9
    assert items.duplicated(["title", "year"]).sum() == 18
    assert items.loc[items["year"].isna(), "item_id"].tolist() == [267]
    assert items.loc[items["genres"] == "", "item_id"].tolist() == [267, 1373]
    third = items.set_index("item_id").loc[1412]
    assert (third["title"], third["year"]) == ("Land Before Time III: The Time of the Great Giving", 1995)


test_refusals = refusals(("name: got 'ml-1m', expected one of 'ml-100k'", load_movielens, "ml-1m"))
