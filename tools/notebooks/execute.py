"""Run notebooks and write their outputs in one normal form, so that a second run changes no byte.

python -m tools.notebooks.execute -> every notebook whose data are here
python -m tools.notebooks.execute notebooks/03_x.ipynb ... -> these
python -m tools.notebooks.execute --format NOTEBOOK ... -> only the normal form, nothing is run

Each notebook runs in a fresh kernel in an empty folder, one thread, no progress bars. An exception stops it, and the
file stays as it was, unless the cell is tagged ``raises-exception``.
"""

from __future__ import annotations

import argparse
import base64
import copy
import hashlib
import io
import os
import re
import struct
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
THREADS = ("COURSE_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# One thread, unless COURSE_THREADS asks for more. A thread that waits sleeps: where other work shares the cores,
# threads that wait by spinning are ten times slower.
ENVIRONMENT = {
    **dict.fromkeys(THREADS, os.environ.get("COURSE_THREADS") or "1"),
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "TQDM_DISABLE": "1",
    "COURSE_STRICT": "1",  # expect() raises instead of telling the reader
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the kernel's debugger would talk on stderr
}
TIMEOUT = 1200  # seconds for a cell, or a kernel to start: the longest takes 40 on a quiet one, and machines are busy
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {  # without the version: a patch release of Python shall not touch every notebook
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
CELL_KEYS = ("tags", "slideshow", "mystnb")  # the rest is noise of editors
PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"sRGB", b"IDAT", b"IEND", b"pHYs")
DATA = {"load_amazon_movies": "amazon-movies", "load_criteo": "criteo-kaggle"}  # what gated notebooks load


def notebooks(root: Path = ROOT) -> list[Path]:
    """Every notebook of the book, chapters first."""
    folder = root / "notebooks"
    places = (folder, *(folder / name for name in ("solutions", "workshop", "data_gated")))
    return [path for place in places for path in sorted(place.glob("*.ipynb"))]


def read(path: Path) -> NotebookNode:
    """The notebook at ``path``, in nbformat 4."""
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


def dumps(notebook: NotebookNode) -> str:
    """The bytes, as text, that the notebook has when committed."""
    return nbformat.writes(normalise(notebook)).rstrip("\n") + "\n"


def normalise(notebook: NotebookNode, before: NotebookNode | None = None) -> NotebookNode:
    """A copy of the notebook in normal form.

    Execution counts run 1..n over cells that ran, ids follow from the source, streams of one name are one output,
    pictures lose their metadata, and nothing is left that depends on the day, the machine or the editor.

    Args:
        notebook: the notebook, run or not.
        before: the same notebook before it ran; a picture with equal pixels keeps its old bytes.
    """
    notebook = copy.deepcopy(notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    pictures = _pictures(before) if before is not None else {}
    count, used = 0, set()
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in CELL_KEYS if cell.metadata.get(key)})
        cell.source = "\n".join(line.rstrip() for line in cell.source.strip("\n").split("\n"))
        cell.id = _identity(cell, used)
        if cell.cell_type == "code":
            if cell.execution_count is not None:
                count += 1
                cell.execution_count = count
            cell.outputs = [_output(output, count, pictures) for output in _merged(cell.outputs)]
    return notebook


def run_cells(
    path: Path,
    folder: Path,
    sockets: Path,
    environment: dict[str, str],
    *,
    stop: bool = True,
    more: Iterable[NotebookNode] = (),
) -> NotebookNode:
    """The notebook at ``path`` with the outputs of a run in ``folder``, as they come; its file stays as it is.

    Args:
        path: the notebook.
        folder: where its kernel works.
        sockets: a folder for the kernel's sockets: no port, and no warning about an open one.
        environment: of the kernel.
        stop: raise CellExecutionError at a cell that raises; else go on to the end.
        more: cells to run after the notebook's own.
    """
    from nbclient import NotebookClient

    notebook = read(path)
    notebook.cells += more
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        startup_timeout=TIMEOUT,
        kernel_name="python3",
        allow_errors=not stop,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.km = client.create_kernel_manager()
    client.km.transport, client.km.ip = "ipc", f"{sockets}/kernel"
    client.execute(env=environment)
    return notebook


