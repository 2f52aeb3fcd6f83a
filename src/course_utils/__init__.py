"""Shared machinery of the book: data, splits, models, evaluation and the desk that notebooks sit at.

Importing it does nothing: no seeding, no download, no plot style. A notebook calls ``course_utils.setup()``.
"""

from __future__ import annotations

__version__ = "0.2.0"
__all__ = ["setup"]


def __getattr__(name: str) -> object:
    if name == "setup":  # from the last room, fetched on first use so that the other rooms stay light
        from course_utils.notebook.page import setup

        return setup
    raise AttributeError(f"module 'course_utils' has no attribute {name!r}")
