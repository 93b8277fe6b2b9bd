"""How many orders a read of the `purchases` view may hold."""

from collections.abc import Iterator, Sequence


class ReadSize:
    """The size that worked: halved by what was too slow, and growing back slowly."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self.at_most = whole

    @property
    def is_whole(self) -> bool:
        """Whether a batch may be read at once."""
        return self.at_most >= self._whole

    def failed(self, orders: int) -> None:
        """Note that a read of so many orders was too slow."""
        self.at_most = max(1, min(self.at_most, orders // 2))

    def worked(self, orders: int, share: float) -> None:
        """Note that a read succeeded; `share` is that of the time that it may take.

        Twice as many may be read next, where that leaves half of the time.
        """
        if orders >= self.at_most and share < 0.25:  # noqa: PLR2004  # twice, and half
            self.at_most = min(self._whole, 2 * self.at_most)

    def pieces(self, keys: Sequence[str]) -> Iterator[list[str]]:
        """Cut keys into pieces of the size, in their order."""
        for start in range(0, len(keys), self.at_most):
            yield list(keys[start : start + self.at_most])


def halves(keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """Cut two or more keys in the middle."""
    middle = (len(keys) + 1) // 2
    return list(keys[:middle]), list(keys[middle:])
