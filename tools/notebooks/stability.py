"""Which printed numbers, pictures and assertions of a notebook would be others on another machine.

python -m tools.notebooks.stability NOTEBOOK ... -> as it is, shaken three times, and on other paths
python -m tools.notebooks.stability --quick [NOTEBOOK ...] -> shaken once, if it draws random numbers, its knobs turned

A float64 sum differs in its last bit between processors. Most computations leave it there; some blow it up until a
printed digit moves. Three disturbances show on one machine what would move: each random draw multiplied by
1 + 1e-12 cos(1e6 x + phase); ``ATEN_CPU_CAPABILITY=default``, torch's code without vector instructions; and
``MKL_CBWR=COMPATIBLE``, MKL's code for any processor. Rounding hides what is about to move, so the floats that the
cells left in the notebook's namespace are compared too, unrounded.

Nothing may move: no word and no digit of an output, no picture, and no float by more than a millionth of the largest
in its array. A model that cannot be made calm may be trained in a cell tagged ``moves``: its floats may move, what it
prints may not. Records of the run in the simulated Colab serve as the first run, where it left them. The quick form
then turns the knobs of the chapter that it has shaken (``knobs.py``): a run of their own would compute all that again.
It leaves solutions to the simulated Colab, which shakes them and compares what they print.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import numpy as np

from tools.notebooks import execute, green, knobs, nbval_strict

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / ".cache" / "records"
KERNEL = Path(__file__).with_name("stability_kernel.py")
START = """\
import importlib.util as _loader
_spec = _loader.spec_from_file_location("watched", {!r})
_module = _loader.module_from_spec(_spec)
_spec.loader.exec_module(_module)
_module.begin(get_ipython())
del _loader, _spec, _module
"""
PHASES = (0.0, 1.0, 2.0)
PATHS = ({"ATEN_CPU_CAPABILITY": "default"}, {"MKL_CBWR": "COMPATIBLE"})
ONCE = "solutions"  # the folder of notebooks that run once in CI, shaken, in the simulated Colab
RELATIVE = 1e-6  # a tenth of the last of four printed digits is ten times as much
ABSOLUTE = 1e-9  # below this, what is left is the rounding of a difference that should be zero


@dataclass(frozen=True)
class Record:
    """What a run left: outputs of its cells, the floats of its namespace after each, and how often it drew."""

    outputs: list[list]  # one list a code cell; of the committed notebook where the run's own are not kept
    floats: list[dict[str, np.ndarray]]
    draws: int
    after: list[nbformat.NotebookNode] = field(default_factory=list)  # cells that ran after the notebook's own


def startup(folder: Path, module: Path = KERNEL) -> dict[str, str]:
    """Settings for a kernel that first runs ``begin`` of a module; ``folder`` becomes its IPython folder."""
    place = folder / "profile_default" / "startup"
    place.mkdir(parents=True, exist_ok=True)
    (place / module.name).write_text(START.format(str(module)), encoding="utf-8")
    return {"IPYTHONDIR": str(folder)}


def run(path: Path, settings: dict[str, str] | None = None, turned: Iterable[knobs.Turn] = ()) -> Record:
    """Run a notebook to its end, whatever its cells raise, then turn its knobs, and return what it left."""
    more = [cell for turn in turned for cell in turn.cells]
    with tempfile.TemporaryDirectory(prefix="stability-") as name:
        folder = Path(name)
        (folder / "content").mkdir()
        record = folder / "record.pickle"
        environment = os.environ | execute.ENVIRONMENT | startup(folder / "ipython") | (settings or {})
        environment["STABILITY_RECORD"] = str(record)
        environment.pop("PYTEST_CURRENT_TEST", None)
        notebook = execute.run_cells(path, folder / "content", folder, environment, stop=False, more=more)
        loaded = _load(record)
    own = len(notebook.cells) - len(more)
    notebook.cells, after = notebook.cells[:own], notebook.cells[own:]
    return Record(_outputs(execute.normalise(notebook)), *loaded, after)


def moved(path: Path, before: Record, now: Record) -> Iterator[str]:
    """What differs between two runs of a notebook, a line each: outputs first, then floats that no cell printed."""
    cells = [each for each in enumerate(execute.read(path).cells, 1) if each[1].cell_type == "code"]
    for (number, _), old, new in zip(cells, before.outputs, now.outputs, strict=True):
        for line in nbval_strict.differences(old, new):
            yield f"cell {number}: {line}"
    last: dict[str, np.ndarray] = {}
    for (number, cell), old, new in zip(cells, before.floats, now.floats, strict=False):
        for name in sorted(set(old) | set(new) if "moves" not in cell.metadata.get("tags", []) else ()):
            pair = old.get(name, last.get(name)), new.get(name)
            if pair[0] is None or pair[1] is None or pair[0].shape != pair[1].shape:
                continue  # the outputs tell
            if (size := change(*pair)) > RELATIVE:
                yield f"cell {number}: {name} moved by {size:.0e} of its size"
        last |= old


def raised(path: Path, record: Record) -> Iterator[str]:
    """Cells that raised though they are not tagged for it: two runs that fail alike are not calm."""
    cells = [cell for cell in enumerate(execute.read(path).cells, 1) if cell[1].cell_type == "code"]
    for (number, cell), outputs in zip(cells, record.outputs, strict=True):
        if "raises-exception" not in cell.metadata.get("tags", []):
            for output in outputs:
                if output.output_type == "error":
                    yield f"cell {number}: {output.ename}: {output.evalue}"


def change(before: np.ndarray, now: np.ndarray) -> float:
    """The largest difference of two arrays, as a share of the largest value; 0 where both are next to nothing."""
    if not np.array_equal(np.isfinite(before), np.isfinite(now)):
        return float("inf")
    before, now = (np.where(np.isfinite(each), each, 0) for each in (before, now))
    gap = float(np.abs(before - now).max())
    return gap / max(float(np.abs(before).max()), float(np.abs(now).max())) if gap > ABSOLUTE else 0.0


def first(path: Path) -> Record:
    """The undisturbed run: that of the simulated Colab when it left its record, else one here."""
    kept = record_file(path)
    sources = [path, *(ROOT / "src").rglob("*.py")]  # a record is stale when the code that it ran has changed
    if kept.exists() and kept.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return Record(_outputs(execute.read(path)), *_load(kept))
    return run(path)


def record_file(path: Path) -> Path:
    """Where the run in the simulated Colab leaves its record of this notebook."""
    return RECORDS / f"{path.parent.name}_{path.stem}.pickle"


def judge(path: Path, *, quick: bool) -> tuple[list[str], int]:
    """What moves in a notebook under each disturbance, or breaks when knobs turn, a line each; and how many runs."""
    plain = first(path)
    turned = knobs.turns(execute.read(path), each=False) if quick else []
    if quick and not (plain.draws or turned):
        return [], 0
    runs = {f"shaken, phase {phase:g}": {"STABILITY_PHASE": str(phase)} for phase in PHASES}
    if quick:
        runs = dict(list(runs.items())[:1])
    else:
        runs |= {" ".join(f"{key}={value}" for key, value in each.items()): each for each in PATHS}
    found = [f"as it is: {line}" for line in raised(path, plain)]
    for name, settings in runs.items():
        now = run(path, settings, turned)
        found += [f"{name}: {line}" for line in moved(path, plain, now)] + knobs.broken(path, turned, now.after)
    return found, len(runs)


def _outputs(notebook: nbformat.NotebookNode) -> list[list]:
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def _load(path: Path) -> tuple[list[dict[str, np.ndarray]], int]:
    kept = pickle.loads(path.read_bytes())  # our own kernel wrote it a moment ago
    return kept["cells"], kept["draws"]


def main(arguments: list[str]) -> int:
    """Judge the named notebooks, all that can run here when none is; return how many move."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--quick", action="store_true", help="one disturbance, of notebooks that draw; and knobs")
    parser.add_argument("-j", type=int, default=2, help="notebooks at a time (default 2)")
    options = parser.parse_args(arguments)
    every = [path for path in execute.notebooks() if not (options.quick and path.parent.name == ONCE)]
    paths = [path.resolve() for path in options.notebooks] or every
    mark = "shaken once and turned" if options.quick else "shaken"
    paths = [path for path in green.left(mark, paths) if not (execute.missing_data(path) or execute.missing_tool(path))]
    failed = 0
    with ThreadPoolExecutor(options.j) as pool:
        for path, (found, runs) in zip(
            paths, pool.map(lambda path: judge(path, quick=options.quick), paths), strict=True
        ):
            verdict = f"{len(found)} moved or broke" if found else f"calm in {runs} disturbed runs"
            print(f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}: {verdict}", flush=True)
            for line in found[:20]:
                print("    " + line.replace("\n", "\n    "))
            failed += bool(found)
            green.passed(mark, [] if found else [path])
    return failed


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
