"""The environment variables, read in one place."""

from pathlib import Path

import pytest
import torch

from course_utils.data import files, settings
from course_utils.errors import CourseError, InputError
from course_utils.notebook import page


@pytest.mark.parametrize(("value", "threads"), [("", None), (" ", None), ("0", None), ("2", 2), (" 3 ", 3)])
def test_threads(monkeypatch, value, threads):
    monkeypatch.setenv("COURSE_THREADS", value)
    assert settings.threads() == threads
    assert settings.threads(1) == 1


@pytest.mark.parametrize("value", ["-1", "2.0", "all", "99999", "1e3", "²", "10" * 40])
def test_threads_that_are_none(monkeypatch, value):
    monkeypatch.setenv("COURSE_THREADS", value)
    before = torch.get_num_threads()
    with pytest.raises(InputError, match=r"^COURSE_THREADS: got '.*', expected a whole number in 1..1024"):
        page.setup()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("wrong", [0, -1, 99999, 2.0, True, "2"])
def test_threads_as_an_argument(wrong):
    with pytest.raises(InputError, match=r"^threads: got"):
        page.setup(threads=wrong)


@pytest.mark.parametrize("name", ["COURSE_CACHE", "COURSE_DATA_DIR"])
def test_folders(monkeypatch, name):
    monkeypatch.setenv("HOME", "/home/student")
    for value, folder in {"": None, "  ": None, "~/data": "/home/student/data", "/a b": "/a b"}.items():
        monkeypatch.setenv(name, value)
        assert settings.folder(name) == (folder and Path(folder))


def test_a_data_folder_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "data" / "criteo-kaggle" / "train.txt"
    file.parent.mkdir(parents=True)
    file.write_text("")
    monkeypatch.setenv("COURSE_DATA_DIR", "~/data")
    assert files.find_file("criteo-kaggle", None) == file
    assert files.find_file("criteo-kaggle", "~/data/criteo-kaggle") == file
    monkeypatch.setenv("COURSE_DATA_DIR", "")
    with pytest.raises(CourseError, match="set COURSE_DATA_DIR"):
        files.find_file("criteo-kaggle", None)


@pytest.mark.parametrize(("value", "silent"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_silence(monkeypatch, value, silent):
    monkeypatch.setenv("TQDM_DISABLE", value)
    assert settings.silent() is silent
