"""What a replication slot sends, read: frames, and the messages of plugin pgoutput.

Protocol version 1, text format, no streaming of unfinished transactions: a Begin comes
only once its transaction has committed, so nothing that is read here was rolled back.
Of a row only the key is decoded; the rest stays bytes.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

EPOCH = 946_684_800
"""2000-01-01, where the protocol's clock begins, in seconds since 1970."""

_FRAME_HEADER = 25  # kind, start, end, server's clock
_KEEPALIVE = struct.Struct("!cQQ?")
_STATUS = struct.Struct("!cQQQQ?")
_BEGIN = struct.Struct("!cQQI")
_COMMIT = struct.Struct("!cBQQQ")
_INT16 = struct.Struct("!H")
_INT32 = struct.Struct("!I")


class MalformedError(ValueError):
    """A message does not follow the protocol."""


class KeyMissingError(ValueError):
    """A table that is followed has lost its key column."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """All that ended at or before `position` has been sent before this."""

    position: int
    wants_reply: bool


@dataclass(frozen=True, slots=True)
class Begin:
    """A committed transaction follows; `xid` without its epoch."""

    xid: int


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row with this key was inserted or updated."""

    key: str


@dataclass(frozen=True, slots=True)
class Commit:
    """The transaction is complete; `end` is the position behind it."""

    end: int


Message = Begin | RowChange | Commit


def read_frame(frame: bytes) -> Keepalive | bytes:
    """Read a frame: a keepalive, or the message that it carries.

    Raises:
        MalformedError: It is neither.
    """
    kind = frame[:1]
    if kind == b"w" and len(frame) > _FRAME_HEADER:
        return frame[_FRAME_HEADER:]
    if kind == b"k" and len(frame) == _KEEPALIVE.size:
        _, position, _, wants_reply = _KEEPALIVE.unpack(frame)
        return Keepalive(position, wants_reply)
    raise MalformedError(f"a frame of kind {kind!r} with {len(frame)} bytes")


def status(position: int, at: float, *, ask: bool = False) -> bytes:
    """Make the frame that acknowledges all up to `position`.

    Args:
        position: As written, flushed and applied.
        at: The clock, in seconds since 1970.
        ask: Whether the server is to answer at once.
    """
    microseconds = max(0, round((at - EPOCH) * 1_000_000))
    return _STATUS.pack(b"r", position, position, position, microseconds, ask)


class Reader:
    """Reads the messages of one stream, in their order.

    Args:
        keys: The key column of each table that is followed, by the table's oid.
    """

    def __init__(self, keys: Mapping[int, str]) -> None:
        self._keys = keys
        self._places: dict[int, int | None] = {}

    def read(self, message: bytes) -> Message | None:
        """Read one message; None for what does not matter, and for keys of NULL.

        Tables that are not followed do not matter.

        Raises:
            MalformedError: It breaks off, or is not of the protocol.
            KeyMissingError: The key column of its table is gone.
        """
        try:
            return self._read(message)
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise MalformedError(f"message {message[:1]!r} breaks off") from error

    def _read(self, message: bytes) -> Message | None:
        kind = message[:1]
        if kind == b"B":
            return Begin(_BEGIN.unpack(message)[3])
        if kind == b"C":
            return Commit(_COMMIT.unpack(message)[3])
        if kind == b"R":
            self._relate(message)
        elif kind in {b"I", b"U"}:
            return self._touched(message)
        elif kind not in {b"D", b"T", b"Y", b"O", b"M"}:
            raise MalformedError(f"a message of kind {kind!r}")
        return None

    def _relate(self, message: bytes) -> None:
        (oid,) = _INT32.unpack_from(message, 1)
        schema, at = _text(message, 5)
        table, at = _text(message, at)
        (count,) = _INT16.unpack_from(message, at + 1)
        at += 3
        columns = []
        for _ in range(count):
            column, at = _text(message, at + 1)
            columns.append(column)
            at += 8
        if at != len(message):
            raise MalformedError("a relation of another length")
        key = self._keys.get(oid)
        if key is not None and key not in columns:
            raise KeyMissingError(f"{schema}.{table} has no column {key}")
        self._places[oid] = None if key is None else columns.index(key)

    def _touched(self, message: bytes) -> RowChange | None:
        (oid,) = _INT32.unpack_from(message, 1)
        if oid not in self._places:
            raise MalformedError("a row of a table that was not described")
        place = self._places[oid]
        if place is None:
            return None
        at = 5
        if message[at : at + 1] in {b"K", b"O"}:
            at = _behind(message, at + 1)
        if message[at : at + 1] != b"N":
            raise MalformedError("a row without its new values")
        key = _value(message, at + 1, place)
        return None if key is None else RowChange(key)


def _text(message: bytes, at: int) -> tuple[str, int]:
    """Read a text that ends with a zero byte; return it and the place behind it."""
    end = message.find(b"\0", at)
    if end == -1:
        raise MalformedError("a name without an end")
    return message[at:end].decode(), end + 1


def _behind(message: bytes, at: int) -> int:
    """Find the place behind the values that begin at `at`."""
    (count,) = _INT16.unpack_from(message, at)
    at += 2
    for _ in range(count):
        at = _next(message, at)
    return at


def _next(message: bytes, at: int) -> int:
    if message[at] in b"nu":  # NULL, or a large value that was not changed
        return at + 1
    if message[at] not in b"t":
        raise MalformedError("a value that is not a text")
    return at + 5 + int(_INT32.unpack_from(message, at + 1)[0])


def _value(message: bytes, at: int, place: int) -> str | None:
    """Read one of the values that begin at `at`; None for NULL."""
    (count,) = _INT16.unpack_from(message, at)
    if place >= count:
        raise MalformedError("a row with too few values")
    at += 2
    for _ in range(place):
        at = _next(message, at)
    end = _next(message, at)
    if end > len(message):
        raise MalformedError("a value that breaks off")
    return message[at + 5 : end].decode() if message[at : at + 1] == b"t" else None
