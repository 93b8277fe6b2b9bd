"""`syncd verify`: which payload the account accepts, along the vendor's check list."""

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime

import click

from syncd.cli.context import changing, configured_with_key, connected, print_json
from syncd.cli.option import as_json_option
from syncd.config.settings import Settings
from syncd.core.errors import ExitCode
from syncd.core.field_value import is_email
from syncd.core.response import Meaning
from syncd.delivery.answers import Answers
from syncd.delivery.squeezely import Squeezely
from syncd.delivery.verification import AMOUNT, TestRequest, Verification, conclude
from syncd.ledger.account import AccountCapabilities, load, save
from syncd.ledger.feed import FeedStore

CLICKS = """\
In Squeezely (Spotler Activate), to see them:
  1. Audiences -> new audience -> Custom.
  2. Rules: event = purchase, name = "Test backend purchase", retention = 1. Save.
  3. Wait until its status is "Live", then Inspect (under the three dots).
  4. Click on an event's id: "Created at" is the time of the test, and one of
     "Api inserted" and "Api verified" says yes."""

_QUESTION = "What does it mean: all events were taken (success), or none (refusal)?"


@click.command()
@configured_with_key
@click.option("--email", help="The test's customer: an address of your own.")
@click.option("--product", default="SYNCD-TEST", help="A product's id (SKU).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--seen", is_flag=True, help="Both purchases of the list arrived.")
@click.option(
    "--means",
    type=click.Choice([meaning.value for meaning in Meaning]),
    help="What an unknown answer means: all accepted, or nothing.",
)
@as_json_option
def verify(  # noqa: PLR0913  # the command's options
    settings: Settings,
    *,
    email: str | None,
    product: str,
    yes: bool,
    seen: bool,
    means: str | None,
    as_text: bool,
) -> None:
    """Send test purchases, and find out which payload the account accepts.

    It sends one purchase alone, then two in one list; each of 0.01, with an orderid
    that begins with SYNCD-TEST. They stay in the account. `syncd check` shows the
    result.

    Without --email it shows the answers whose meaning is unknown, and asks what they
    mean. syncd keeps your answer, and settles the orders that wait for it.

    Example: syncd verify --email me@shop.example --product MUG-1
    """
    if email is None and seen:
        _keep_what_was_seen(settings)
        return
    if email is None and _explain_answers(settings, means, as_text=as_text):
        return
    if email is None or not is_email(email):
        raise click.BadParameter("an email address is needed", param_hint="--email")
    if not yes:
        _ask(settings, email)
    trials, verified = _verified(settings, email, product, quiet=as_text)
    if as_text:
        known = asdict(replace(verified, at=None)) if verified else None
        print_json({"trials": [_trial(each) for each in trials], "verified": known})
    else:
        _print_next(settings, verified, trials)
    if verified is None or verified.accepts_lists is False:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _ask(settings: Settings, email: str) -> None:
    squeezely = settings.squeezely
    click.echo(f"Up to 4 test purchases of {AMOUNT} each go to the real account")
    click.echo(f"{squeezely.account} at {squeezely.endpoint}, for {email}.")
    click.confirm("Send them?", abort=True)


def _verified(
    settings: Settings, email: str, product: str, *, quiet: bool
) -> tuple[list[TestRequest], AccountCapabilities | None]:
    """Send the test purchases, and keep what they show; None: nothing was accepted."""
    trials = []
    with connected(settings) as connections, closing(Squeezely(settings)) as api:
        FeedStore(connections, settings.feed).check_schema()
        answers, now = Answers(connections.ledger, settings), datetime.now(UTC)
        verification = Verification(
            settings, api, answers, customer=email, product=product, now=now
        )
        for trial in verification.run():
            trials.append(trial)
            if not quiet:
                click.echo(_trial_line(trial))
        verified = conclude(trials)
        if verified is not None:
            save(connections.ledger, settings, verified)
    return trials, verified


def _trial_line(trial: TestRequest) -> str:
    form = '{"events": [...]}' if trial.payload == "events" else "a bare object"
    outcome = trial.classification.outcome.value.replace("_", " ")
    status = f"HTTP {trial.status}" if trial.status else "no answer"
    details = [status]
    if trial.counted is not None:
        details.append(f"{trial.counted} counted")
    if reason := trial.classification.reason.removeprefix(status).strip():
        details.append(reason)
    first, last = trial.orderids[0], trial.orderids[-1]
    numbers = first if first == last else f"{first} and {last}"
    return f"{trial.title}, as {form}: {outcome} ({', '.join(details)})\n  {numbers}"


