"""The structure of an answer, without values, and whether the contract has it.

The contract is hardly documented, so that a change of it shows first as an answer
of a new shape. It is judged all the same (`core.response`); a person should know.
"""

import re
from collections.abc import Mapping

from syncd.core.json_value import is_array
from syncd.core.response import Response
from syncd.core.response_text import parse_object

MAX_SHAPE = 200

_SPOKEN = frozenset({200, 201, 400, 422})
"""Statuses of the API's own, which come with its JSON object."""

_BRIEF = frozenset({401, 403, 404, 405, 408, 413, 425, 429})
"""Statuses that a gateway may give as well, with any body."""

_TROUBLE = range(500, 600)

_KINDS: Mapping[str, frozenset[str]] = {
    "success": frozenset({"bool"}),
    "created": frozenset({"int"}),
    "updated": frozenset({"int"}),
    "errors": frozenset({"[]", "[str]", "[object]", "null"}),
}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_MEDIA = re.compile(r"[a-z]{1,12}/[a-z0-9.+-]{1,30}")


def describe_drift(answer: Response) -> str | None:
    """Describe an answer that the contract does not know; None when it does.

    Names and kinds only, at most `MAX_SHAPE` characters: no value of the answer.
    """
    if answer.status in _TROUBLE:
        return None
    fields = _fields(answer.body)
    if fields is None and answer.status in _BRIEF:
        return None
    if fields is None:
        form = _media(answer) if answer.body else "nothing"
        return f"HTTP {answer.status} with {form}"
    known = all(kind in _KINDS.get(name, ()) for name, kind in fields.items())
    if known and answer.status in _SPOKEN | _BRIEF:
        return None
    listed = ", ".join(sorted(f"{name}: {kind}" for name, kind in fields.items()))
    return f"HTTP {answer.status} {{{listed}}}"[:MAX_SHAPE]


def _fields(body: bytes) -> dict[str, str] | None:
    """Name the fields of a JSON object with their kinds; None for anything else."""
    fields = parse_object(body)
    if fields is None:
        return None
    return {
        name if _WORD.fullmatch(name) else "?": _kind(value)
        for name, value in fields.items()
    }


def _kind(value: object) -> str:
    if is_array(value):
        return f"[{_kind(value[0])}]" if value else "[]"
    names = {"NoneType": "null", "dict": "object"}
    return names.get(type(value).__name__, type(value).__name__)


def _media(answer: Response) -> str:
    named = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return f"{named if _MEDIA.fullmatch(named) else 'a body'}, not a JSON object"
