"""Errors that are told to people, not to programmers."""

import difflib


class StudyError(Exception):
    """Something in a study's input that the person running it can mend.

    The message says what is wrong, where (file, row, column or key) and what to do.
    It is shown without a traceback.
    """


def nearest(name: str, known: list[str]) -> str:
    """Ask whether the known name nearest to ``name`` was meant; nothing where none is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
