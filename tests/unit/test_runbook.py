"""The runbook has a section for every alert and warning; its commands exist."""

import re
import shlex
from pathlib import Path

import click
import pytest

from syncd.cli import cli
from syncd.log.events import EVENTS

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = dict(
    re.findall(r"^## (.+?)\n(.*?)(?=^## |^# |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
)
ALERTS = re.findall(
    r"^  - alert: (\w+)$",
    (ROOT / "systemd" / "monitoring" / "alerts.yml").read_text(),
    re.MULTILINE,
)
ANSWERS = ("Orders at risk", "Check", "Next", "Wake")
URGENT = sorted(
    n for n, e in EVENTS.items() if e.level in {"warning", "error", "critical"}
)
BLOCKS = re.findall(r"^```\n(.*?)^```$", RUNBOOK, re.MULTILINE | re.DOTALL)
COMMANDS = sorted(
    {
        " ".join(command.split())
        for command in re.findall(r"`(syncd [^`]+)`", RUNBOOK)
        + [line for block in BLOCKS for line in block.splitlines()]
        if command.startswith("syncd ")
    }
)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_section(alert: str) -> None:
    """Its runbook_url leads there."""
    assert alert in SECTIONS, f"docs/runbook.md lacks a section: ## {alert}"


@pytest.mark.parametrize("event", URGENT)
def test_every_event_from_warning_on_has_a_section(event: str) -> None:
    """Of its own, or in an alert's, which then names it after `Events:`."""
    named = re.findall(r"Events:((?:\s*`[a-z_.]+`,?)+)", RUNBOOK)
    covered = {e for names in named for e in re.findall(r"`([a-z_.]+)`", names)}
    assert f"`{event}`" in SECTIONS or event in covered, (
        f"docs/runbook.md lacks a section: ## `{event}`"
    )


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_answers_the_four_questions(title: str) -> None:
    """What it means, then: orders at risk? where to look? what next? whom to wake?"""
    section = SECTIONS[title]
    assert section.strip()[0] not in "-*", f"{title}: say first what it means"
    found = re.findall(r"^- \*\*(.+?)\*\*: \S", section, re.MULTILINE)
    assert tuple(found) == ANSWERS, title
    assert title in ALERTS or title.strip("`") in EVENTS, f"{title}: of what?"


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_exist(command: str) -> None:
    """Their options exist, too; capitals stand for a value."""
    group: click.Command = cli
    words = shlex.split(command)[1:]
    while words and isinstance(group, click.Group):
        assert words[0] in group.commands, f"`{command}`: no verb {words[0]}"
        group = group.commands[words.pop(0)]
    assert not isinstance(group, click.Group), f"`{command}`: which of its verbs?"
    options = {name for parameter in group.params for name in parameter.opts}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= options, command


def test_its_links_are_valid() -> None:
    """They lead to headings of the page, or to other pages."""
    anchors = {title.lower() for title in SECTIONS}
    for target in re.findall(r"\]\(([^)]+)\)", RUNBOOK):
        file, _, anchor = target.partition("#")
        assert anchor in anchors if not file else (ROOT / "docs" / file).exists(), (
            target
        )
