"""Errors that are told to people, not to programmers."""


class StudyError(Exception):
    """Something in a study's input that the person running it can mend.

    The message says what is wrong, where (file, row, column or key) and what to do.
    It is shown without a traceback.
    """
