"""Saying what an answer means that no documentation explains."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime

import click

from syncd.cli.context import changing
from syncd.config.settings import Settings
from syncd.core.errors import ExitCode
from syncd.core.response import Meaning
from syncd.delivery.answers import Answers
from syncd.ledger.feed import FeedStore

_QUESTION = "What does it mean: all events were taken (success), or none (refusal)?"


def explain(settings: Settings, means: str | None, *, as_text: bool) -> bool:
    """Show the unknown answers, and store what the operator says they mean.

    Args:
        settings: Whose account.
        means: The meaning if given; otherwise asked for on a terminal.
        as_text: Print JSON.

    Returns:
        Whether there were any.
    """
    with changing(settings) as connections:
        answers = Answers(connections.ledger, settings)
        unexplained = answers.unexplained()
        if not unexplained:
            return _none(means)
        if means is not None and len(unexplained) > 1:
            raise _too_many(unexplained)
        feed = FeedStore(connections, settings.feed).find()
        feed_id = feed.feed_id if feed else None
        explained = []
        for shape, example, seen_at in unexplained:
            if not as_text:
                click.echo(f"seen first at {seen_at}: {example}\n  its shape: {shape}")
            meaning = means or _ask(as_text=as_text)
            delivered, pending = answers.record_meaning(
                shape, Meaning(meaning), feed_id
            )
            explained.append({"shape": shape, "answer": example, "means": meaning,
                         "delivered": delivered, "pending": pending})  # fmt: skip
            if not as_text:
                click.echo(f"kept: such an answer means {meaning}")
                click.echo(f"{delivered} orders are delivered, {pending} pending again")
    if as_text:
        click.echo(json.dumps(explained, indent=2))
    return True


def _too_many(unexplained: Sequence[tuple[str, str, datetime]]) -> click.UsageError:
    """List the answers: one meaning for all of them could make a failure a success."""
    listed = "\n".join(f"  {example}" for _, example, _ in unexplained)
    return click.UsageError(
        f"{len(unexplained)} answers wait, each may mean something else:\n{listed}\n"
        "Run `syncd verify` on a terminal: it asks for each."
    )


def _none(means: str | None) -> bool:
    if means is not None:
        click.echo("syncd: no answer waits to be explained", err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)
    return False


def _ask(*, as_text: bool) -> str:
    if as_text or not sys.stdin.isatty():
        click.echo("Give it with --means success or --means refusal.", err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)
    choice = click.Choice([meaning.value for meaning in Meaning])
    return str(click.prompt(_QUESTION, type=choice))
