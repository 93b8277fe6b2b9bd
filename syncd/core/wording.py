"""Numbers of things and durations, in words."""

from datetime import timedelta


def count(number: int, noun: str = "order") -> str:
    """Return the number, with the noun's plural where it is due."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def span(length: timedelta) -> str:
    """Return a length of time in its two largest units, like "3 h 20 min"."""
    seconds = max(0, int(length.total_seconds()))
    for unit, name, smaller, less in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= unit:
            rest = seconds % unit // smaller
            return f"{seconds // unit} {name}" + (f" {rest} {less}" if rest else "")
    return f"{seconds} s"
