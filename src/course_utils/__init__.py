"""Shared machinery of the book: data, splits, models, evaluation and the desk that notebooks sit at.

Importing it does nothing: no seeding, no download, no plot style. A notebook calls ``course_utils.setup()``.
"""

__version__ = "0.3.0"
__all__ = ["setup"]


def __getattr__(name: str) -> object:
    if name != "setup":
        raise AttributeError(f"module 'course_utils' has no attribute {name!r}")
    from course_utils.notebook.page import setup  # from the last room, on first use: the other rooms stay light

    return setup
