"""What was acknowledged is kept, whenever the process is killed."""

import http.client
import multiprocessing
import os
import random
import signal
import sqlite3
import threading
import time

import pytest
from shared import refusals

from course_utils.serving import Store

small = pytest.mark.parametrize("lives", ["small"], indirect=True)


def test_the_last_word_counts_and_nothing_is_changed(tmp_path):
    store = Store(tmp_path / "feedback.sqlite")
    said = [("ann", 3, 4.0), ("ann", "x", 2.0), ("bo", 3, 1.0), ("ann", 3, 5.0), ("ann", "x", None), ("ann", 7, 3.0)]
    assert [store.say(*each, None, None, "A") for each in said] == [1, 2, 3, 4, 5, 6]
    assert list(store.latest("ann").items()) == [(3, 5.0), (7, 3.0)]
    assert (store.latest("bo"), store.latest("nobody")) == ({3: 1.0}, {})
    frame = Store(tmp_path / "feedback.sqlite").frame()  # another connection
    assert frame[["user_id", "item_id"]].to_numpy().tolist() == [list(each[:2]) for each in said]
    assert frame["rating"].isna().tolist() == [False] * 4 + [True, False]


def test_a_commit_waits_for_the_disk(tmp_path):
    store = Store(tmp_path / "feedback.sqlite")
    asked = [store._file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert asked == ["wal", 2]  # 2 is FULL: the log is flushed at each commit


test_what_is_no_file_is_refused = refusals(("path", Store, ":memory:"), ("path", Store, "/no/such/folder/file"))


def rows(folder):
    """The rows that are on the disk, by item and rating, once the file is found whole."""
    file = sqlite3.connect(folder / "feedback.sqlite")
    assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return file.execute("SELECT row, item_id, rating FROM feedback ORDER BY row").fetchall()


@small
def test_killed_between_any_two_requests_it_loses_nothing(lives, tmp_path):
    for number in range(20):
        said = {"person": "ann", "item": number % 12, "rating": 1 + number % 5}
        assert lives.post("/feedback", said) == (200, {"kept": number + 1})
        lives.kill()
    assert rows(tmp_path) == [(n + 1, n % 12, 1 + n % 5) for n in range(20)]


@small
def test_killed_at_any_moment_it_keeps_what_it_acknowledged(lives, tmp_path):
    kept, asked, over, lock = {}, [0], threading.Event(), threading.Lock()

    def write(person):
        while not over.is_set():
            asked[0] += 1
            item, rating = asked[0] % 12, 1 + asked[0] % 5
            try:
                status, answer = lives.post("/feedback", {"person": person, "item": item, "rating": rating})
            except (OSError, http.client.HTTPException):  # it died before it answered: nothing was promised
                continue
            with lock:
                assert status == 200
                assert answer["kept"] not in kept
                kept[answer["kept"]] = (item, rating)

    writers = [threading.Thread(target=write, args=[f"writer{n}"]) for n in range(3)]
    for writer in writers:
        writer.start()
    moments = random.Random(0)
    for _ in range(15):
        before = len(kept)
        while len(kept) < before + 3:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.02))
        lives.kill()
    over.set()
    for writer in writers:
        writer.join()
    found = {row: (item, rating) for row, item, rating in rows(tmp_path)}
    assert kept.items() <= found.items()
    assert 45 <= len(kept) <= len(found) <= asked[0]


def dies(path):
    """Say something, then be killed while the next row is in the table and its commit is not done."""
    store = Store(path)
    store.say("ann", 1, 5.0, None, None, "A")
    store._file.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
    store._file.execute("CREATE TEMP TRIGGER dies AFTER INSERT ON main.feedback BEGIN SELECT die(); END")
    store.say("ann", 2, 5.0, None, None, "A")


def test_killed_in_the_midst_of_a_write_it_has_all_before_and_nothing_of_it(tmp_path):
    for life in (1, 2):
        process = multiprocessing.get_context("fork").Process(target=dies, args=[tmp_path / "feedback.sqlite"])
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert rows(tmp_path) == [(row, 1, 5.0) for row in range(1, life + 1)]


def test_a_write_that_was_cut_anywhere_costs_no_earlier_one(tmp_path):
    (tmp_path / "live").mkdir()
    store, sizes = Store(tmp_path / "live" / "feedback.sqlite"), []
    log = tmp_path / "live" / "feedback.sqlite-wal"
    for item in range(1, 4):
        store.say("ann", item, 5.0, None, None, "A")
        sizes.append(log.stat().st_size)
    whole, database = log.read_bytes(), (tmp_path / "live" / "feedback.sqlite").read_bytes()
    for size in range(sizes[0], sizes[2], 997):  # what the disk had of the log when the power went
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "feedback.sqlite").write_bytes(database)
        (folder / "feedback.sqlite-wal").write_bytes(whole[:size])
        promised = sum(size >= end for end in sizes)
        assert rows(folder) == [(item, item, 5.0) for item in range(1, promised + 1)]
