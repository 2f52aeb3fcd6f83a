"""Finding a Java, and reading Spark's event log; chapter 16 runs Spark itself."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_utils.errors import InputError, MissingToolError
from course_utils.scale import spark


def java(folder, says, code=0):
    """A program called java that answers so."""
    binary = folder / "bin" / "java"
    binary.parent.mkdir(parents=True)
    binary.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n")
    binary.chmod(0o755)
    return binary


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("no version here", None),
    ],
)
def test_version(tmp_path, says, version):
    assert spark.java_version(java(tmp_path, says)) == version


def test_a_java_that_does_not_run_has_no_version(tmp_path):
    assert spark.java_version(java(tmp_path, 'version "17.0.1"', code=1)) is None  # the Mac's stub
    assert spark.java_version(tmp_path / "none") is None


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without a Java."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(spark, "SYSTEM", (tmp_path / "jvm",))
    monkeypatch.setattr(spark.shutil, "which", lambda name: None)
    return tmp_path


def test_java_home_comes_first_then_the_system(nowhere, monkeypatch):
    java(nowhere / "jvm" / "java-21", 'openjdk version "21.0.1"')
    assert spark.find_java((17, 21)) == spark.Java(nowhere / "jvm" / "java-21", 21)
    java(nowhere / "mine", 'openjdk version "17.0.1"')
    monkeypatch.setenv("JAVA_HOME", str(nowhere / "mine"))
    assert spark.find_java((17, 21)) == spark.Java(nowhere / "mine", 17)
    assert spark.find_java((21,)).version == 21  # one that will not do is passed over


def test_what_is_missing_is_said(nowhere):
    with pytest.raises(MissingToolError, match=r"Java 17 or 21 is missing: none .* openjdk-17-jre-headless"):
        spark.find_java((17, 21))
    java(nowhere / "jvm" / "new", 'openjdk version "25.0.1"')
    with pytest.raises(MissingToolError, match="only version 25 at") as caught:
        spark.find_java((17, 21))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_without_pyspark_it_says_so(monkeypatch):
    def none(name):
        raise spark.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(spark.importlib.metadata, "version", none)
    with pytest.raises(MissingToolError, match=r"pyspark is missing: run: .*course-utils\[scale\]"):
        spark.find_java()


def test_session_wants_a_core():
    with pytest.raises(InputError, match="cores"):
        spark.session(cores=0)


def task(stage, written=(0, 0), read=(0, 0, 0)):
    metrics = {
        "Shuffle Write Metrics": dict(
            zip(("Shuffle Records Written", "Shuffle Bytes Written"), written, strict=True)
        ),
        "Shuffle Read Metrics": dict(
            zip(("Total Records Read", "Local Bytes Read", "Remote Bytes Read"), read, strict=True)
        ),
    }
    return {"Event": "SparkListenerTaskEnd", "Stage ID": stage, "Task Metrics": metrics}


def done(stage, name, tasks):
    info = {"Stage ID": stage, "Stage Name": name, "Number of Tasks": tasks}
    return {"Event": "SparkListenerStageCompleted", "Stage Info": info}


def test_stages_add_up_the_tasks(tmp_path):
    events = [
        {"Event": "SparkListenerJobStart", "Job ID": 7, "Stage IDs": [3, 4]},
        task(3, written=(2, 10)),
        task(3, written=(1, 5)),
        done(3, "map at A", 2),
        task(4, read=(3, 9, 6)),
        {"Event": "SparkListenerTaskEnd", "Stage ID": 4, "Task Metrics": None},  # a task that failed
        done(4, "count at B", 1),
    ]
    lines = [*map(json.dumps, events), '{"Event": "half a li']  # the last line is still being written
    (tmp_path / "app-1.inprogress").write_text("\n".join(lines))
    bus = SimpleNamespace(waitUntilEmpty=lambda: None)
    context = SimpleNamespace(
        applicationId="app-1",
        _jsc=SimpleNamespace(sc=lambda: SimpleNamespace(listenerBus=lambda: bus)),
        getConf=lambda: {"spark.eventLog.dir": tmp_path.as_uri()},
    )
    table = spark.stages(SimpleNamespace(sparkContext=context))
    assert table.to_dict("records") == [
        {
            **{"stage": 3, "job": 7, "name": "map at A", "tasks": 2},
            **{"rows_written": 3, "bytes_written": 15, "rows_read": 0, "bytes_read": 0},
        },
        {
            **{"stage": 4, "job": 7, "name": "count at B", "tasks": 1},
            **{"rows_written": 0, "bytes_written": 0, "rows_read": 3, "bytes_read": 15},
        },
    ]


def test_output_of_a_child_goes_to_the_file_and_ours_does_not(tmp_path, capfd):
    with spark._output_to(tmp_path / "log"):
        spark.subprocess.run(["sh", "-c", "echo out; echo err >&2"], check=True)
    print("ours")
    assert (tmp_path / "log").read_text().split() == ["out", "err"]
    assert capfd.readouterr().out == "ours\n"
    assert isinstance(spark.SYSTEM[0], Path)


TWICE = """
from course_utils.scale import spark
first = spark.session(cores=1)
first.range(10).repartition(2).count()
assert len(spark.stages(first)) > 0, "no log found"
second = spark.session(cores=1)  # the cell is run again
assert second.range(7).count() == 7
assert len(spark.stages(second)) > 0
second.stop()
"""


def test_a_cell_that_is_run_twice_below_a_folder_with_a_blank_beside_a_stale_spark_home(tmp_path):
    pytest.importorskip("pyspark")
    try:
        spark.find_java()
    except MissingToolError as error:
        pytest.skip(str(error))
    folder = tmp_path / "José Núñez"
    folder.mkdir()
    environment = os.environ | {"TMPDIR": str(folder), "SPARK_HOME": str(tmp_path / "spark-2.4")}
    done = subprocess.run([sys.executable, "-c", TWICE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not list(folder.glob("spark-*/events"))
