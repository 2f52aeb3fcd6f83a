"""What the service refuses, and that nothing makes it fall: ten thousand requests from another process."""

import http.client
import json
import random
import socket
import sys
from types import SimpleNamespace

import psutil
import pytest
from lives import small

from course_utils.models.neighbors import EASE
from course_utils.serving import Service, Store, create_app, serve

REQUESTS, MOST_GROWTH = 10_000, 8_000_000  # bytes that the second half of the requests may add
TABLE = small()
FITTED = EASE().fit(TABLE.interactions())


@pytest.fixture
def service(tmp_path):
    made = Service(create_app(FITTED, TABLE, Store(tmp_path / "feedback.sqlite")))
    yield made
    made.stop()


ONE = {"item": 1, "rating": 5}
SAID = {"person": "ann", **ONE}
REFUSED = [
    ("/recommend", {"history": [ONE | {"rating": 6}]}, "history.0.rating: Input should be less than or equal to 5"),
    ("/recommend", {"history": [ONE | {"rating": float("nan")}]}, "history.0.rating: Input should be"),
    ("/recommend", {"history": [ONE | {"item": 99}]}, "item: got 99, expected one of the 12 item ids"),
    ("/recommend", {"history": [ONE | {"item": "\ud800"}]}, "item: got '\\ud800', expected"),
    ("/recommend", {"history": [ONE | {"item": True}]}, "history.0.item"),
    ("/recommend", {"history": [ONE] * 201}, "history: List should have at most 200 items"),
    ("/recommend", {"history": [ONE], "k": 0}, "k: Input should be greater than or equal to 1"),
    ("/recommend", {"history": [ONE], "k": 13}, "k: got 13, expected a whole number in 1..12"),
    ("/recommend", {}, "history: Field required"),
    ("/recommend", [1], "request, JSON sent as content-type application/json: Input should be a valid dictionary"),
    ("/feedback", SAID | {"item": 99}, "item: got 99"),
    ("/feedback", SAID | {"person": "a b"}, "person: String should match"),
    ("/feedback", SAID | {"rating": 0}, "rating: Input should be greater"),
    ("/feedback", SAID | {"place": 0}, "place: Input should be greater"),
    ("/feedback?person=", None, "person: String should match"),
    ("/items?search=" + "x" * 101, None, "search: String should have at most 100 characters"),
]


@pytest.mark.parametrize(("path", "body", "said"), REFUSED)
def test_what_it_cannot_use_it_refuses_with_a_sentence(service, path, body, said):
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    sent = None if body is None else json.dumps(body)
    connection.request("POST" if sent else "GET", path, sent, {"content-type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 422
    assert json.loads(answer.read())["detail"].startswith(said)


def test_it_listens_to_this_machine_alone_and_leaves_its_port(service, tmp_path):
    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection(("127.0.0.2", service.port), timeout=1)
    service.stop()
    with pytest.raises(ConnectionRefusedError):
        service.ask("/health")
    told = Service(create_app(FITTED, TABLE, Store(tmp_path / "feedback.sqlite")), host="0.0.0.0", port=service.port)
    assert told.ask("/health")["items"] == 12
    told.stop()


def test_an_answer_goes_out_at_once_and_waits_for_no_receipt(service):
    service.ask("/health")
    doors = [door for server in service._server.servers for door in server.sockets]
    assert [door.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) > 0 for door in doors] == [True]


def test_a_notebook_shows_the_page_and_where_the_book_is_tested_a_note(monkeypatch, tmp_path):
    shown, app = [], create_app(FITTED, TABLE, Store(tmp_path / "feedback.sqlite"))
    monkeypatch.setattr("course_utils.serving.run.display", shown.append)
    frames = SimpleNamespace(serve_kernel_port_as_iframe=lambda port, height: shown.append(port))
    for strict, colab in (("1", None), ("0", None), ("0", SimpleNamespace(output=frames))):
        monkeypatch.setenv("COURSE_STRICT", strict)
        if colab:
            monkeypatch.setitem(sys.modules, "google.colab", colab)
        started = serve(app)
        started.stop()
        shown.append(started.port)
    note, first, page, second, port, third = shown
    assert "The page of your recommender" in note.data
    assert str(first) not in note.data
    assert page.src == f"http://127.0.0.1:{second}"
    assert port == third


def test_a_long_request_is_not_read_to_its_end(service):
    door = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    door.sendall(
        b"POST /feedback HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9999999999\r\n\r\n"
    )
    door.sendall(b" " * 70_000)
    assert b"413" in door.recv(1000).partition(b"\r\n")[0]


TYPES = ["application/json"] * 9 + ["text/plain"]
ODD = [None, True, -1, 0, 1e308, 10**40, "x", "\ud800", "\x00", [], {}, [[]], "é" * 300, float("inf")]
PATHS = ["/items?search=%ff%00", "/feedback?person=%ff", "/feedback", "/nothing", "/../../etc/passwd", "//", "/%f0"]
METHODS = ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "X"]


