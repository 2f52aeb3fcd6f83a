"""Finding a Java, and reading Spark's event log; chapter 16 runs Spark itself."""

import json
import os
import pickle
import subprocess
import sys
from unittest.mock import MagicMock

import pytest

from course_utils.errors import InputError, MissingToolError
from course_utils.scale import spark


def java(folder, says, code=0):
    binary = folder / "bin" / "java"
    binary.parent.mkdir(parents=True)
    binary.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n")
    binary.chmod(0o755)
    return binary


def test_version(tmp_path):
    for says, version in {"17.0.15": 17, "1.8.0_402": 8, "21": 21}.items():
        assert spark._java_version(java(tmp_path / says, f'openjdk version "{says}" 2025-04-15')) == version
    for says, code in (("no version here", 0), ('version "17.0.1"', 1)):  # the latter is the Mac's stub
        assert spark._java_version(java(tmp_path / says[:2], says, code)) is None
    assert spark._java_version(tmp_path / "none") is None


def test_java_home_comes_first_then_the_system_and_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(spark, "SYSTEM", (tmp_path / "jvm",))
    monkeypatch.setattr(spark.shutil, "which", lambda name: None)
    with pytest.raises(MissingToolError, match=r"Java 17 or 21 is missing: none .* openjdk-17-jre-headless"):
        spark.find_java()
    java(tmp_path / "jvm" / "java-25", 'openjdk version "25.0.1"')
    with pytest.raises(MissingToolError, match="only version 25 at") as caught:
        spark.find_java()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    java(tmp_path / "jvm" / "java-21", 'openjdk version "21.0.1"')
    assert spark.find_java() == (tmp_path / "jvm" / "java-21", 21)
    java(tmp_path / "old", 'openjdk version "1.8.0"')
    java(tmp_path / "mine", 'openjdk version "17.0.1"')
    for home, found in (("old", ("jvm/java-21", 21)), ("mine", ("mine", 17))):  # passed over, if it will not do
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / home))
        assert spark.find_java() == (tmp_path / found[0], found[1])
    monkeypatch.setattr(spark.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match=r"pyspark is missing: run: .*course-utils\[scale\]"):
        spark.find_java()


def task(stage, records, size, read, local, remote):
    written = {"Shuffle Records Written": records, "Shuffle Bytes Written": size}
    got = {"Total Records Read": read, "Local Bytes Read": local, "Remote Bytes Read": remote}
    metrics = {"Shuffle Write Metrics": written, "Shuffle Read Metrics": got}
    return {"Event": "SparkListenerTaskEnd", "Stage ID": stage, "Task Metrics": metrics}


def done(**info):
    return {"Event": "SparkListenerStageCompleted", "Stage Info": {k.replace("_", " "): x for k, x in info.items()}}


def test_stages_add_up_the_tasks(tmp_path):
    events = [
        {"Event": "SparkListenerJobStart", "Job ID": 7, "Stage IDs": [3, 4]},
        *(task(3, 2, 10, 0, 0, 0), task(3, 1, 5, 0, 0, 0)),
        done(Stage_ID=3, Stage_Name="map at A", Number_of_Tasks=2),
        *(task(4, 0, 0, 3, 9, 6), task(4, 0, 0, 0, 0, 0) | {"Task Metrics": None}),  # a task that failed
        done(Stage_ID=4, Stage_Name="count at B", Number_of_Tasks=1),
        {"Event": "SparkListenerJobStart", "Job ID": 8, "Stage IDs": [4, 5]},  # stage 4 is skipped, 5 runs on
    ]
    lines = [*map(json.dumps, events), '{"Event": "half a li']  # the last line is still being written
    (tmp_path / "app-1.inprogress").write_text("\n".join(lines))
    session = MagicMock(folder=tmp_path)
    session.sparkContext.applicationId = "app-1"
    table = spark.stages(session)
    assert " ".join(table) == "stage job name tasks rows_written bytes_written rows_read bytes_read"
    assert table.values.tolist() == [[3, 7, "map at A", 2, 3, 15, 0, 0], [4, 7, "count at B", 1, 0, 0, 3, 15]]


TWICE = """
from course_utils.scale import spark
for _ in range(2):  # the cell is run again
    session = spark.session(cores=1)
    assert session.range(10).repartition(2).count() == 10
    assert len(spark.stages(session)) > 0, "no log found"
assert list(session.folder.parent.glob("spark-*/spark.log")) == [session.folder / "spark.log"]
session.stop()
print("ours")
"""


def test_a_cell_that_is_run_twice_below_a_folder_with_a_blank_beside_a_stale_spark_home(tmp_path):
    try:
        spark.find_java()
    except MissingToolError as error:
        pytest.skip(str(error))
    folder = tmp_path / "José Núñez"
    folder.mkdir()
    environment = os.environ | {"TMPDIR": str(folder), "SPARK_HOME": str(tmp_path / "spark-2.4")}
    run = subprocess.run([sys.executable, "-c", TWICE], env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "ours\n"), run.stderr[-2000:]
    assert "WARN" not in run.stderr  # Java's words are in the log
    assert not list(folder.glob("spark-*/spark.log"))
    with pytest.raises(InputError, match="cores"):
        spark.session(cores=0)
