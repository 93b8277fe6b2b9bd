"""`syncd views`: the two views of a shop, from somebody else's schema."""

import click
from rich.console import Console
from rich.table import Table

from syncd.views import TEMPLATE, shops, sql_of


@click.group()
def views() -> None:
    """Find, try and apply the two views that say what your shop's orders are."""


@views.command("list")
def views_list() -> None:
    """List the shop systems that syncd ships views for.

    Example: syncd views list
    """
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "tested on", "an order is confirmed when"):
        table.add_column(heading, no_wrap=heading == "name")
    for shop in shops().values():
        tested = f"{shop.title} {', '.join(shop.tested)}"
        table.add_row(shop.name, tested, shop.confirmed)
    table.add_row(TEMPLATE, "two invented tables", "it is paid: copy and change it")
    Console(highlight=False).print(table)


@views.command("show")
@click.argument("name")
def views_show(name: str) -> None:
    """Print the SQL of a shop system's views, or the template.

    \b
    Examples: syncd views show medusa
              syncd views show template > my-shop.sql
    """  # noqa: D301  # click's mark for "do not rewrap"
    click.echo(sql_of(name), nl=False)
