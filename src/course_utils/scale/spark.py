"""A local Spark, quiet and on this machine alone, and what it wrote down about its work; chapter 16."""

import atexit
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict, namedtuple
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from course_utils.errors import MissingToolError, check_counts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVAS = (17, 21)  # versions with long support that Spark 4 runs on
LOOPBACK = "127.0.0.1"
SYSTEM = (Path("/usr/lib/jvm"), Path("/Library/Java/JavaVirtualMachines"), Path("/opt/homebrew/opt"))
_RUNNING: list[Callable[[], None]] = []  # what stops the session that runs
Java = namedtuple("Java", ["home", "version"])  # its folder, as in JAVA_HOME, and its major version, 17 say


def find_java() -> Java:
    """The Java that Spark will run on; if it or pyspark is missing, a MissingToolError says how to get it."""
    if importlib.util.find_spec("pyspark") is None:
        raise MissingToolError("pyspark", 'run: python -m pip install "course-utils[scale]"')
    seen = []
    for binary in _candidates():
        if (version := _java_version(binary)) in JAVAS:
            return Java(binary.resolve().parents[1], version)
        if version is not None:
            seen.append(f"version {version} at {binary}")
    found = f"only {', '.join(seen)}" if seen else "none on this machine"
    advice = f"{found}; on Debian or Ubuntu: apt-get install openjdk-17-jre-headless"
    raise MissingToolError(f"Java {' or '.join(map(str, JAVAS))}", advice)


def _java_version(binary: Path) -> int | None:
    """The major version that ``java -version`` names: 17 of "17.0.15", 8 of "1.8.0"; None if it does not run."""
    try:
        done = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found else None


def _candidates() -> Iterator[Path]:
    """Programs called java, in the order in which they are tried: of JAVA_HOME, on the path, in the usual folders."""
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java.exe" if os.name == "nt" else "java")
    if on_path := shutil.which("java"):
        yield Path(on_path)
    for folder in SYSTEM:
        yield from sorted([*folder.glob("*/bin/java"), *folder.glob("*/Contents/Home/bin/java")])


def session(*, cores: int = 2, master: str | None = None) -> "SparkSession":
    """Start a Spark of our own: ``cores`` threads on this machine, no web page, no port but on the loopback.

    What Spark says goes to ``spark.log`` in a new ``folder``, beside the event log that :func:`stages` reads. One
    session at a time: another one stops it, and ``stop`` removes its folder. ``master``: address of a cluster instead.
    """
    check_counts(cores=cores)
    java = find_java()
    # pyspark does not know the newest pandas; nothing here hands it a table of it
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        import pyspark
        from pyspark.java_gateway import launch_gateway
        from pyspark.sql import SparkSession

        with suppress(ImportError):
            import pyspark.testing.utils
    for stop_it in list(_RUNNING):  # a cell that is run again shall do what it did
        stop_it()
    folder = Path(tempfile.mkdtemp(prefix="spark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ |= {"JAVA_HOME": str(java.home), "SPARK_CONF_DIR": str(folder), "SPARK_LOCAL_IP": LOOPBACK}
    os.environ |= dict.fromkeys(["PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"], sys.executable)
    home = Path(pyspark.__file__).parent
    if (home / "jars").is_dir():  # installed with its own Spark: another SPARK_HOME is stale
        os.environ["SPARK_HOME"] = str(home)
    conf = pyspark.SparkConf().setAppName("course").setMaster(master or f"local[{cores}]")
    conf.setAll(_settings(folder).items())
    with (folder / "spark.log").open("ab") as log:  # of Java's process, which stays for the sessions that follow
        gateway = pyspark.SparkContext._gateway or launch_gateway(conf, {"stdout": log, "stderr": log})
    spark = SparkSession(pyspark.SparkContext(conf=conf, gateway=gateway))
    spark.sparkContext.setLogLevel("ERROR")
    spark.folder, stop = folder, spark.stop

    def stop_and_clear() -> None:
        _RUNNING.clear()
        stop()
        shutil.rmtree(folder, ignore_errors=True)

    _RUNNING.append(stop_and_clear)
    spark.stop = stop_and_clear  # a kernel that is killed later on runs no atexit
    return spark


def _settings(folder: Path) -> dict[str, str]:
    # not compressed: a byte that is counted is a byte of a number
    packed = [f"spark.{what}.compress" for what in ("shuffle", "broadcast", "eventLog")]
    chosen = dict.fromkeys(["spark.ui.enabled", "spark.eventLog.rolling.enabled", *packed], "false")
    chosen |= dict.fromkeys(["spark.driver.host", "spark.driver.bindAddress"], LOOPBACK)
    chosen |= dict.fromkeys(["spark.sql.shuffle.partitions", "spark.default.parallelism"], "4")
    chosen |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder.as_uri()}
    places = {"spark.sql.warehouse.dir": "warehouse", "spark.local.dir": "scratch"}
    return chosen | {name: str(folder / place) for name, place in places.items()}


def stages(spark: "SparkSession") -> pd.DataFrame:
    """What each finished stage read and wrote in shuffles (what moves between stages), by Spark's own count.

    A row a stage: ``stage job name tasks``, and sums over them ``rows_written bytes_written rows_read bytes_read``.
    """
    context = spark.sparkContext
    context._jsc.sc().listenerBus().waitUntilEmpty()  # all events are in the log
    (log,) = spark.folder.glob(f"{context.applicationId}*")
    whole = [line for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    jobs, finished, moved = {}, {}, defaultdict(lambda: np.zeros(4, dtype=int))
    for line in whole:  # and not what is still being written
        match json.loads(line):
            case {"Event": "SparkListenerJobStart", "Job ID": job, "Stage IDs": numbers}:
                jobs |= dict.fromkeys(numbers, job)
            case {"Event": "SparkListenerStageCompleted", "Stage Info": info}:
                stage = info["Stage ID"]
                finished[stage] = jobs[stage], info["Stage Name"], info["Number of Tasks"]
            case {"Event": "SparkListenerTaskEnd", "Stage ID": stage, "Task Metrics": dict(metrics)}:
                written, read = metrics["Shuffle Write Metrics"], metrics["Shuffle Read Metrics"]
                sent = written["Shuffle Records Written"], written["Shuffle Bytes Written"]
                got = read["Total Records Read"], read["Local Bytes Read"] + read["Remote Bytes Read"]
                moved[stage] += [*sent, *got]
    columns = ["stage", "job", "name", "tasks", "rows_written", "bytes_written", "rows_read", "bytes_read"]
    return pd.DataFrame([[n, *finished[n], *moved[n]] for n in sorted(finished)], columns=columns)
