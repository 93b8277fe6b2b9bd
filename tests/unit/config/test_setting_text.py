"""Texts are checked for their use: refused in one line, or valid wherever they go."""

import json
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.capture.listen.outbox import channel_of
from syncd.capture.wal.slot import slot_name
from syncd.config.configuration import Fault, survey
from syncd.config.dsn import describe
from syncd.config.settings import Settings
from syncd.core.response import NoResponse
from syncd.delivery.squeezely import Squeezely
from syncd.ledger.state_file import StateFile

KEY = {"SYNCD_SQUEEZELY_API_KEY": "k"}
WRITTEN: dict[str, dict[str, object]] = {
    "": {"feed": "shop"},
    "source": {"dsn": "host=/x dbname=shop"},
    "squeezely": {"account": "SQ-1234", "endpoint": "https://api.example/v1"},
}
TEXTS = [
    ("", "feed"),
    ("", "instance"),
    ("source", "dsn"),
    ("source", "primary_dsn"),
    ("source", "dsn_file"),
    ("source", "confirmed_view"),
    ("source", "purchases_view"),
    ("source", "time_zone"),
    ("source", "poll_interval"),
    ("source", "lookback"),
    ("source", "completeness_timeout"),
    ("ledger", "dsn"),
    ("ledger", "state_directory"),
    ("squeezely", "account"),
    ("squeezely", "endpoint"),
    ("squeezely", "api_key_file"),
    ("squeezely", "ca_file"),
    ("squeezely", "rate"),
    ("squeezely", "timeout"),
    ("backfill", "rate"),
    ("ledger", "retention"),
    ("log", "heartbeat"),
    ("log", "level"),
]


