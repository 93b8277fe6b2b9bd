import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.response import Response
from syncd.core.response_shape import MAX_DRIFT, describe_drift

KNOWN = [
    (200, b'{"success": true}'),
    (201, b'{"success": true, "created": 1, "updated": 0, "errors": []}'),
    (200, b'{"success": false, "errors": ["orderid is missing"]}'),
    (400, b'{"success": false, "errors": [{"code": "TIMESTAMP_ERROR"}]}'),
    (422, b'{"errors": ["email is missing"]}'),
    (401, b'{"success": false, "errors": ["Invalid credentials"]}'),
    (403, b"<html>forbidden</html>"),
    (413, b""),
    (429, b""),
    (502, b"<html>bad gateway</html>"),
    (500, b'{"trace": []}'),
]

NEW = [
    (200, b'{"success": "true"}', "HTTP 200 {success: str}"),
    (200, b'{"success": 1, "id": "W-1"}', "HTTP 200 {id: str, success: int}"),
    (200, b'{"errors": {"mila@example.com": 1}}', "HTTP 200 {errors: object}"),
    (200, b'{"mila@example.com": true}', "HTTP 200 {?: bool}"),
    (200, b'{"errors": [["deep"]]}', "HTTP 200 {errors: [[str]]}"),
    (200, b"", "HTTP 200 with nothing"),
    (200, b"[true]", "HTTP 200 with text/html, not a JSON object"),
    (200, b"<html>", "HTTP 200 with text/html, not a JSON object"),
    (400, b"<html>", "HTTP 400 with text/html, not a JSON object"),
    (202, b'{"success": true}', "HTTP 202 {success: bool}"),
    (207, b'{"success": true}', "HTTP 207 {success: bool}"),
    (409, b'{"success": false}', "HTTP 409 {success: bool}"),
    (302, b"", "HTTP 302 with nothing"),
    (101, b"", "HTTP 101 with nothing"),
    (200, b'{"success": null}', "HTTP 200 {success: null}"),
]


def response(
    status: int, body: bytes, media: str = "text/html; charset=utf-8"
) -> Response:
    return Response(status, {"content-type": media}, body)


@pytest.mark.parametrize(("status", "body"), KNOWN)
def test_a_known_shape_is_no_drift(status: int, body: bytes) -> None:
    """Documented, seen in a client, or a gateway's."""
    assert describe_drift(response(status, body)) is None


@pytest.mark.parametrize(("status", "body", "expected"), NEW)
def test_a_new_shape_is_described_without_its_values(
    status: int, body: bytes, expected: str
) -> None:
    """Names that are words, and types: nothing that may come from an order."""
    assert describe_drift(response(status, body)) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-type": "Text/HTML; charset=utf-8; x=y"}, "text/html"),
        ({"content-type": "mila@example.com"}, "a body"),
        ({}, "a body"),
    ],
)
def test_a_body_of_another_type_is_described_by_its_media_type(
    headers: dict[str, str], expected: str
) -> None:
    """Or by nothing, when that is no media type."""
    drift = describe_drift(Response(200, headers, b"<html>"))
    assert drift == f"HTTP 200 with {expected}, not a JSON object"


@given(
    status=st.integers(100, 599),
    body=st.binary()
    | st.dictionaries(st.text(), st.lists(st.integers())).map(lambda d: str(d).encode())
    | st.dictionaries(st.from_regex(r"\A[a-z]{1,40}\Z"), st.none(), min_size=9).map(
        lambda d: str(d).replace("'", '"').replace("None", "null").encode()
    ),
    media=st.text(),
)
def test_a_shape_is_short_and_printable(status: int, body: bytes, media: str) -> None:
    """This holds for any response, since the shape is logged."""
    drift = describe_drift(response(status, body, media))
    assert drift is None or (len(drift) <= MAX_DRIFT and drift.isascii())
