"""The environment variables, read in one place."""

from pathlib import Path

import pytest
import torch

from course_utils.data import files, settings
from course_utils.errors import InputError
from course_utils.notebook import page


@pytest.mark.parametrize(("value", "threads"), [("", None), (" ", None), ("0", None), ("2", 2), (" 3 ", 3)])
def test_threads(monkeypatch, value, threads):
    monkeypatch.setenv("COURSE_THREADS", value)
    assert (settings.threads(), settings.threads(1)) == (threads, 1)


WRONG = [(value, None) for value in ("-1", "2.0", "all", "99999", "1e3", "²", "10" * 40)]
WRONG += [("2", asked) for asked in (0, -1, 99999, 2.0, True, "2")]


@pytest.mark.parametrize(("value", "asked"), WRONG)
def test_threads_that_are_none(monkeypatch, value, asked):
    monkeypatch.setenv("COURSE_THREADS", value)
    before, name = torch.get_num_threads(), "threads" if asked is not None else "COURSE_THREADS"
    with pytest.raises(InputError, match=f"^{name}: got .*, expected a whole number in 1..1024"):
        page.setup(threads=asked)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("value", "folder"), [("", None), (" ", None), ("~/x", "/home/student/x"), ("/a b", "/a b")])
def test_folders(monkeypatch, value, folder):
    monkeypatch.setenv("HOME", "/home/student")
    monkeypatch.setenv("COURSE_CACHE", value)
    assert settings.folder("COURSE_CACHE") == (folder and Path(folder))
    assert files.cache_dir() == Path(folder) if folder else files.cache_dir().name == "course_utils"


@pytest.mark.parametrize(("value", "silent"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_silence(monkeypatch, value, silent):
    monkeypatch.setenv("TQDM_DISABLE", value)
    assert settings.silent() is silent
