"""What every benchmark shares: a clock, sides that take turns, ratios within a turn, and rows for ``make bench``.

Import it before numpy and torch: it asks their libraries for one thread. On one thread a time is processor time, which
leaves out the waiting for other programs, but not what they do to the caches. On more it is the time on the wall.
Trust the ratios of one run, not the milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

ROWS = "BENCH_ROWS"  # `make bench` names here the file that takes a script's rows
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# script -> question -> "ours / theirs" -> goal: the largest ratio that the book accepts, why: reason for more than 1
GOALS: dict[str, dict[str, dict[str, dict]]] = tomllib.loads(Path(__file__).with_name("goals.toml").read_text())
NONE = "–"  # in a table: there is no such number
Clock = Callable[[], float]
Times = dict[str, list[float]]  # seconds of each side, one a turn


@dataclass(frozen=True)
class Row:
    """One question and its answer.

    Attributes:
        question: what is compared, with its size.
        ours: the side in the numerator.
        theirs: the side in the denominator.
        ratio: median over the turns of ours / theirs, both of the same turn; None when the question was not run.
        low: the smallest ratio of a turn.
        high: the largest.
        ours_ms: median milliseconds of our side.
        note: threads and whatever else one must know, or why the question was not run.
    """

    question: str
    ours: str
    theirs: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    ours_ms: float | None = None
    note: str = ""

    @property
    def sides(self) -> str:
        """Numerator and denominator, as the tables name them."""
        return f"{self.ours} / {self.theirs}"

    @property
    def goal(self) -> float | None:
        """The ratio shall not be larger; None where ``goals.toml`` has no goal."""
        return self._of_goals("goal")

    @property
    def why(self) -> str:
        """Why the ratio may be above 1, or above its goal on some machine; empty where ``goals.toml`` has no reason."""
        return self._of_goals("why") or ""

    def _of_goals(self, name: str) -> float | str | None:
        of_question = (asked for script in GOALS.values() for q, asked in script.items() if q == self.question)
        return next(of_question, {}).get(self.sides, {}).get(name)


def clock(threads: int = 1) -> Clock:
    """Processor time for one thread, time on the wall for more."""
    return time.process_time if threads == 1 else time.perf_counter


def timed(run: Callable, *arguments: object, clock: Clock = time.process_time) -> tuple[object, float]:
    """What the call gave, and its seconds."""
    begin = clock()
    result = run(*arguments)
    return result, clock() - begin


def turns(sides: Mapping[str, Callable[[], float]], repeats: int, *, warm_up: bool = True) -> Times:
    """Let the sides run by turns, forwards and backwards, so that a busy minute hits all of them.

    Args:
        sides: name -> a call that runs the side once and gives its own seconds.
        repeats: turns that count.
        warm_up: run each side once before, without counting it.
    """
    for run in sides.values() if warm_up else ():
        run()
    times: Times = {name: [] for name in sides}
    for turn in range(repeats):
        for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
            times[name].append(sides[name]())
    return times


def stopwatch(run: Callable[[], object], clock: Clock = time.process_time) -> Callable[[], float]:
    """A side for :func:`turns`: the seconds of a call whose result is of no interest."""
    return lambda: timed(run, clock=clock)[1]


def epochs(optimizer: Optimizer, step: Callable[..., Tensor], batches: Sequence[tuple]) -> Iterator[float]:
    """Train for ever; each step of the iterator is one epoch, and gives its processor time in seconds."""
    while True:
        begin = time.process_time()
        for batch in batches:
            optimizer.zero_grad()
            step(*batch).backward()
            optimizer.step()
        yield time.process_time() - begin


def compare(times: Times, question: str, ours: str, theirs: str, *, note: str = "") -> Row:
    """The row of two sides; one that is not there gives a row without a ratio."""
    missing = [name for name in (ours, theirs) if name not in times]
    if missing:
        return Row(question, ours, theirs, note=f"not run: {', '.join(missing)}")
    ratios = [a / b for a, b in zip(times[ours], times[theirs], strict=True)]
    middle = median(ratios), min(ratios), max(ratios)
    return Row(question, ours, theirs, *middle, 1e3 * median(times[ours]), note)


def show_times(title: str, times: Times) -> None:
    """Print what each side took."""
    print(f"\n{title}\n\n| side | ms, median | range |\n|---|---|---|")
    for name, spent in times.items():
        milliseconds = [1e3 * seconds for seconds in spent]
        print(
            f"| {name} | {median(milliseconds):.1f} | {min(milliseconds):.1f} to {max(milliseconds):.1f} |", flush=True
        )


HEAD = "| question | ours / theirs | ratio | range | goal | note |\n|---|---|---|---|---|---|\n"


def table(rows: list[Row]) -> str:
    """The rows as one table in Markdown; a question stands in the first of its rows."""
    lines = [
        f"| {'' if place else question} | {' | '.join(_cells(row))} |"
        for question, group in groupby(rows, key=attrgetter("question"))
        for place, row in enumerate(group)
    ]
    return HEAD + "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    ratio, low, high = (number(value) for value in (row.ratio, row.low, row.high))
    spread = NONE if row.ratio is None else f"{low} to {high}"
    note = "; ".join(part for part in (verdict(row), row.note) if part)
    return row.sides, ratio, spread, NONE if row.goal is None else f"{row.goal:g}", note


def number(value: float | None) -> str:
    """A ratio with three digits, as all tables print it."""
    return NONE if value is None else f"{value:.2f}" if value >= 0.995 else f"{value:.3f}"


def verdict(row: Row) -> str:
    """Whether the ratio, as the table prints it, is within the goal."""
    if row.goal is None or row.ratio is None:
        return ""
    return "met" if float(number(row.ratio)) <= row.goal else "missed"


def report(rows: list[Row]) -> None:
    """Print the rows, and leave them where ``make bench`` asked for them."""
    print(f"\n{table(rows)}\n")
    if path := os.environ.get(ROWS):
        Path(path).write_text(json.dumps([asdict(row) for row in rows], indent=1))


def peer(name: str, load: Callable[[], object]) -> object | None:
    """A peer that ``load`` imports, or None and one line that says what is missing."""
    try:
        return load()
    except Exception as error:  # a peer that a newer library broke may raise anything; the others still count
        print(f"left out: {name} ({type(error).__name__}: {error})")
        return None


def quiet(seconds: float = 1.0, share: float = 0.1) -> bool:
    """Whether other programs leave the processors alone: busy for less than this share of a second. Linux only."""
    try:
        before, after = _ticks(), time.sleep(seconds) or _ticks()
    except OSError:
        return os.getloadavg()[0] < share * (os.cpu_count() or 1)
    total = sum(after) - sum(before)
    return total > 0 and 1 - (after[3] + after[4] - before[3] - before[4]) / total < share


def _ticks() -> list[int]:
    return [int(number) for number in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]


def parser(text: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """Arguments of a script, of which each has ``--repeats``."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--repeats", type=int, default=repeats, help="turns of each comparison")
    return made
