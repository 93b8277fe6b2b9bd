"""The table of faults, and the queue of those that wait for their requests.

A fault turns a case into another verdict, or returns None where the case does not
concern it (and is then not used up). Its name is the function's, its explanation
the docstring, its options the keywords.
"""

import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import (
    Any,
    Literal,
    TypeAlias,
    TypeGuard,
    get_args,
    get_origin,
    get_type_hints,
)

from syncd.demo.sandbox import refusals, troubles
from syncd.demo.sandbox.answers import Case, Verdict

Fault: TypeAlias = Callable[..., Verdict | None]

_TABLE: tuple[Fault, ...] = (
    troubles.wordy_success,
    refusals.credentials,
    refusals.forbidden,
    refusals.refused,
    refusals.firewall,
    refusals.duplicates_refused,
    refusals.refused_in_200,
    refusals.timestamp_error,
    refusals.partly_accepted,
    refusals.too_many_requests,
    troubles.server_error,
    troubles.accept_then_drop,
    troubles.drop_before_reading,
    troubles.hang,
    troubles.latency,
    troubles.slow_drip,
    troubles.not_json,
    troubles.html,
    troubles.empty,
    troubles.huge,
    troubles.truncated,
    troubles.understated_length,
    troubles.broken_encoding,
    refusals.redirect,
    refusals.not_found,
    refusals.method_not_allowed,
    refusals.too_large,
    refusals.body_form_refused,
    troubles.count_short,
    troubles.canned,
)

FAULTS: dict[str, Fault] = {fault.__name__.replace("_", "-"): fault for fault in _TABLE}

_LIMIT = 10**9
"""Greatest value of an option that is a number."""


class FaultError(ValueError):
    """A fault or an option of one that does not exist, or a value it cannot have."""


@dataclass(slots=True)
class Queued:
    """A fault waiting for requests; `times` left, None until it is cleared."""

    name: str
    times: int | None
    options: dict[str, object]

    def verdict(self, case: Case) -> Verdict | None:
        """Apply the fault; None where the case does not concern it."""
        return FAULTS[self.name](case, **self.options)


class FaultQueue:
    """Faults in the order in which they were queued, for use from any thread.

    Those that end by themselves go before those that stay until they are cleared.
    """

    def __init__(self) -> None:
        self._queued: list[Queued] = []
        self._lock = threading.Lock()

    def add(
        self, name: str, times: object = 1, options: Mapping[str, object] | None = None
    ) -> None:
        """Queue a fault.

        Args:
            name: A key of `FAULTS`.
            times: Number of requests that it spoils, at least 1; None is all.
            options: Options of the fault; those left out keep their defaults.

        Raises:
            FaultError: Any of them is not possible.
        """
        if times is not None and (not _is_whole(times) or times < 1):
            raise FaultError(f"times must be a whole number from 1, not {times!r}")
        queued = Queued(name, times, checked_options(name, options or {}))
        with self._lock:
            self._queued.append(queued)
            self._queued.sort(key=lambda fault: fault.times is None)

    def clear(self) -> None:
        """Forget every queued fault."""
        with self._lock:
            self._queued.clear()

    def queued(self) -> list[dict[str, object]]:
        """List what is queued, next first, with the times that are left."""
        with self._lock:
            return [
                {"fault": item.name, "times": item.times, **item.options}
                for item in self._queued
            ]

    def apply(self, case: Case) -> Verdict:
        """Apply the first fault that the case concerns decide; else the contract."""
        with self._lock:
            for item in self._queued:
                if (verdict := item.verdict(case)) is not None:
                    self._use_up(item)
                    return verdict
        return case.verdict

    def next_unread(self) -> Verdict | None:
        """Use up a fault that is next in line and wants the body left unread."""
        with self._lock:
            if not self._queued or self._queued[0].name != "drop-before-reading":
                return None
            item = self._queued[0]
            self._use_up(item)
            return FAULTS[item.name](None, **item.options)

    def _use_up(self, item: Queued) -> None:
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
            "options": {key: p.default for key, p in _parameters(fault).items()},
        }
        for name, fault in FAULTS.items()
    ]


def checked_options(name: str, options: Mapping[str, object]) -> dict[str, object]:
    """Check the options of one fault; lists become tuples.

    Raises:
        FaultError: The fault or an option is unknown, or a value is impossible.
    """
    fault = FAULTS.get(name)
    if fault is None:
        raise FaultError(f"there is no fault {name!r}: choose from {', '.join(FAULTS)}")
    kinds = {key: get_type_hints(fault)[key] for key in _parameters(fault)}
    for option in options:
        if option not in kinds:
            known = ", ".join(kinds) or "none"
            raise FaultError(f"{name} has no option {option!r}: it has {known}")
    return {key: _checked(key, value, kinds[key]) for key, value in options.items()}


def _parameters(fault: Fault) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(fault).parameters
    return {
        key: parameter
        for key, parameter in parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def _checked(option: str, value: object, kind: Any) -> object:  # noqa: ANN401 - a type hint may be any form of annotation
    """Check a value that may come from JSON against an option's annotation."""
    if get_origin(kind) is tuple:
        value = tuple(value) if isinstance(value, list | tuple) else value
    if not _fits(value, kind):
        raise FaultError(f"{option} cannot be {value!r}")
    return value


def _fits(value: object, kind: Any) -> bool:  # noqa: ANN401 - as above
    if get_origin(kind) is Literal:
        return (type(value), value) in [(type(arg), arg) for arg in get_args(kind)]
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(isinstance(v, str) for v in value)
    if kind is int:
        return _is_whole(value) and 0 <= value <= _LIMIT
    if kind is float:
        return (_is_whole(value) or isinstance(value, float)) and 0 < value <= _LIMIT
    return isinstance(value, kind)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
