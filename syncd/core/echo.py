"""The forms in which a gateway may give back a text that it was sent.

Escaped for a URL, a form, a mail, HTML, JSON or a log; in base64 or hexadecimal digits;
in another character set; as a digest. Nothing here raises.
"""

import base64
import hashlib
import html
import re
import unicodedata
from collections.abc import Callable, Iterator

_BYTES = re.compile(r"(?:%[0-9A-Fa-f]{2})+|(?:\\x[0-9A-Fa-f]{2})+")
"""Bytes of a URL, or of a log."""

_MAILED = re.compile(r"(?:=[0-9A-F]{2})+")
"""Bytes of a mail; or a name, with a value that begins with digits."""

_ESCAPE = re.compile(r"[\\%]u([0-9A-Fa-f]{4})|\\(?:([bfnrt])|([\"\\/]))")
_NESTED = 4
"""How often escapes may be escaped."""

_WORD = re.compile(r"[^\W_]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}={0,2}")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{6,}")
_QUANTUM = 4
_SUBSCRIBER = 8
"""Last digits of a telephone number that stay the same however it is written."""


def unescaped(text: str) -> str:
    """Return a text without the escapes of JSON and HTML, which hide what it names."""
    return _to_the_end(text, _unescape)


def readings(text: str) -> Iterator[str]:
    """Return a text without any escapes, also those of URLs and logs; and of mails."""
    plain = _to_the_end(text, lambda one: _unescape(_BYTES.sub(_decoded, one)))
    yield plain
    if _MAILED.search(plain):
        yield _MAILED.sub(_decoded, plain)


def _to_the_end(text: str, step: Callable[[str], str]) -> str:
    for _ in range(_NESTED):
        plain = step(text)
        if plain == text:
            break
        text = plain
    return text


def _unescape(text: str) -> str:
    return _whole(html.unescape(_ESCAPE.sub(_character, text)))


def _character(escape: re.Match[str]) -> str:
    code, control, plain = escape.groups()
    if code:
        return chr(int(code, 16))
    return " " if control else str(plain)


def _whole(text: str) -> str:
    """Join the halves of characters that JSON writes in two."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _decoded(found: re.Match[str]) -> str:
    digits = re.sub(r"[%=]|\\x", "", found[0])
    return _text(bytes.fromhex(digits))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def words_of(text: str) -> list[str]:
    """Return the words of a text, without regard to capitals."""
    return _WORD.findall(text.casefold())


def forms(value: str) -> set[str]:
    """Return a value as it may come back: spelt, encoded or digested in another way."""
    trimmed = value.strip()
    spelt = {value, _digits(value), *_domains(value)}
    spelt |= {unicodedata.normalize(form, value) for form in ("NFC", "NFD", "NFKC")}
    spelt |= {_misread(value, *wrong) for wrong in _MISREAD}
    digested = (trimmed, trimmed.lower())
    return spelt | {name(text.encode()) for text in digested for name in _DIGESTS}


_MISREAD = (
    ("utf-8", "latin-1"),
    ("latin-1", "latin-1"),
    ("utf-8", "cp1252"),
    ("latin-1", "utf-8"),
    ("ascii", "ascii"),
)
"""The character set that a text is written in, and that it is read in."""

_DIGESTS: tuple[Callable[[bytes], str], ...] = (
    lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    lambda data: hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    lambda data: hashlib.sha256(data).hexdigest(),
)


def _misread(value: str, written: str, read: str) -> str:
    return value.encode(written, "replace").decode(read, "replace")


def _digits(value: str) -> str:
    """Return the last digits of a telephone number; nothing of another text."""
    digits = re.sub(r"[\s()+./-]", "", value)
    is_number = digits.isdecimal() and len(digits) >= _SUBSCRIBER
    return digits[-_SUBSCRIBER:] if is_number else ""


def _domains(value: str) -> Iterator[str]:
    """Return the names of an address's domain as the DNS has them."""
    for name in value.rpartition("@")[2].split("."):
        if not name.isascii():
            yield name.casefold().encode("punycode").decode()


def hidden_texts(text: str) -> Iterator[tuple[str, str]]:
    """Find what may be base64 or hexadecimal digits, with the decoded text.

    A word may stand before it, or a part of it be missing.
    """
    for found in _BASE64.finditer(text):
        digits = found[0].rstrip("=").replace("-", "+").replace("_", "/")
        for start in range(_QUANTUM):
            yield found[0], _text_of_base64(digits[start:])
    for found in _HEXADECIMAL.finditer(text):
        for start in range(2):
            digits = found[0][start:]
            yield found[0], _legible(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _text_of_base64(digits: str) -> str:
    left = len(digits) % _QUANTUM
    whole = digits[:-1] if left == 1 else digits
    return _legible(base64.b64decode(whole + "=" * (-len(whole) % _QUANTUM)))


def _legible(data: bytes) -> str:
    """Return bytes as text, with blanks for what is not printable."""
    text = data.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)
