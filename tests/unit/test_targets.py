import pytest

from syncd.capture.outbox import NAME_LENGTH, channel_of, short_name
from syncd.errors import ConfigError
from syncd.install.triggers import Target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("orders:id", Target(None, "orders", "id")),
        ("public.orders:order_id", Target("public", "orders", "order_id")),
        ('"Order":"orderId"', Target(None, "Order", "orderId")),
        ('shop."pay.ments":a', Target("shop", "pay.ments", "a")),
    ],
)
def test_a_target_is_a_table_and_its_key(text: str, target: Target) -> None:
    """Names are taken as they are; quotes allow any."""
    assert Target.parse(text) == target


@pytest.mark.parametrize("text", ["", "orders", ":id", "orders:", "a.b.c:d", "a:b:c"])
def test_anything_else_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(ConfigError) as refused:
        Target.parse(text)
    assert "orders:id" in refused.value.hint


def test_a_long_name_is_cut_and_stays_different() -> None:
    """PostgreSQL would cut two names to the same one."""
    long, longer = short_name("ü" * 60), short_name("ü" * 61)
    assert len(long.encode()) <= NAME_LENGTH
    assert long != longer
    assert short_name("short") == "short"
    assert len(channel_of("f" * 63)) <= NAME_LENGTH
