"""What a server's encoding can represent: informational text is converted.

Keys are never changed: a key comes out of the database, so that it fits.
"""

import codecs
import re

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
