"""A local Spark, quiet and on this machine alone, and what it wrote down about its work; chapter 16.

Needs the extra ``scale`` (pyspark) and a Java; :func:`find_java` says what is missing.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pandas as pd

from course_utils.errors import InputError, MissingToolError, check_counts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RUNS_ON = {3: (8, 11, 17), 4: (17, 21)}  # major version of Spark -> versions of Java with long support
SYSTEM = (Path("/usr/lib/jvm"), Path("/Library/Java/JavaVirtualMachines"), Path("/opt/homebrew/opt"))
_RUNNING: list[Callable[[], None]] = []  # what stops the session that runs
# log4j's own settings: what Spark has to say goes to the process's standard error, and only if it is an error
LOGGING = """rootLogger.level = error
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c: %m%n
"""


@dataclass(frozen=True)
class Java:
    """A Java that was found.

    Attributes:
        home: its folder, as in ``JAVA_HOME``.
        version: its major version, 17 say.
    """

    home: Path
    version: int


def find_java(wanted: tuple[int, ...] | None = None) -> Java:
    """The Java that Spark will run on: that of ``JAVA_HOME``, on the path, or in the system's usual folders.

    Args:
        wanted: major versions that will do; those of the installed pyspark when left out.

    Raises:
        MissingToolError: pyspark or a suitable Java is missing; the message says which one, and how to get it.
    """
    wanted = wanted or RUNS_ON[min(_pyspark_major(), max(RUNS_ON))]
    seen = []
    for binary in _candidates():
        version = java_version(binary)
        if version in wanted:
            return Java(binary.resolve().parents[1], version)
        if version is not None:
            seen.append(f"version {version} at {binary}")
    found = f"only {', '.join(seen)}" if seen else "none on this machine"
    versions = " or ".join(map(str, wanted))
    raise MissingToolError(
        f"Java {versions}", f"{found}; on Debian or Ubuntu: apt-get install openjdk-17-jre-headless"
    )


def java_version(binary: Path) -> int | None:
    """The major version that ``java -version`` names: 17 of "17.0.15", 8 of "1.8.0"; None if it does not run."""
    try:
        done = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found and done.returncode == 0 else None


def _pyspark_major() -> int:
    try:
        return int(importlib.metadata.version("pyspark").partition(".")[0])
    except importlib.metadata.PackageNotFoundError:
        raise MissingToolError("pyspark", 'run: python -m pip install "course-utils[scale]"') from None


def _candidates() -> Iterator[Path]:
    """Programs called java, in the order in which they are tried."""
    name = "java.exe" if os.name == "nt" else "java"
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", name)
    if on_path := shutil.which("java"):
        yield Path(on_path)
    for folder in SYSTEM:
        for pattern in ("*/bin/java", "*/Contents/Home/bin/java"):
            yield from sorted(folder.glob(pattern))


def session(
    name: str = "course",
    *,
    cores: int = 2,
    master: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> SparkSession:
    """Start a Spark of our own: so many threads on this machine, no web page, no port but on the loopback.

    What Spark says goes to ``spark.log`` in a new folder, beside the event log that :func:`stages` reads, and not
    into the notebook. One session at a time: another one stops it, and ``stop`` removes its folder.

    Args:
        name: of the application.
        cores: threads for tasks.
        master: where the work is done, in Spark's words; ``local[cores]`` when left out. The address of a cluster
            goes here, and nothing else changes.
        settings: more of Spark's own settings; they win over those made here.

    Raises:
        MissingToolError: pyspark or Java is missing.
        InputError: ``cores`` is below 1, or a session that was not started here is running.
    """
    check_counts(cores=cores)
    java = find_java()
    with (
        warnings.catch_warnings()
    ):  # that it does not know the newest pandas; nothing here hands it a table of it
        warnings.simplefilter("ignore", FutureWarning)
        import pyspark
        from pyspark.sql import SparkSession

        with suppress(ImportError):
            import pyspark.testing.utils

    while _RUNNING:  # a cell that is run again shall do what it did
        _RUNNING.pop()()
    if SparkSession.getActiveSession() is not None:
        raise InputError("session", got="a second one", expected="one at a time: spark.stop() first")
    folder = Path(tempfile.mkdtemp(prefix="spark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "log4j2.properties").write_text(LOGGING)
    (folder / "events").mkdir()
    loopback = "127.0.0.1"
    chosen = {
        "spark.ui.enabled": "false",
        "spark.driver.host": loopback,
        "spark.driver.bindAddress": loopback,
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "4",
        "spark.default.parallelism": "4",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "scratch"),
        "spark.shuffle.compress": "false",  # a byte that is counted is a byte of a number
        "spark.broadcast.compress": "false",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (folder / "events").as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    } | dict(settings or {})
    builder = SparkSession.builder.appName(name).master(master or f"local[{cores}]")
    for key, value in chosen.items():
        builder = builder.config(key, value)
    place = {
        "JAVA_HOME": str(java.home),
        "SPARK_CONF_DIR": str(folder),
        "SPARK_LOCAL_IP": loopback,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }
    home = Path(pyspark.__file__).parent
    if (home / "jars").is_dir():  # installed with its own Spark: another SPARK_HOME is stale
        place["SPARK_HOME"] = str(home)
    os.environ.update(place)
    with _output_to(folder / "spark.log"):
        spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    stop = spark.stop

    def stop_and_clear() -> None:
        stop()
        shutil.rmtree(folder, ignore_errors=True)
        if stop_and_clear in _RUNNING:
            _RUNNING.remove(stop_and_clear)

    _RUNNING.append(stop_and_clear)
    spark.stop = stop_and_clear  # a kernel that is killed later on runs no atexit
    return spark


def stages(spark: SparkSession) -> pd.DataFrame:
    """What each finished stage read and wrote, by Spark's own count, from its event log; nothing that takes time.

    Args:
        spark: a running session of :func:`session`.

    Returns:
        One row a stage that ran, in order of its number: ``stage job name tasks``, and ``rows_written bytes_written
        rows_read bytes_read`` of shuffles (what moves between stages), sums over the stage's tasks.
    """
    rows, jobs = {}, {}
    for event in _events(spark):
        if event["Event"] == "SparkListenerJobStart":
            jobs |= dict.fromkeys(event["Stage IDs"], event["Job ID"])
        elif event["Event"] == "SparkListenerStageCompleted":
            info = event["Stage Info"]
            where = info["Stage ID"]
            row = rows.setdefault(where, dict.fromkeys(_COUNTS, 0))
            row |= {"job": jobs.get(where, -1), "name": info["Stage Name"], "tasks": info["Number of Tasks"]}
        elif event["Event"] == "SparkListenerTaskEnd" and event.get("Task Metrics"):
            row = rows.setdefault(event["Stage ID"], dict.fromkeys(_COUNTS, 0))
            written = event["Task Metrics"]["Shuffle Write Metrics"]
            read = event["Task Metrics"]["Shuffle Read Metrics"]
            row["rows_written"] += written["Shuffle Records Written"]
            row["bytes_written"] += written["Shuffle Bytes Written"]
            row["rows_read"] += read["Total Records Read"]
            row["bytes_read"] += read["Local Bytes Read"] + read["Remote Bytes Read"]
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage").sort_index().reset_index()
    return table.reindex(columns=["stage", "job", "name", "tasks", *_COUNTS])


_COUNTS = ("rows_written", "bytes_written", "rows_read", "bytes_read")


def _events(spark: SparkSession) -> list[dict]:
    """The event log so far, after Spark's queue of events has been emptied into it."""
    context = spark.sparkContext
    context._jsc.sc().listenerBus().waitUntilEmpty()
    folder = Path(url2pathname(urlsplit(context.getConf().get("spark.eventLog.dir")).path))
    (file,) = (path for path in folder.iterdir() if path.name.startswith(context.applicationId))
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


@contextmanager
def _output_to(file: Path) -> Iterator[None]:
    """Let a process that starts meanwhile write to a file, for its whole life; this one writes on as before."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with file.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            for old, number in zip(kept, (1, 2), strict=True):
                os.dup2(old, number)
                os.close(old)