def _trial(trial: TestRequest) -> dict[str, object]:
    return {
        "title": trial.title,
        "payload": trial.payload,
        "orderids": trial.orderids,
        "status": trial.status,
        "outcome": trial.classification.outcome.value,
        "reason": trial.classification.reason,
        "counted": trial.counted,
    }


def _print_next(
    settings: Settings, verified: AccountCapabilities | None, trials: list[TestRequest]
) -> None:
    unknown = any(trial.classification.is_unknown for trial in trials)
    if verified is None and unknown:
        click.echo(CLICKS)
        click.echo("That answer is not documented, so only you can find out what it")
        click.echo(
            "means: if the test purchases arrived,  syncd verify --means success"
        )
        click.echo("if none of them did,  syncd verify --means refusal")
        return
    if verified is None:
        click.echo(
            "Nothing was accepted: correct what the answer names, and verify again"
        )
        return
    click.echo(CLICKS)
    if verified.payload != settings.squeezely.payload:
        click.echo(
            f'Set squeezely.payload = "{verified.payload}": only that was accepted.'
        )
    elif verified.accepts_lists is False:
        click.echo('Lists are refused: set squeezely.payload = "single".')
    elif verified.payload == "events" and verified.accepts_lists is None:
        click.echo(
            "The answer does not count what was accepted, so only you can check:"
        )
        click.echo("if both purchases of the list arrived, run  syncd verify --seen")
        click.echo('if only one did, set squeezely.payload = "single".')
    else:
        click.echo("The payload is verified; syncd check shows it from now on.")


def _keep_what_was_seen(settings: Settings) -> None:
    with connected(settings) as connections:
        verified = load(connections.ledger, settings)
        if verified is None or verified.payload != "events":
            raise click.UsageError(
                "No list was sent to this account yet: syncd verify --email …"
            )
        proven = replace(verified, accepts_lists=True, evidence="person")
        save(connections.ledger, settings, proven)
    click.echo("kept: the account accepts whole lists")


def _explain_answers(settings: Settings, means: str | None, *, as_text: bool) -> bool:
    """Show the unknown answers, store what they mean; return whether there were any."""
    with changing(settings) as connections:
        answers = Answers(connections.ledger, settings)
        unexplained = answers.unexplained()
        if not unexplained and means is None:
            return False
        if not unexplained:
            click.echo("syncd: no answer waits to be explained", err=True)
            raise click.exceptions.Exit(ExitCode.FAILED)
        if means is not None and len(unexplained) > 1:
            raise _too_many(unexplained)
        feed = FeedStore(connections, settings.feed).find()
        feed_id = feed.feed_id if feed else None
        explained = []
        for shape, example, seen_at in unexplained:
            if not as_text:
                click.echo(f"seen first at {seen_at}: {example}\n  its shape: {shape}")
            meaning = means or _ask_meaning(as_text=as_text)
            kind = Meaning(meaning)
            delivered, pending = answers.record_meaning(shape, kind, feed_id)
            explained.append({"shape": shape, "answer": example, "means": meaning,
                         "delivered": delivered, "pending": pending})  # fmt: skip
            if not as_text:
                click.echo(f"kept: such an answer means {meaning}")
                click.echo(f"{delivered} orders are delivered, {pending} pending again")
    if as_text:
        print_json(explained)
    return True


def _too_many(unexplained: Sequence[tuple[str, str, datetime]]) -> click.UsageError:
    """List the answers: one meaning for all of them could make a failure a success."""
    listed = "\n".join(f"  {example}" for _, example, _ in unexplained)
    return click.UsageError(
        f"{len(unexplained)} answers wait, each may mean something else:\n{listed}\n"
        "Run `syncd verify` on a terminal: it asks for each."
    )


def _ask_meaning(*, as_text: bool) -> str:
    if as_text or not sys.stdin.isatty():
        click.echo("Give it with --means success or --means refusal.", err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)
    choice = click.Choice([meaning.value for meaning in Meaning])
    return str(click.prompt(_QUESTION, type=choice))
