"""`syncd pause` and `resume`: sending or capture, on every instance."""

import click

from syncd.capture.identity import identity_guard
from syncd.cli.context import OpenFeed, configured, open_feed, print_json
from syncd.cli.option import as_json_option
from syncd.cli.output import print_lines
from syncd.config.settings import Settings
from syncd.delivery.circuit_breaker import CircuitBreaker
from syncd.ledger.pauses import PauseStore, What
from syncd.ledger.stats import read_stats

_MEANS = {
    "sending": "batches in flight are finished, then none is sent; capture continues",
    "capture": "nothing is captured, nothing is lost; orders in the ledger are sent",
}
_WAL = "the replication slot retains WAL meanwhile: `syncd status` shows how much"


def _chosen(what: str) -> list[What]:
    both: list[What] = ["sending", "capture"]
    return [one for one in both if what in (one, "all")]


sending_option = click.option(
    "--sending", "what", flag_value="sending", default="sending",
    help="Sending (the default).",
)  # fmt: skip
capture_option = click.option(
    "--capture", "what", flag_value="capture", help="Capture."
)
all_option = click.option("--all", "what", flag_value="all", help="Both.")


@click.command()
@configured
@sending_option
@capture_option
@all_option
@click.option("--reason", help="Why; shown by `syncd status` and in the log.")
@as_json_option
def pause(settings: Settings, *, what: str, reason: str | None, as_text: bool) -> None:
    """Stop sending, capture or both, on every instance, until `syncd resume`.

    No order is lost: what is confirmed meanwhile is captured and sent afterwards.

    Example: syncd pause --reason "campaign is being changed"
    """
    with open_feed(settings, changes=True) as on:
        pauses = PauseStore(on.database, on.feed_id)
        made = [pauses.begin(one, reason) for one in _chosen(what)]
    if as_text:
        print_json({p.what: {"since": p.since, "reason": p.why} for p, _ in made})
        return
    for paused, is_new in made:
        line = f"{paused.what} is paused: {_MEANS[paused.what]}"
        print_lines(line if is_new else f"{paused.what} was already {paused.line()}")
    if settings.source.capture == "wal" and what != "sending":
        print_lines(_WAL)


@click.command()
@configured
@sending_option
@capture_option
@all_option
@as_json_option
def resume(settings: Settings, *, what: str, as_text: bool) -> None:
    """Resume what was paused; try the API again at once if it was held.

    Also use it after you corrected the credentials or the view: it releases a held API.

    Example: syncd resume --all
    """
    with open_feed(settings, changes=True) as on:
        identity_guard(settings, on.connections, on.feed).refuse_held()
        facts = {str(one): _resume(on, one) for one in _chosen(what)}
        still = read_stats(on.database, on.feed_id).pauses
    if as_text:
        print_json({**facts, "still_paused": [p.what for p in still]})
        return
    for one, fact in facts.items():
        print_lines(_resumed_line(one, fact))
    for one_pause in still:
        print_lines(
            f"{one_pause.what} is still {one_pause.line()}: "
            f"`syncd resume --{one_pause.what}` ends the pause"
        )


def _resume(on: OpenFeed, what: What) -> dict[str, object]:
    """Lift a pause; with that of sending, release the endpoint as well."""
    since = PauseStore(on.database, on.feed_id).end(what)
    if what == "capture":
        return {"paused_since": since}
    released = CircuitBreaker(on.database, on.feed_id).release()
    return {"paused_since": since, "released": released}


def _resumed_line(what: str, fact: dict[str, object]) -> str:
    since, released = fact["paused_since"], fact.get("released", False)
    done = [f"the pause since {since:%Y-%m-%d %H:%M:%S%z} has ended"] if since else []
    done += ["syncd tries the API again at once"] if released else []
    if done:
        return f"{what} continues: {', and '.join(done)}"
    was = "neither paused nor held" if what == "sending" else "not paused"
    return f"{what} was {was}"
