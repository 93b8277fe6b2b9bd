"""What came of a component's turn."""

from enum import Enum, auto


class Turn(Enum):
    """Whether a component did its work.

    Attributes:
        NOT_DUE: It looked at a clock only, which proves nothing about a database.
    """

    DONE = auto()
    NOT_DUE = auto()
