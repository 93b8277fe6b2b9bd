"""What `syncd check` finds on this host: configuration, secrets, state directory."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from syncd.config.configuration import survey
from syncd.diagnostics.check.configuration import (
    check_configuration,
    check_secrets,
    check_state,
)
from syncd.diagnostics.check.finding import Finding

GOOD = """
[source]
dsn = "host=/x dbname=shop"
[squeezely]
account = "SQ"
"""
KEY = {"SYNCD_SQUEEZELY_API_KEY": "a-key"}


def check_files(
    path: Path, environment: dict[str, str] | None = None
) -> dict[str, Finding]:
    """Check everything on this host."""
    environment = KEY if environment is None else environment
    settings, faults = survey(path, environment)
    found = [*check_configuration(path, settings, faults)]
    if settings is not None:
        found += check_secrets(settings, environment)
        found += check_state(settings, environment)
    return {finding.code: finding for finding in found}


def write(folder: Path, text: str = GOOD, mode: int = 0o644) -> Path:
    path = folder / "syncd.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_correct_configuration_is_reported_as_such(tmp_path: Path) -> None:
    """Others may read it, since it has no secret."""
    found = check_files(write(tmp_path))
    assert set(found) == {"config.read", "python.runs", "state.none"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[source]\npol_interval = '1s'", "do you mean source.poll_interval?"),
        ("[squeezely]\nacount = 'SQ'", "do you mean squeezely.account?"),
        ("[sourse]\nx = 1", "do you mean source?"),
        ("[source]\nbatch_size = 5", "do you mean squeezely.batch_size?"),
        ("zzz = 1", "see `syncd init`"),
    ],
)
def test_an_unknown_setting_is_reported_with_the_nearest(
    tmp_path: Path, line: str, words: str
) -> None:
    """It may be in the wrong section; the rest is checked."""
    section = line.splitlines()[0]
    text = GOOD.replace(section, line) if section in GOOD else f"{line}\n{GOOD}"
    found = check_files(write(tmp_path, text))
    assert words in found["config.unknown"].message
    assert "state.none" in found


def test_an_invalid_value_does_not_stop_other_checks(tmp_path: Path) -> None:
    """Its default is used instead; a missing section cannot be replaced."""
    found = check_files(write(tmp_path, GOOD.replace("[squ", 'lookback = "0s"\n[squ')))
    assert "must be more than nothing" in found["config.invalid"].message
    assert "state.none" in found
    assert "config.read" not in found
    port = GOOD + 'endpoint = "https://localhost:99999/"\n'
    assert (
        "Port out of range"
        in check_files(write(tmp_path, port))["config.invalid"].message
    )
    bare = check_files(write(tmp_path, "[source]\n"))
    assert "squeezely is missing" in bare["config.invalid"].message
    assert (
        "TOML" in check_files(write(tmp_path, "[source"))["config.unreadable"].next_step
    )
    assert "config.unreadable" in check_files(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("mode", "code"),
    [(0o644, "config.exposed"), (0o640, "config.shared"), (0o600, "config.read")],
)
def test_a_password_in_the_file_requires_restricted_permissions(
    tmp_path: Path, mode: int, code: str
) -> None:
    """The finding does not show the password."""
    text = GOOD.replace("dbname", "password=hunter2 dbname")
    found = check_files(write(tmp_path, text, mode))
    assert code in found
    assert "hunter2" not in str(found)
    assert ("config.shared" in found) == (code == "config.shared")


def test_a_file_that_others_may_write_is_reported(tmp_path: Path) -> None:
    """They could name another endpoint."""
    found = check_files(write(tmp_path, mode=0o664))
    assert "mode 664" in found["config.writable"].message


@pytest.mark.parametrize(
    ("mode", "code"),
    [(0o600, "secret.read"), (0o640, "secret.shared"), (0o604, "secret.exposed")],
)
def test_a_secret_that_others_may_read_is_reported(
    tmp_path: Path, mode: int, code: str
) -> None:
    """The same for a file of settings and a systemd credential."""
    key = tmp_path / "api-key"
    key.write_text("the-key\n")
    key.chmod(mode)
    config = write(tmp_path, f'{GOOD}api_key_file = "{key}"\n')
    found = check_files(config, {})
    assert code in found
    assert str(key) in found[code].message
    folder = tmp_path / "credentials"
    folder.mkdir()
    shutil.copy(key, folder / "squeezely-api-key")
    (folder / "squeezely-api-key").chmod(mode)
    assert code in check_files(write(tmp_path), {"CREDENTIALS_DIRECTORY": str(folder)})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "secret.missing"),
        (" \n", "secret.missing"),
        ("two\nlines", "secret.missing"),
        ("\ufeffkey", "secret.missing"),
        ("a key", "secret.odd"),
        ('"key"', "secret.odd"),
        ("SYNCD_SQUEEZELY_API_KEY=key", "secret.odd"),
        ("a-key==\r\n", "config.read"),
    ],
)
def test_an_invalid_key_is_reported(tmp_path: Path, text: str, code: str) -> None:
    """Spaces around it do no harm; it is never quoted."""
    key = tmp_path / "api-key"
    key.write_bytes(text.encode())
    key.chmod(0o600)
    found = check_files(write(tmp_path, f'{GOOD}api_key_file = "{key}"\n'), {})
    assert code in found
    assert "two" not in str(found)
    assert "secret.odd" not in found or code == "secret.odd"


def test_an_unreadable_file_is_a_missing_secret(tmp_path: Path) -> None:
    """It is named; the rest is checked without it."""
    found = check_files(write(tmp_path, f'{GOOD}api_key_file = "/nowhere/key"\n'), {})
    assert "cannot read /nowhere/key" in found["secret.missing"].message
    assert "state.none" in found


def test_a_state_directory_is_checked_without_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, not writable, full, damaged, with a mark."""
    place = tmp_path / "state"
    config = write(tmp_path, f'{GOOD}[ledger]\nstate_directory = "{place}"\n')
    assert "does not exist" in check_files(config)["state.unusable"].message
    place.mkdir()
    assert "it records no ledger yet" in check_files(config)["state.kept"].message
    assert list(place.iterdir()) == []
    systemd = {**KEY, "STATE_DIRECTORY": str(place)}
    assert "state.kept" in check_files(write(tmp_path), systemd)
    config = write(tmp_path, f'{GOOD}[ledger]\nstate_directory = "{place}"\n')
    little = SimpleNamespace(free=1_000_000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _place: little)
        assert "0.0 GB free" in check_files(config)["state.full"].message
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda _place, _mode: False)
        assert "may not be written" in check_files(config)["state.unusable"].message
