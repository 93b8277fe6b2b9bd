"""A log whose lines a test reads."""

from collections.abc import Mapping

from typing_extensions import override

from syncd.log.log import Log


class LogLines(Log):
    """Records the events instead of writing them."""

    def __init__(self) -> None:
        super().__init__("shop")
        self.kept: list[tuple[str, Mapping[str, object]]] = []

    @override
    def emit(self, event: str, **fields: object) -> None:
        self.kept.append((event, fields))

    def of(self, event: str) -> list[Mapping[str, object]]:
        """Return the fields of each line of one event, in order."""
        return [fields for name, fields in self.kept if name == event]
