import pytest

from syncd.capture.listen.outbox import NAME_LENGTH, channel_of, short_name
from syncd.core.target import Target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("orders:id", Target("orders", "id")),
        ("Orders:Id", Target("Orders", "id")),
        ("public.orders:order_id", Target("public.orders", "order_id")),
        ('"Order":"orderId"', Target('"Order"', "orderId")),
        ('shop."pay.ments":a', Target('shop."pay.ments"', "a")),
        ('"a:b":"say ""x"""', Target('"a:b"', 'say "x"')),
        ("Größe:Ä", Target("Größe", "Ä")),
    ],
)
def test_a_target_is_a_table_and_its_key(text: str, target: Target) -> None:
    """Names are read as SQL reads them: capitals need double quotes."""
    assert Target.parse(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "orders",
        ":id",
        "orders:",
        "a.b.c:d",
        "a:b:c",
        "pay ments:id",
        '"a:id',
        "1:a",
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """It does not name a table and a column."""
    assert Target.parse(text) is None


def test_a_long_name_is_shortened_and_stays_unique() -> None:
    """PostgreSQL would truncate two names to the same one."""
    long, longer = short_name("ü" * 60), short_name("ü" * 61)
    assert len(long.encode()) <= NAME_LENGTH
    assert long != longer
    assert short_name("short") == "short"
    assert len(channel_of("f" * 63)) <= NAME_LENGTH
