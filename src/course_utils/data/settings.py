"""The environment variables that the package reads, each in one place; an empty one counts as not set."""

import os
from pathlib import Path

from course_utils.errors import InputError, check_counts

_MOST_THREADS = 1024  # far above any machine of a student; torch crashes at a hundred times as many


def folder(name: str) -> Path | None:
    """A folder, such as that of ``COURSE_CACHE`` or ``COURSE_DATA_DIR``, ``~`` resolved; None when not set."""
    value = os.environ.get(name, "").strip()
    return Path(value).expanduser() if value else None


def threads(asked: int | None = None) -> int | None:
    """Threads for torch: those asked for, else ``COURSE_THREADS``; None (or 0 there) leaves the choice to torch."""
    if asked is not None:
        check_counts(1, _MOST_THREADS, threads=asked)
        return int(asked)
    value = os.environ.get("COURSE_THREADS", "").strip() or "0"
    if not (value.isascii() and value.isdigit() and int(value) <= _MOST_THREADS):
        expected = f"a whole number in 1..{_MOST_THREADS}, or nothing"
        raise InputError("COURSE_THREADS", got=repr(value), expected=expected)
    return int(value) or None


def silent() -> bool:
    """Whether ``TQDM_DISABLE`` turns progress bars off, in tqdm's own words: anything but nothing, 0 and false."""
    return _on("TQDM_DISABLE")


def strict() -> bool:
    """Whether ``COURSE_STRICT`` says that the book is tested, not read: then what is expected must hold."""
    return _on("COURSE_STRICT")


def _on(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")
