"""`syncd diff`: which events differ, before and after a view is changed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncd.cli.context import configured_with_key, open_feed, print_json
from syncd.cli.option import as_json_option, checked_reason, options_of
from syncd.config.settings import Settings
from syncd.core.errors import ExitCode
from syncd.core.event_diff import Change, Difference
from syncd.core.sql_text import SqlName
from syncd.core.wording import count
from syncd.diagnostics.comparison import Comparison, EventDiff

EXAMPLES = 5
"""Orders that are shown of each kind of difference."""

Pair = tuple[str, str]
"""A field, and how it differs."""

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def _view(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    name = SqlName.parse(value)
    if name is None:
        raise click.BadParameter(
            "write it as in SQL, like syncd.purchases_new (capitals want double quotes)"
        )
    return str(name)


@dataclass(frozen=True, slots=True)
class _DiffOptions:
    """The options of `diff` besides the view."""

    last: int
    shows: bool
    resend: bool
    reason: str | None
    yes: bool
    as_text: bool

    def check(self, view: str | None) -> None:
        """Refuse options that contradict each other.

        Raises:
            click.UsageError: The message names them.
        """
        if self.resend and view:
            raise click.UsageError(
                "--resend cannot be used with --with: apply the view first."
            )
        checked_reason(self.reason, resend=self.resend)


@click.command()
@configured_with_key
@click.argument("orders", nargs=-1)
@click.option(
    "--with", "view", callback=_view, metavar="VIEW", help="The view to compare with."
)
@click.option(
    "--last",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="How many orders, from the last one delivered.",
)
@click.option(
    "--show-values", "shows", is_flag=True, help="Show values (personal data)."
)
@click.option("--resend", is_flag=True, help="Send orders that differ again.")
@click.option("--reason", metavar="TEXT", help="Why, for the receipts.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json_option
def diff(
    settings: Settings,
    /,
    *,
    orders: tuple[str, ...],
    view: str | None,
    **options: object,
) -> None:
    """Show which events a changed view would send differently.

    With VIEW, compare `purchases` with that view, before it replaces it. Without,
    compare today's events with fingerprints of the last ones sent live. ORDERS (keys)
    limit what is shown, and sent again with --resend: in the backfill lane, with all
    fields.

    Exit codes: 0 no difference, 1 differences, or nothing to compare.

    Example: syncd diff --with syncd.purchases_new --last 500
    """
    chosen = options_of(_DiffOptions, options)
    chosen.check(view)
    with open_feed(settings, changes=True) as on:
        comparer = EventDiff(settings, on.connections, on.feed)
        last = chosen.last
        found = comparer.with_view(view, last) if view else comparer.with_sent(last)
        found = found.only(orders) if orders else found
        printer = _Printer(view, found, shows_values=chosen.shows)
        if not chosen.as_text:
            printer.print(Console(highlight=False))
        resent = _resend(comparer, found, chosen) if chosen.resend else None
    if chosen.as_text:
        more = {} if resent is None else {"resent": resent}
        print_json(printer.document() | more)
    if found.differences or not found.compared:
        raise click.exceptions.Exit(ExitCode.FAILED)


def _resend(comparer: EventDiff, found: Comparison, chosen: _DiffOptions) -> int:
    """Send the orders that differ again; return their number."""
    keys = [difference.key for difference in found.differences if difference.changes]
    if not keys:
        return 0
    if not chosen.yes:
        again = f"Send {count(len(keys))} again? Squeezely merges them by their orderid"
        click.confirm(again, abort=True, err=True)
    number, orders = comparer.resend(keys, str(chosen.reason))
    click.echo(
        f"{count(orders)} are pending again: `syncd backfill watch {number}`", err=True
    )
    return orders


@dataclass(frozen=True, slots=True)
class _Printer:
    """Prints the result of a comparison."""

    view: str | None
    found: Comparison
    shows_values: bool

    def document(self) -> dict[str, object]:
        """Lay it out for scripts."""
        return {
            "against": self.view or "sent",
            "compared": self.found.compared,
            "different": len(self.found.differences),
            "unsendable": [d.key for d in self.found.differences if d.fault],
            "gone": [d.key for d in self.found.differences if d.is_gone],
            "other_api_key": self.found.foreign,
            "same_mapping": self.found.same_mapping,
            "fields": [
                {"field": field, "kind": kind, "orders": orders}
                for (field, kind), orders in self._fields()
            ],
            "orders": [self._order(d) for d in self.found.differences],
        }

    def _order(self, difference: Difference) -> dict[str, object]:
        return {
            "order_key": difference.key,
            "fault": difference.fault,
            "gone": difference.is_gone,
            "same_mapping": difference.same_mapping,
            "changes": [self._change(change) for change in difference.changes],
        }

    def _change(self, change: Change) -> dict[str, object]:
        shown: dict[str, object] = {
            "field": change.place.field,
            "product": change.place.product or None,
            "kind": change.kind,
        }
        if self.shows_values:
            shown |= {"before": _plain(change.before), "after": _plain(change.after)}
        return shown

    def _fields(self) -> Sequence[tuple[Pair, int]]:
        """Count the orders for each field and kind, most first."""
        counted = Counter(pair for d in self.found.differences for pair in _pairs(d))
        return sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))

    def print(self, console: Console) -> None:
        """Print it for a person."""
        for line in (self._summary(), *self._notes()):
            console.print(line, markup=False)
        if fields := self._fields():
            table = Table.grid(padding=(0, 2, 0, 0))
            table.add_column(no_wrap=True)
            table.add_column(overflow="fold")
            for (field, kind), orders in fields:
                table.add_row(f"  {_SIGNS[kind]}", field, kind, f"in {count(orders)}")
            console.print(table)
        for alike in self._groups():
            console.print(self._example(alike))
        if self.found.differences and not self.shows_values:
            console.print("values are masked; --show-values shows them", style="dim")

    def _summary(self) -> str:
        against = f"with {self.view}" if self.view else "with what was sent"
        text = f"{count(self.found.compared)} compared {against}: "
        differences = self.found.differences
        if not self.found.compared:
            return f"nothing to compare {against}"
        if not differences:
            return text + "no difference"
        gone = sum(d.is_gone for d in differences)
        faulty = sum(d.fault is not None for d in differences)
        text += f"{len(differences)} differ"
        text += f", of which {faulty} cannot be sent" if faulty else ""
        return text + (f", {gone} are gone from the view" if gone else "")

    def _notes(self) -> Iterable[str]:
        if self.found.foreign:
            yield (
                f"{count(self.found.foreign)} cannot be compared: the API key was "
                "another when they were sent"
            )
        if self.view is not None:
            return
        if not self.found.compared and not self.found.foreign:
            yield "there are no fingerprints: nothing was sent live lately"
        if all(d.same_mapping for d in self.found.differences):
            if self.found.differences:
                yield "the view's text is as it was: the shop's data has changed since"
            return
        yield (
            "the view was changed since: what differs in every order comes from it, "
            "what differs in a few perhaps from changed data of the shop"
        )

    def _groups(self) -> Sequence[Sequence[Difference]]:
        """Put orders together that differ in the same way; the largest groups."""
        groups: dict[object, list[Difference]] = {}
        for difference in self.found.differences:
            alike = (_pairs(difference), difference.fault, difference.is_gone)
            groups.setdefault(alike, []).append(difference)
        return sorted(groups.values(), key=len, reverse=True)[:EXAMPLES]

    def _example(self, alike: Sequence[Difference]) -> Text:
        """Show the first of a group, and name some of the others."""
        first, others = alike[0], [difference.key for difference in alike[1:]]
        text = Text(f"order {first.key}", style="bold")
        if first.is_gone:
            text.append(" has no row in the view any more", "yellow")
        if first.fault:
            text.append(f" cannot be sent: {first.fault}", "yellow")
        if others:
            named = ", ".join(others[:EXAMPLES])
            more = ", …" if len(others) > EXAMPLES else ""
            text.append(f" and {len(others):,} like it: {named}{more}", "not bold")
        for change in first.changes:
            product = f" [{change.place.product}]" if change.place.product else ""
            place = f"\n  {_SIGNS[change.kind]} {change.place.field}{product}"
            text.append(place, "not bold")
            text.append(f"  {self._values(change)}", "not bold dim")
        return text

    def _values(self, change: Change) -> str:
        """Return before and after; what was sent is known by its fingerprint only."""
        show = _plain if self.shows_values else _masked
        if change.kind == "added" or self.view is None:
            return "" if change.kind == "removed" else f"now {show(change.after)}"
        if change.kind == "removed":
            return f"was {show(change.before)}"
        return f"{show(change.before)} → {show(change.after)}"


def _pairs(difference: Difference) -> frozenset[Pair]:
    return frozenset((c.place.field, c.kind) for c in difference.changes)


def _plain(value: object) -> object:
    known = isinstance(value, str | int | bool | list | None)
    return value if known else float(str(value))


def _masked(value: object) -> str:
    if isinstance(value, str):
        return f"text of {len(value)}"
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, list):
        return f"list of {len(value)}"
    return "number"