def run(path: Path) -> float:
    """Run one notebook and write it back; return the seconds it took. When a cell raises, the file is untouched."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="course-") as folder, tempfile.TemporaryDirectory() as sockets:
        notebook = run_cells(path, Path(folder), Path(sockets), os.environ | ENVIRONMENT)
    text = nbformat.writes(normalise(notebook, read(path))).rstrip("\n") + "\n"
    nbformat.validate(nbformat.reads(text, as_version=4))
    temporary = path.with_suffix(".ipynb.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return time.perf_counter() - start


def missing_data(path: Path) -> str | None:
    """Name of a data set that the notebook loads, no registry carries, and this machine does not have."""
    from course_utils.data import available

    source = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    wanted = [name for loader, name in DATA.items() if re.search(rf"\b{loader}\b", source)]
    return next((name for name in wanted if not available(name)), None)


def missing_tool(path: Path) -> str | None:
    """What the notebook needs beside packages, and this machine does not have, in one line: Spark's Java."""
    from course_utils import errors
    from course_utils.scale import spark

    if not re.search(r"\bcourse_utils\.scale(\.| import .*\b)spark\b", path.read_text(encoding="utf-8")):
        return None
    try:
        spark.find_java()
    except errors.MissingToolError as error:
        return str(error)
    return None


def png_pixels(encoded: str) -> tuple[int, int, bytes]:
    """Width, height and RGBA bytes of a base64 PNG."""
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return *picture.size, picture.convert("RGBA").tobytes()


def _identity(cell: NotebookNode, used: set[str]) -> str:
    """An id that the cell keeps as long as its source stays, whatever tool wrote the file."""
    number = 0
    while True:
        text = f"{cell.cell_type}\n{cell.source}\n{number or ''}"
        identity = hashlib.sha256(text.encode()).hexdigest()[:10]
        if identity not in used:
            used.add(identity)
            return identity
        number += 1


def _merged(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    """Outputs with each stream in one piece, where its first piece stood."""
    merged, streams = [], {}
    for output in outputs:
        if output.output_type == "stream" and output.name in streams:
            streams[output.name].text += output.text
            continue
        if output.output_type == "stream":
            streams[output.name] = output
        merged.append(output)
    return merged


def _output(output: NotebookNode, count: int, pictures: dict) -> NotebookNode:
    """One output in normal form."""
    output.pop("transient", None)
    if output.output_type == "execute_result":
        output.execution_count = count
    if output.output_type == "error":  # the rest of a traceback names files of this machine
        output.traceback = [f"{output.ename}: {output.evalue}"]
    if "image/png" in output.get("data", {}):
        encoded = re.sub(r"\s", "", output.data["image/png"])
        output.data["image/png"] = pictures.get(_key(encoded)) or _bare_png(encoded)
    return output


def _pictures(notebook: NotebookNode) -> dict[str, str]:
    """Fingerprint of pixels -> normal PNG, of every picture in the notebook."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            encoded = re.sub(r"\s", "", output.get("data", {}).get("image/png", ""))
            if encoded:
                found[_key(encoded)] = _bare_png(encoded)
    return found


def _key(encoded: str) -> str:
    width, height, pixels = png_pixels(encoded)
    return f"{width}x{height} {hashlib.sha256(pixels).hexdigest()}"


def _bare_png(encoded: str) -> str:
    """The PNG without text, times and other chunks that do not change a pixel."""
    data = base64.b64decode(encoded)
    kept, position = [data[:8]], 8
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        chunk = data[position : position + length + 12]
        if chunk[4:8] in PNG_KEPT:
            kept.append(chunk)
        position += length + 12
    return base64.b64encode(b"".join(kept)).decode()


def main(arguments: list[str]) -> int:
    """Run or format the notebooks that are named, all when none is; return the number that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--format", action="store_true", help="do not run anything")
    parser.add_argument("-j", type=int, default=2, help="notebooks at a time (default 2)")
    options = parser.parse_args(arguments)

    def one(path: Path) -> str | None:
        if options.format:
            path.write_text(dumps(read(path)), encoding="utf-8")
            return None
        if name := missing_data(path):
            print(f"  skipped {path}: {name} is not on this machine (set COURSE_DATA_DIR)", flush=True)
            return None
        if tool := missing_tool(path):
            print(f"  skipped {path}: {tool}", flush=True)
            return None
        try:
            print(f"{run(path):7.1f} s  {path}", flush=True)
        except Exception as error:
            return f"FAILED {path}\n{error}"
        return None

    with ThreadPoolExecutor(options.j) as pool:
        faults = [fault for fault in pool.map(one, options.notebooks or notebooks()) if fault]
    print("\n".join(faults), end="\n" if faults else "")
    return len(faults)


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
