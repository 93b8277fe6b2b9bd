"""The queue of faults that wait for their requests."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import isfunction
from typing import Any, TypeAlias, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from syncd.demo.sandbox import faults
from syncd.demo.sandbox.contract import Post, Result

Fault: TypeAlias = Callable[..., Result | None]

FAULTS: dict[str, Fault] = {
    name.replace("_", "-"): fault
    for name, fault in vars(faults).items()
    if isfunction(fault)
    and fault.__module__ == faults.__name__
    and not name.startswith("_")
}


class FaultError(ValueError):
    """A fault or an option of one that does not exist, or a value it cannot have."""


@dataclass(slots=True)
class _Queued:
    """A fault waiting for requests; `times` left, None until it is cleared."""

    name: str
    times: int | None
    options: dict[str, object]

    def result(self, post: Post | None) -> Result | None:
        """Apply the fault; None where the POST does not concern it."""
        return FAULTS[self.name](post, **self.options)


class FaultQueue:
    """Faults in the order in which they were queued, for use from any thread.

    Those that end by themselves go before those that stay until they are cleared.
    """

    def __init__(self) -> None:
        self._queued: list[_Queued] = []
        self._lock = threading.Lock()

    def add(self, name: str, times: object, options: Mapping[str, object]) -> None:
        """Queue a fault.

        Args:
            name: A key of `FAULTS`.
            times: Number of requests that it changes, at least 1; None is all.
            options: Options of the fault; those left out keep their defaults.

        Raises:
            FaultError: Any of them is not possible.
        """
        if times is not None and (type(times) is not int or times < 1):
            raise FaultError(f"times must be a whole number from 1, not {times!r}")
        queued = _Queued(name, times, _checked(name, options))
        with self._lock:
            self._queued.append(queued)
            self._queued.sort(key=lambda fault: fault.times is None)

    def clear(self) -> None:
        """Remove every queued fault."""
        with self._lock:
            self._queued.clear()

    def queued(self) -> list[dict[str, object]]:
        """List what is queued, next first, with the times that are left."""
        with self._lock:
            return [
                {"fault": item.name, "times": item.times, **item.options}
                for item in self._queued
            ]

    def apply(self, post: Post) -> Result:
        """Return the result of the first fault that the POST concerns, else its own."""
        with self._lock:
            for item in self._queued:
                if (result := item.result(post)) is not None:
                    self._use_up(item)
                    return result
        return post.result

    def next_unread(self) -> Result | None:
        """Use up a fault that is next in line and wants the body left unread."""
        with self._lock:
            if not self._queued or self._queued[0].name != "drop-before-reading":
                return None
            item = self._queued[0]
            self._use_up(item)
            return item.result(None)

    def _use_up(self, item: _Queued) -> None:
        if item.times is not None:
            item.times -= 1
            if not item.times:
                self._queued.remove(item)


def described() -> list[dict[str, object]]:
    """List every fault with its explanation and its options' defaults."""
    return [
        {
            "name": name,
            "explanation": (fault.__doc__ or "").splitlines()[0],
            "options": fault.__kwdefaults__ or {},
        }
        for name, fault in FAULTS.items()
    ]


def _checked(name: str, options: Mapping[str, object]) -> dict[str, object]:
    """Return the options of a fault as it takes them: lists become tuples."""
    if name not in FAULTS:
        raise FaultError(f"there is no fault {name!r}: choose from {', '.join(FAULTS)}")
    model = _options(name)
    try:
        return model.model_validate(options).model_dump(exclude_unset=True)
    except ValidationError as error:
        option = str(error.errors()[0]["loc"][0])
        known = ", ".join(model.model_fields) or "none"
        raise FaultError(
            f"{option} cannot be {options[option]!r}"
            if option in model.model_fields
            else f"{name} has no option {option!r}: it has {known}"
        ) from error


@cache
def _options(name: str) -> type[BaseModel]:
    """Make the model of a fault's keywords."""
    fault = FAULTS[name]
    kinds = get_type_hints(fault, include_extras=True)
    defaults: dict[str, object] = fault.__kwdefaults__ or {}
    fields: dict[str, Any] = {key: (kinds[key], defaults[key]) for key in defaults}
    strict = ConfigDict(strict=True, extra="forbid")
    return create_model(name, __config__=strict, **fields)
