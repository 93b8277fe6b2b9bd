"""Redaction keeps a text's message and removes personal data."""

import base64
import hashlib
import html
import json
import quopri
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from syncd.core.redaction import HIDDEN, Redactor

EVENT = {
    "event": "Purchase",
    "email": "mila.jansen@shop.example",
    "orderid": "W-1042",
    "firstname": "Mila",
    "lastname": "van der Berg",
    "city": "\u2019s-Hertogenbosch",
    "phone": "+31 6 12345678",
    "custom_vip": True,
    "products": [{"id": "MUG-1"}],
}


def every(character: str, text: str) -> str:
    return "".join(character.format(ord(c)) for c in text)


def fetched(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "capitals": str.upper,
    "url": quote,
    "url, all of it": lambda text: quote(text, safe=""),
    "url, small digits": lambda text: quote(text, safe="").lower(),
    "url, each byte": lambda text: "".join(f"%{b:02X}" for b in text.encode()),
    "url, twice": lambda text: quote(quote(text, safe="")),
    "url, latin-1": lambda text: quote(text, encoding="latin-1", errors="replace"),
    "form": quote_plus,
    "html": html.escape,
    "html, numbers": lambda text: every("&#{};", text),
    "html, hexadecimal": lambda text: every("&#x{:x};", text),
    "html, twice": lambda text: html.escape(every("&#{};", text)),
    "json": json.dumps,
    "json, each character": lambda text: "".join(
        f"\\u{n:04x}" for n in memoryview(text.encode("utf-16-le")).cast("H")
    ),
    "json in json": lambda text: json.dumps(json.dumps({"sent": text})),
    "json in a url": lambda text: quote(json.dumps({"sent": text})),
    "log": lambda text: "".join(f"\\x{b:02x}" for b in text.encode()),
    "python": lambda text: repr(text.encode()),
    "javascript": lambda text: "".join(
        f"%u{n:04X}" for n in memoryview(text.encode("utf-16-le")).cast("H")
    ),
    "mail": lambda text: quopri.encodestring(text.encode()).decode().replace("=\n", ""),
    "base64": fetched,
    "base64, unpadded": lambda text: fetched(text).rstrip("="),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in a url": lambda text: quote(fetched(text), safe=""),
    "base64 of a form": lambda text: fetched(f"email={quote_plus(text)}&n=1"),
    "base64 of json": lambda text: fetched(json.dumps({"email": text, "n": 1})),
    "base64 in base64": lambda text: fetched(fetched(text)),
    "base64, glued": lambda text: f"/body/{fetched(text)}",
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, named": lambda text: f"0x{text.encode().hex()}",
    "misread": lambda text: text.encode().decode("latin-1"),
    "misread as cp1252": lambda text: text.encode().decode("cp1252", "replace"),
    "misread as utf-8": lambda text: text.encode("latin-1", "replace").decode(
        "utf-8", "replace"
    ),
    "without accents": lambda text: text.encode("ascii", "replace").decode(),
    "cut off": lambda text: text[:-1],
    "its end": lambda text: text[1:],
}
"""How gateways, firewalls and PHP sites echo what they were sent."""

DIGESTS: dict[str, Callable[[bytes], str]] = {
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    "sha256": lambda data: hashlib.sha256(data).hexdigest(),
}
NAMES = st.builds(
    "{}{}".format,
    st.text("kwetrinzosu", min_size=5, max_size=7),
    st.text("kwetrinzosu\u00eb\u00fc\u0142\u4e2d\U0001d4d0", max_size=7),
)
FEW = settings(max_examples=max(8, settings().max_examples // 12))
"""Fewer examples for each encoding, since there are many of them."""


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("HTTP 400 firstname is too short", "HTTP 400 firstname is too short"),
        ("order W-1042: MUG-1 is unknown", "order W-1042: MUG-1 is unknown"),
        ("MILA is no name", f"{HIDDEN} is no name"),
        ("phone 12345678 is wrong", f"phone {HIDDEN} is wrong"),
        ("phone 0612345678 is wrong", f"phone {HIDDEN} is wrong"),
        ("city Hertogen", f"city {HIDDEN}"),
        ("key s3cr-et!: bad", f"key {HIDDEN}: bad"),
        ("key S3CR-ET!: bad", f"key {HIDDEN}: bad"),
        ("key s3cr%2Det%21: bad", f"key {HIDDEN}: bad"),
        ("true is no text", "true is no text"),
        ("limit=40 at https://api.test/a%20b", "limit=40 at https://api.test/a%20b"),
        ("a3f09cc17b is dGhpcyBpcyBub2JvZHk=", "a3f09cc17b is dGhpcyBpcyBub2JvZHk="),
    ],
)
def test_sent_values_are_hidden_and_the_rest_is_kept(text: str, kept: str) -> None:
    """Whole words, in any case, also truncated; secrets anywhere."""
    assert Redactor([EVENT], ["s3cr-et!", ""]).redact(text) == kept


@pytest.mark.parametrize("way", ECHOES)
@FEW
@given(name=NAMES, number=st.integers(10**7, 10**9))
@example(name="kwetterina", number=73919173)
@example(name="\u00fcs-kwetterin", number=73919173)
def test_no_encoding_of_an_echo_keeps_a_person(
    way: str, name: str, number: int
) -> None:
    """Name, number and address, each alone and between other words."""
    sent = {"firstname": name, "phone": f"{number}", "email": f"{name}@x{number}.test"}
    redactor = Redactor([sent])
    for value in sent.values():
        echo = ECHOES[way](value)
        for text in (echo, f"field {echo} is bad", f"email={echo}&n=1", f'"{echo}",'):
            redacted = redactor.redact(text)
            assert HIDDEN in redacted, (text, redacted)
            assert echo not in redacted
            assert name not in redacted.casefold()
            assert str(number) not in redacted


@pytest.mark.parametrize("digest", DIGESTS)
def test_a_digest_of_an_address_is_hidden(digest: str) -> None:
    """Anybody with a list of addresses could reverse it."""
    echoed = DIGESTS[digest](b"mila.jansen@shop.example")
    assert Redactor([EVENT]).redact(f"{echoed} is unknown") == f"{HIDDEN} is unknown"


def test_encoded_values_are_found_two_levels_deep() -> None:
    """No gateway encodes deeper, and each level costs as much as all before."""
    twice = fetched(fetched("Mila"))
    redactor = Redactor([EVENT])
    assert redactor.redact(twice) == HIDDEN
    assert redactor.redact(fetched(twice)) == fetched(twice)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
@example("%zz \\u12 &#xD800; &#99999999; =Z= \\xq \\ud83d %u")
def test_any_text_can_be_redacted_without_an_event(text: str) -> None:
    """Nothing raises, and a text without values of the event is unchanged."""
    assert Redactor([{"email": None}]).redact(text) == text
    assert isinstance(Redactor([EVENT], ["s3cret"]).redact(text), str)


def test_order_numbers_are_hidden_in_a_text_for_all_orders() -> None:
    """They are hidden in any form, longer ones first."""
    events = [{"orderid": "DEF"}, {"orderid": "ABC-DEF"}, {"orderid": "2"}, {}]
    redacted = Redactor(events).over_numbers("2 sent: ABC-DEF and DEF, not DEFG: None")
    assert redacted == "2 sent: <id> and <id>, not DEFG: None"