def load_with(
    place: Path, section: str, name: str, text: str, key: str = "k"
) -> tuple[Settings | None, list[Fault]]:
    """Load a valid configuration with one text in it."""
    written = {part: dict(values) for part, values in WRITTEN.items()}
    written.setdefault(section, {})[name] = text
    top = written.pop("")
    path = place / "syncd.toml"
    lines = [f"{key} = {quoted(value)}" for key, value in top.items()]
    for part, values in written.items():
        lines.append(f"[{part}]")
        lines += [f"{key} = {quoted(value)}" for key, value in values.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return survey(path, {"SYNCD_SQUEEZELY_API_KEY": key})


def quoted(value: object) -> str:
    """Write a text as TOML does."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


@pytest.mark.parametrize(
    ("section", "name", "text", "words"),
    [
        ("squeezely", "account", "SQ-1234\u200b", "account: character 8 is U+200B"),
        ("squeezely", "account", "\u00a0SQ-1234", "account: character 1 is U+00A0"),
        ("squeezely", "account", "SQ-1234\u20ac", "account: character 8 is U+20AC"),
        ("squeezely", "account", "SQ\n1", "account: character 3 is U+000A"),
        ("squeezely", "account", " \t", "account: is empty"),
        (
            "squeezely",
            "endpoint",
            "https://api.example\u200b.test/v1",
            "endpoint: character 20 is U+200B",
        ),
        ("squeezely", "endpoint", "https://api.example/v\u200b1", "character 22"),
        ("squeezely", "endpoint", "https://b\u00fccher.example/", "written as xn--"),
        ("squeezely", "endpoint", "https://me:hunter2@api.example/", "a login"),
        ("squeezely", "endpoint", "https://api.example:0/", "port"),
        ("squeezely", "endpoint", "https://a..example/", "no host name"),
        ("squeezely", "endpoint", "https://[::1/", "Invalid IPv6 URL"),
        ("squeezely", "endpoint", "https://api.example/a%2", "not escaped"),
        ("squeezely", "endpoint", "ftp://api.example/", "must begin with https://"),
        ("squeezely", "timeout", "99999999999999d", "longer"),
        ("squeezely", "timeout", "0s", "more than nothing"),
        ("", "feed", "shop\u200b", "feed: character 5 is U+200B"),
        ("", "feed", "a/b", "other characters"),
        ("", "feed", "f" * 41, "has 41 characters"),
        ("", "instance", "shop/1", "other characters"),
        ("source", "confirmed_view", "Shop.Orders", "in lower case"),
        ("source", "dsn", "host=a\u0000b", "character 7 is U+0000"),
        ("source", "dsn", "host=a..b", "no host name"),
        ("source", "dsn", "host=a sslmode=hunter2", "sslmode has a value"),
        ("source", "dsn", "host=a port=70000", "port that is no number"),
        ("source", "dsn", "host=a sslrootcert=system sslmode=require", "weak sslmode"),
        ("source", "time_zone", "Europe/Amsterdam\u200b", "character 17 is U+200B"),
        ("ledger", "state_directory", "/var/lib/syncd\u200b", "character 15 is U+200B"),
        ("squeezely", "ca_file", "/nowhere/ca.pem", "is no file"),
    ],
)
def test_an_invalid_character_is_named_with_its_position(
    place: Path, section: str, name: str, text: str, words: str
) -> None:
    """Setting, character, position, in one line; possible secrets are not quoted."""
    _, faults = load_with(place, section, name, text)
    assert len(faults) == 1, faults
    assert faults[0].message.startswith(f"{section}.{name}".strip("."))
    assert words in faults[0].message
    assert "hunter2" not in str(faults)


@pytest.mark.parametrize("around", [" {}", "{}\n", "\t{}\r\n"])
def test_spaces_around_a_value_are_removed(place: Path, around: str) -> None:
    """They are often copied along, and do no harm."""
    for section, name, text in (
        ("squeezely", "account", "SQ-1"),
        ("squeezely", "endpoint", "https://a.example/v1"),
        ("", "feed", "outlet"),
    ):
        settings, faults = load_with(place, section, name, around.format(text))
        assert settings is not None
        assert not faults
        there = settings if not section else getattr(settings, section)
        assert getattr(there, name) == text


def test_a_key_is_refused_by_the_position_of_its_character(place: Path) -> None:
    """Neither the key nor the preceding character is shown."""
    _, (fault,) = load_with(place, "", "feed", "shop", "hunter2\u200b")
    assert "character 8 is U+200B" in fault.message
    assert "hunter" not in fault.message


CHARACTERS = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from("\u200b\u00a0 \n/:@[]%#"),
    max_size=70,
)
LIKELY = st.one_of(
    CHARACTERS,
    st.builds(
        "{}{}".format,
        st.sampled_from(["https://", "http://127.0.0.1", "host="]),
        CHARACTERS,
    ),
    st.from_regex(r"[0-9]{1,12}(ms|s|m|h|d|/s|/h)", fullmatch=True),
    st.from_regex(
        r"https?://[a-z0-9.\[\]:-]{1,20}[:/?#@%]?[a-z0-9%]{0,9}", fullmatch=True
    ),
    st.from_regex(r"[A-Za-z0-9_.$-]{1,64}", fullmatch=True),
)


@given(spot=st.sampled_from(TEXTS), text=LIKELY)
@example(spot=("squeezely", "account"), text="SQ-1234\u200b")
@example(spot=("squeezely", "timeout"), text="999999999999d")
@example(spot=("squeezely", "endpoint"), text="https://xn--a/")
@example(spot=("source", "dsn"), text="host=.")
@example(spot=("ledger", "retention"), text="999999999d")
@example(spot=("", "feed"), text="..")
def test_any_text_is_refused_in_one_line_or_valid_everywhere(
    place: Path, spot: tuple[str, str], text: str
) -> None:
    """Header, URL, channel, slot, file, connection string, time: each is made."""
    settings, faults = load_with(place, *spot, text)
    for fault in faults:
        assert fault.message.isprintable()
        assert fault.kind != "unreadable", fault
    if settings is None or faults:
        assert faults
        return
    use(settings)


def use(settings: Settings) -> None:
    """Use the settings as a daemon does, without any network."""
    channel_of(settings.feed).encode("ascii")
    slot_name(settings.feed).encode("ascii")
    settings.model_dump_json()
    memory = StateFile.of(settings.ledger.state_directory, settings.feed, {})
    assert memory is None or memory.place == settings.ledger.state_directory
    longest = max(
        settings.source.lookback,
        settings.source.completeness_timeout,
        settings.squeezely.timeout,
        settings.ledger.retention or settings.log.heartbeat,
    )
    assert (datetime.now(UTC) - longest).tzinfo is UTC
    for dsn in (settings.source_dsn, settings.primary_dsn, settings.ledger_dsn):
        assert not dsn.get_secret_value() or describe(dsn.get_secret_value())
    post(Squeezely(settings))


def post(api: Squeezely) -> None:
    """Prepare the request as the library does; no name is resolved, nothing is sent."""
    request = api.request
    connection = HTTPConnection("127.0.0.1")
    connection.putrequest("POST", request.path_url)
    for name, value in request.headers.items():
        connection.putheader(name, value)
    with patch("socket.getaddrinfo", side_effect=OSError):
        assert isinstance(api.post(b"{}"), NoResponse)
