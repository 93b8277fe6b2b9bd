"""Text that goes somewhere: which character does not belong there, and where it is.

Nothing of the text is quoted: it may be a secret.
"""

import codecs
import re
from collections.abc import Callable

BLANKS = " \t\r\n"
"""What may be cut off around a value, since copying often adds it."""

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_ADDRESS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LONGEST_HOST = 253


def odd_character(text: str, *, allowed: str = "") -> str | None:
    """Return the first invisible character, with its position; None: none.

    Args:
        text: Any text; blanks within are no fault.
        allowed: Characters that are no fault here.
    """
    return _first(text, lambda c: c.isprintable() or c in allowed)


def header_character(text: str) -> str | None:
    """Return the first character that no HTTP header may have, with its place."""
    return _first(text, lambda c: c.isascii() and c.isprintable())


def address_character(text: str) -> str | None:
    """Return the first character that no URL may have unescaped, with its place."""
    return _first(text, lambda c: _ADDRESS.fullmatch(c) is not None)


def bad_escape(text: str) -> bool:
    """Return whether a percent sign begins no escaped byte."""
    return _ESCAPE.search(text) is not None


def is_host_name(host: str) -> bool:
    """Return whether a text is a host's name: labels of letters, digits, hyphens."""
    labels = host.removesuffix(".").split(".")
    return len(host) <= _LONGEST_HOST and all(map(_LABEL.fullmatch, labels))


def _first(text: str, is_good: Callable[[str], bool]) -> str | None:
    for place, character in enumerate(text, 1):
        if not is_good(character):
            return f"character {place} is U+{ord(character):04X}"
    return None


def shown(text: str) -> str:
    """Return a text in one line: invisible characters are written as their codes."""
    return "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in text)


UTF8 = "utf-8"
ASCII = "ascii"


def codec_of(server_encoding: str | None) -> str:
    """Return the codec of what a server can hold; of an unknown one ASCII.

    A server of SQL_ASCII takes any bytes, and is given UTF-8.
    """
    if server_encoding is None or server_encoding in {"UTF8", "SQL_ASCII"}:
        return UTF8
    found = re.fullmatch(r"(?:WIN|LATIN)([0-9]+)", server_encoding)
    if found is None:
        return ASCII
    number = found.group(1)
    name = f"cp{number}" if server_encoding.startswith("WIN") else f"latin{number}"
    try:
        return codecs.lookup(name).name
    except LookupError:
        return ASCII


def fits(text: str, codec: str) -> bool:
    """Return whether a server can hold a text as it is."""
    return fitted(text, codec) == text


def fitted(text: str, codec: str) -> str:
    """Return a text with a question mark for what a server cannot hold."""
    plain = text.replace("\0", "?")
    return plain.encode(codec, "replace").decode(codec)


def fitted_all(value: object, codec: str) -> object:
    """Make the text fit, of a value or of each in a list; else return it as it is."""
    if isinstance(value, list | tuple):
        return [fitted_all(each, codec) for each in value]
    return fitted(value, codec) if isinstance(value, str) else value
