import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.pgoutput import (
    EPOCH,
    Begin,
    Commit,
    Keepalive,
    KeyMissingError,
    MalformedError,
    Reader,
    RowChange,
    read_frame,
    status,
)

# Recorded from PostgreSQL 18.4: a table o (id bigint primary key, e text, p text),
# published with the column list (id); an insert.
FRAMES = [
    (
        b"w\0\0\0\0\x01o,\x80\0\0\0\0\x01o,\x80\0\x03\x03\xf3a\x9d\xba!"
        b"B\0\0\0\0\x01o-h\0\x03\x03\xf3a\x9cC\xca\0\0\x02\xf3"
    ),
    (
        b"w\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03\x03\xf3a\x9d\xbaf"
        b"R\0\0@\x01public\0o\0d\0\x01\x01id\0\0\0\0\x14\xff\xff\xff\xff"
    ),
    (
        b"w\0\0\0\0\x01o,\x80\0\0\0\0\x01o,\x80\0\x03\x03\xf3a\x9d\xba}"
        b"I\0\0@\x01N\0\x01t\0\0\0\x011"
    ),
    (
        b"w\0\0\0\0\x01o-\x98\0\0\0\0\x01o-\x98\0\x03\x03\xf3a\x9d\xba\x7f"
        b"C\0\0\0\0\0\x01o-h\0\0\0\0\x01o-\x98\0\x03\x03\xf3a\x9cC\xca"
    ),
]
KEEPALIVE = b"k\0\0\0\0\x01o0`\0\x03\x03\xf3a\x9d\xba\xa1\0"
OID = 0x4001


def relation(*columns: str, oid: int = OID, table: str = "o") -> bytes:
    described = b"".join(
        b"\0" + column.encode() + b"\0" + struct.pack("!Ii", 25, -1)
        for column in columns
    )
    head = struct.pack("!cI", b"R", oid) + f"public\0{table}\0".encode() + b"f"
    return head + struct.pack("!H", len(columns)) + described


def values(*texts: str | None) -> bytes:
    packed = [
        b"n" if text is None else b"t" + struct.pack("!I", len(text.encode()))
        + text.encode()
        for text in texts
    ]  # fmt: skip
    return struct.pack("!H", len(texts)) + b"".join(packed)


def row(kind: bytes, *parts: bytes, oid: int = OID) -> bytes:
    return struct.pack("!cI", kind, oid) + b"".join(parts)


NEW = b"N" + values("", "7", "")


@pytest.fixture
def reader() -> Reader:
    """A reader that knows a table of three columns; the second is the key."""
    made = Reader({OID: "id"})
    assert made.read(relation("email", "id", "note")) is None
    return made


def test_recorded_messages_of_a_server_are_read() -> None:
    """The bytes are recorded from a real server."""
    reader = Reader({OID: "id"})
    read = []
    for frame in FRAMES:
        message = read_frame(frame)
        assert isinstance(message, bytes)
        read.append(reader.read(message))
    assert read == [Begin(755), None, RowChange("1"), Commit(0x16F2D98)]
    assert read_frame(KEEPALIVE) == Keepalive(0x16F3060, wants_reply=False)


def test_a_status_has_the_position_three_times_and_the_clock() -> None:
    """34 bytes; the clock counts microseconds since 2000."""
    made = status(0x1_0000_0002, EPOCH + 1.5, ask=True)
    assert len(made) == 34
    assert struct.unpack("!cQQQQ?", made) == (
        b"r",
        *[0x1_0000_0002] * 3,
        1_500_000,
        True,
    )
    assert status(1, 0.0) == struct.pack("!cQQQQ?", b"r", 1, 1, 1, 0, 0)


@pytest.mark.parametrize(
    "frame", [b"", b"w", b"k", b"w" * 25, KEEPALIVE[:-1], b"x" * 30]
)
def test_a_frame_of_another_form_is_refused(frame: bytes) -> None:
    """The content of such a frame is not guessed."""
    with pytest.raises(MalformedError) as refused:
        read_frame(frame)
    assert str(refused.value) == (
        f"a frame of kind {frame[:1]!r} with {len(frame)} bytes"
    )


