"""The one way in which a reader says that a file cannot be used."""


class UnreadableError(Exception):
    """A file that cannot be used as an image or mask.

    ``code`` is a quality-control code, for example ``several_series``; empty where the file is
    simply unreadable. The message says what is wrong, where, and what to do.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code
