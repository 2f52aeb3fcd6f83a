"""Run notebooks and compare every output with the committed one, strictly; a pytest plugin on top of nbval.

python -m tools.notebooks.nbval_strict [--nbval-kernel-name NAME] [--nbval-no-pictures] NOTEBOOK ...
pytest -p tools.notebooks.nbval_strict --nbval-strict NOTEBOOK ...

nbval alone lets a stale picture, a missing alt text, a cell that never ran and a skipped cell pass. Here text and
integers agree exactly, a float within one unit of its last printed digit, a picture by its pixels, metadata (alt
text, glue names) as text. Outputs keep their order and number. Nothing is excused.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile, coalesce_streams
from PIL import Image

from tools.notebooks import execute

FLOAT = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*(?:[eE][-+]?\d+)?|[eE][-+]?\d+)(?!\.?\w)")
PICTURES = ("image/png", "image/jpeg")
TILE = 16  # pixels: about a letter, so that a changed digit is not lost in a large picture
MAX_RMS = 8 / 255  # in the worst tile: the rounding of positions stays below, a digit or a bar 2 pixels taller does not
GLUE = "application/papermill.record/"
GLUE_DIGITS = 6  # a glued number is stored in full; float64 agrees between processors to about eight digits
REFUSED = re.compile(r"nbval[-_](skip|ignore[-_]output|check[-_]output|raises[-_]exception)", re.IGNORECASE)
PIP_NOTE = "Note: you may need to restart the kernel to use updated packages.\n"  # %pip says so when it installs


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two switches."""
    parser.getgroup("nbval").addoption("--nbval-strict", action="store_true", help="run notebooks, compare strictly")
    parser.getgroup("nbval").addoption(
        "--nbval-no-pictures", action="store_true", help="compare no pictures: another matplotlib draws them"
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect notebooks under ``--nbval-strict``."""
    if file_path.suffix == ".ipynb" and parent.config.option.nbval_strict:
        return StrictFile.from_parent(parent, path=file_path)
    return None


class StrictFile(IPyNbFile):
    """A notebook: one test for each code cell, in one kernel."""

    def setup(self) -> None:
        """Start the kernel without pytest's mark, by which it would leave what C++ writes to stderr unseen."""
        mark = os.environ.pop("PYTEST_CURRENT_TEST", None)
        super().setup()
        if mark is not None:
            os.environ["PYTEST_CURRENT_TEST"] = mark

    def collect(self) -> Iterator[StrictCell]:
        """Yield code cells, numbered as a reader counts cells (markdown included, from 1)."""
        self.nb = nbformat.read(str(self.path), as_version=4)
        for number, cell in enumerate(self.nb.cells, 1):
            if cell.cell_type == "code":
                raises = "raises-exception" in cell.metadata.get("tags", [])
                options = {"check": True, "check_exception": raises, "skip": False}
                yield StrictCell.from_parent(self, name=f"cell {number}", cell_num=number, cell=cell, options=options)


class StrictCell(IPyNbCell):
    """A code cell that has run, is not excused, and must give the committed outputs again."""

    def runtest(self) -> None:
        """Run the cell; nbval calls :meth:`compare_outputs`."""
        if self.cell.execution_count is None:
            self.raise_cell_error("this cell was never run: python -m tools.notebooks.execute NOTEBOOK")
        excuse = REFUSED.search(" ".join([self.cell.source, *self.cell.metadata.get("tags", [])]))
        if excuse:
            self.raise_cell_error(f"no cell is excused: remove {excuse[0]}")
        super().runtest()

    def compare_outputs(self, test: list, ref: list, skip_compare: object = None) -> bool:
        """Whether the outputs agree; says where not in ``comparison_traceback``."""
        if 'run_line_magic("pip"' in self.cell.source:
            test = [output for output in test if output.get("text") != PIP_NOTE]
        pictures = not self.config.option.nbval_no_pictures
        self.comparison_traceback = list(differences(coalesce_streams(ref), test, pictures=pictures))
        return not self.comparison_traceback


def differences(committed: list, fresh: list, *, pictures: bool = True) -> Iterator[str]:
    """What a run changed in the outputs of one cell, a line each."""
    kinds = [[_kind(output) for output in outputs] for outputs in (committed, fresh)]
    if kinds[0] != kinds[1]:
        yield f"outputs: committed {kinds[0]}, now {kinds[1]}\n{_shown(fresh)}"
        return
    for number, (old, new) in enumerate(zip(committed, fresh, strict=True), 1):
        where = f"output {number} ({_kind(old)})"
        for key in ("text", "ename", "evalue", "metadata"):
            before, now = _text(old.get(key, "")), _text(new.get(key, ""))
            if not same_text(before, now):
                yield f"{where}, {key}: committed\n{before}\nnow\n{now}"
        for mime, before in old.get("data", {}).items():
            now = new.data[mime]
            if mime in PICTURES:
                reason = pictures and picture_difference(before, now)
                if reason:
                    yield f"{where}, {mime}: {reason}"
            elif mime == "image/svg+xml" and _text(before) != _text(now):
                yield f"{where}, {mime}: the text of the SVG changed"
            elif not same_text(_text(before), _text(now), GLUE_DIGITS if mime.startswith(GLUE) else None):
                yield f"{where}, {mime}: committed\n{_text(before)}\nnow\n{_text(now)}"


def same_text(before: str, now: str, digits: int | None = None) -> bool:
    """Whether two texts agree: words and integers exactly, floats within one unit of the last printed digit.

    The finer of the two printed forms counts. With ``digits``, a float may also differ by one unit of that
    significant digit.
    """
    if FLOAT.sub("#", before) != FLOAT.sub("#", now):
        return False
    return all(_close(*pair, digits) for pair in zip(FLOAT.findall(before), FLOAT.findall(now), strict=True))


def _close(before: str, now: str, digits: int | None) -> bool:
    old, new = (Decimal(text.replace(",", "")) for text in (before, now))
    exponent = min(old.as_tuple().exponent, new.as_tuple().exponent)
    if "." not in before + now or (before.endswith(".") and now.endswith(".")):
        return old == new  # no decimal was printed: an integer in all but name
    if digits is not None and old:
        exponent = max(exponent, old.adjusted() - digits + 1)
    return abs(old - new) <= Decimal(1).scaleb(exponent)


def picture_difference(before: str, now: str) -> str | None:
    """Why two base64 pictures differ, or None: of equal size, and a root mean square of at most 8/255 in each tile."""
    old, new = (_pixels(encoded) for encoded in (before, now))
    if old.shape != new.shape:
        return f"size {old.shape[1]}x{old.shape[0]}, now {new.shape[1]}x{new.shape[0]}"
    square = np.pad(((old - new) ** 2).mean(2), [(0, -side % TILE) for side in old.shape[:2]])
    rows, columns = (side // TILE for side in square.shape)
    tiles = np.sqrt(square.reshape(rows, TILE, columns, TILE).mean((1, 3)))  # (rows, columns)
    row, column = np.unravel_index(tiles.argmax(), tiles.shape)
    where = f"near x = {column * TILE}, y = {row * TILE}, root mean square {255 * tiles.max():.1f}/255"
    return f"the pictures differ {where}" if tiles.max() > MAX_RMS else None


def _pixels(encoded: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return np.asarray(picture.convert("RGBA"), dtype=float) / 255


def _kind(output: dict) -> str:
    return " ".join([output["output_type"], output.get("name", ""), *sorted(output.get("data", {}))]).strip()


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False)


def _shown(outputs: Iterable[dict]) -> str:
    """The readable part of unexpected outputs, so that a failure can be understood from the log."""
    texts = [
        output.get("text") or output.get("evalue") or output.get("data", {}).get("text/plain", "") for output in outputs
    ]
    return "\n".join(texts)[:3000]


def main(arguments: list[str]) -> int:
    """Run pytest with this plugin on the given notebooks, without the project's own test settings."""
    common = ["-q", "-c", "/dev/null", "-p", "no:cacheprovider", "--color=no"]
    common += ["--nbval-strict"] + [f"--nbval-{what}-timeout={execute.TIMEOUT}" for what in ("cell", "kernel-startup")]
    common += ["-W", "ignore:Module already imported"]
    return int(pytest.main([*common, *arguments], plugins=[sys.modules[__name__]]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
