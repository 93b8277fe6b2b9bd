"""The body of a request: events as JSON, in one of the two forms."""

import codecs
from collections.abc import Sequence


def encode(bodies: Sequence[bytes], form: str) -> bytes:
    """Write the body: a list in an object (`events`) or one bare event (`single`).

    ASCII only: the one form of which the vendor's own client shows that it passes.

    Args:
        bodies: The events as JSON; one of them for `single`.
        form: `events` or `single`.
    """
    body = b'{"events":[%s]}' % b",".join(bodies) if form == "events" else bodies[0]
    return body if body.isascii() else body.decode().encode("ascii", _ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Write what is not ASCII as JSON's escapes: pairs of surrogates above 16 bits."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be").hex()
    pieces = (units[place : place + 4] for place in range(0, len(units), 4))
    return "".join(f"\\u{piece}" for piece in pieces), error.end


_ESCAPED = "syncd.json"
codecs.register_error(_ESCAPED, _escaped)