@pytest.mark.parametrize(
    ("message", "read"),
    [
        (row(b"I", b"N", values("a@b.nl", "7", None)), RowChange("7")),
        (row(b"U", b"N", values(None, "7", "x")), RowChange("7")),
        (row(b"U", b"K", values(None, "6", None), NEW), RowChange("7")),
        (row(b"U", b"O", values("é", "6", "x"), NEW), RowChange("7")),
        (row(b"I", b"N", values("", "é", "")), RowChange("é")),
        (row(b"U", b"N", b"\0\x03uuu"), None),
        (row(b"I", b"N", values("a", None, "b")), None),
        (row(b"D", b"K", values(None, "7", None)), None),
        (b"T\0\0\0\x01\0\0\0@\x01", None),
        (b"M\0\0\0\0\0\0\0\0\0x\0\0\0\0\0", None),
        (b"Y\0\0\0\x01public\0mood\0", None),
        (b"O\0\0\0\0\0\0\0\0elsewhere\0", None),
    ],
)  # fmt: skip
def test_a_row_gives_its_key_and_nothing_else(
    reader: Reader, message: bytes, read: object
) -> None:
    """Inserts and updates, with and without the old row; the rest is skipped."""
    assert reader.read(message) == read


def test_a_table_that_is_not_followed_is_skipped(reader: Reader) -> None:
    """Somebody added it to the publication."""
    assert reader.read(relation("id", oid=9)) is None
    assert reader.read(row(b"I", b"N", values("7"), oid=9)) is None


def test_a_renamed_table_is_still_followed(reader: Reader) -> None:
    """Its oid stays."""
    assert reader.read(relation("id", "email", table="orders_2")) is None
    assert reader.read(row(b"I", b"N", values("7", "a@b.nl"))) == RowChange("7")


def test_a_missing_key_column_is_reported(reader: Reader) -> None:
    """Rather than reading another column as the key."""
    with pytest.raises(KeyMissingError, match=r"public\.o has no column id"):
        reader.read(relation("number", "email"))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", "a message of kind b''"),
        (b"Z", "a message of kind b'Z'"),
        (b"B\0", "message b'B' breaks off"),
        (b"R\0\0\0\x01public", "a name without an end"),
        (relation("id")[:-9], "a name without an end"),
        (relation("id") + b"\0", "a relation of another length"),
        (
            row(b"I", b"N", values("7"), oid=8),
            "a row of a table that was not described",
        ),
        (row(b"I", b"X", values("7")), "a row without its new values"),
        (row(b"I", b"N", values("7")), "a row with too few values"),
        (row(b"I", b"N", b"\0\x02b\0\0\0\x011n"), "a value that is not a text"),
        (row(b"I", b"N", b"\0\x02Xt\0\0\0\x017"), "a value that is not a text"),
        (row(b"I", b"N", values("a", "b", "c"))[:-7], "a value that breaks off"),
        (row(b"I", b"N", b"\0\x02nt\0\0\0\x02\xff\xff"), "message b'I' breaks off"),
    ],
)
def test_a_message_of_another_form_is_refused(
    reader: Reader, message: bytes, words: str
) -> None:
    """Nothing is guessed, and no other error is raised."""
    with pytest.raises(MalformedError) as refused:
        reader.read(message)
    assert str(refused.value) == words


@given(st.binary(max_size=60))
def test_no_bytes_raise_another_error(message: bytes) -> None:
    """Whatever arrives is read, skipped, or refused."""
    reader = Reader({OID: "id"})
    reader.read(relation("email", "id"))
    for try_ in (reader.read, read_frame):
        for data in (message, row(b"I", b"N", message), row(b"U", b"K", message)):
            try:
                try_(data)
            except (MalformedError, KeyMissingError):
                continue


text = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@given(st.lists(text, min_size=1, max_size=6), st.data())
def test_every_row_gives_the_value_in_the_keys_position(
    row_values: list[str | None], data: st.DataObject
) -> None:
    """The other columns do not matter."""
    place = data.draw(st.integers(0, len(row_values) - 1))
    reader = Reader({OID: f"c{place}"})
    reader.read(relation(*(f"c{number}" for number in range(len(row_values)))))
    key = row_values[place]
    expected = None if key is None else RowChange(key)
    assert reader.read(row(b"I", b"N", values(*row_values))) == expected