def make(rng):
    """A request that makes sense, or one that does not: method, path, body."""
    had = [{"item": rng.randrange(1, 1683), "rating": rng.randint(1, 5)} for _ in range(rng.randrange(12))]
    asked = json.dumps({"history": had, "k": rng.randint(1, 20)})
    said = {"person": f"p{rng.randrange(50)}", "item": rng.randrange(1, 1683), "rating": rng.choice([1, 3, 5, None])}
    where, cut, odd = rng.choice(["/recommend", "/feedback"]), rng.randrange(len(asked)), rng.choice(ODD)
    reading = [f"/items?search={rng.choice('aeiou%+')}", "/health", "/", f"/feedback?person={said['person']}"]
    senseless = [
        asked[:cut],
        asked[:cut] + rng.choice('{}[]",:0') + asked[cut + 1 :],
        json.dumps({"history": odd, "k": odd}),
        json.dumps({"history": [{"item": odd, "rating": odd}]}),
        json.dumps(said | {rng.choice([*said, "place"]): odd}),
        json.dumps(odd),
        rng.randbytes(rng.randrange(60)),
        "[" * rng.choice([10, 5000, 60_000]),
        b" " * rng.choice([100, 70_000]),
    ]
    kinds = {
        ("POST", "/recommend", asked): 4,
        ("POST", "/feedback", json.dumps(said)): 3,
        ("GET", rng.choice(reading), None): 3,
        ("POST", where, rng.choice(senseless)): 8,
        (rng.choice(METHODS), where, asked): 1,
        ("GET", rng.choice(PATHS), None): 1,
    }
    return rng.choices([*kinds], [*kinds.values()])[0]


@pytest.mark.parametrize("lives", ["movielens"], indirect=True)
def test_ten_thousand_requests_bring_no_fault_no_traceback_and_no_growth(lives):
    rng = random.Random(0)
    connection, process = http.client.HTTPConnection("127.0.0.1", lives.port, timeout=30), psutil.Process(lives.life)
    statuses, sizes, kept = dict.fromkeys((200, 422, 413), 0), [], 0
    for number in range(REQUESTS):
        method, path, body = make(rng)
        try:
            sent = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
            connection.request(method, path, sent, {"content-type": rng.choice(TYPES)} if body else {})
            answer = connection.getresponse()
            text, status = answer.read(), answer.status
        except (ConnectionError, http.client.RemoteDisconnected):  # it had answered 413 and hung up
            connection.close()
            continue
        assert status < 500, (method, path, body)
        assert b"Traceback" not in text
        assert b'File "' not in text
        if status == 422:
            assert isinstance(json.loads(text)["detail"], str)
        statuses[status] = statuses.get(status, 0) + 1
        kept += status == 200 and (method, path) == ("POST", "/feedback")
        if number in (REQUESTS // 10, REQUESTS // 2, REQUESTS - 1):
            sizes.append(process.memory_info().rss)
    assert min(statuses[200], statuses[422]) > REQUESTS // 10, statuses
    assert statuses[413] > 0
    assert sizes[2] - sizes[1] < MOST_GROWTH, sizes
    assert lives.parent.poll() is None
    assert process.is_running()  # the first life still
    assert lives.post("/feedback", SAID)[1] == {"kept": kept + 1}
