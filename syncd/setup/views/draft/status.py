"""What a status, or the name of an event, means: is the order confirmed?"""

from collections.abc import Iterable
from enum import IntEnum

from syncd.setup.views.draft.words import concepts_of, is_plain, word_set, words

_NOT_YET = word_set(
    """pending pend unpaid not niet nicht non onbetaald unbezahlt impaye partial
    partially teilweise gedeeltelijk partiellement awaiting await wait waiting
    wacht wachten open offen new nieuw neu nouveau cart adding arranging draft
    created failed fail error declined denied refused hold onhold review fraud
    invalid pre checkout authorized authorised requested request attente
    abandoned incomplete balance outstanding reminder overdue link email sent"""
)
_GONE = frozenset({"canceled", "refund", "expired", "deleted", "cart", "draft"})
_PROCESSING = word_set(
    """processing processed process behandeling verwerkt verwerking bearbeitung
    traitement preparation progress picking packed verarbeitet sale done success
    succeeded successful ok fulfilled fulfilling invoiced gefactureerd
    fakturiert facture payed unfulfilled"""
)


class Step(IntEnum):
    """How far an order is, by the name of its status; 0: not confirmed, or unknown."""

    NONE = 0
    PLACED = 1
    CONFIRMED = 2
    LATER = 3
    PROCESSING = 4
    PAID = 5


_STEPS = {
    "placed": Step.PLACED,
    "confirmed": Step.CONFIRMED,
    "completed": Step.LATER,
    "shipping": Step.LATER,
}


def step_of(value: str) -> Step:
    """Return what a status or event means."""
    if not is_plain(value):
        return Step.NONE
    parts = set(words(value))
    concepts = {concept for word in parts for concept in concepts_of(word)}
    if parts & _NOT_YET or concepts & _GONE:
        return Step.NONE
    if "paid" in concepts:
        return Step.PAID
    if parts & _PROCESSING:
        return Step.PROCESSING
    return max(
        (_STEPS.get(concept, Step.NONE) for concept in concepts), default=Step.NONE
    )


def is_waiting(value: str) -> bool:
    """Return whether a status means that the order is not confirmed yet."""
    parts = set(words(value))
    is_over = bool(_concepts(value) & {"canceled", "refund"})
    return is_plain(value) and bool(parts & _NOT_YET) and not is_over


def first_confirmed(values: Iterable[str]) -> tuple[list[str], Step]:
    """Choose the values of a history that mark the confirmation.

    Where one means paid, no other counts; otherwise the first step that there is, with
    those that follow it, since the first row of an order counts.
    """
    steps = {value: step for value in values if (step := step_of(value))}
    if any("order" in _concepts(value) for value in steps):
        steps = {v: s for v, s in steps.items() if not _is_of_part(v)}
    top = max(steps.values(), default=Step.NONE)
    if top is Step.PAID:
        paid = [value for value, step in steps.items() if step is Step.PAID]
        whole = [v for v in paid if not {"payment"} & _concepts(v)]
        of_order = [v for v in whole if "order" in _concepts(v)]
        return sorted(of_order or whole or paid), top
    if top is Step.PROCESSING:
        floor = Step.LATER
        return sorted(v for v, step in steps.items() if step >= floor), top
    return sorted(steps), top


def _is_of_part(value: str) -> bool:
    """Return whether a step is that of a line, and not of the order."""
    concepts = _concepts(value)
    return "line" in concepts and "order" not in concepts


def confirmed_now(values: Iterable[str]) -> list[str]:
    """Choose the present statuses that only a confirmed order has."""
    steps = {value: step for value in values if (step := step_of(value))}
    floor = min(Step.CONFIRMED, max(steps.values(), default=Step.NONE))
    return sorted(value for value, step in steps.items() if step >= max(floor, 1))


def waits(values: Iterable[str]) -> bool:
    """Return whether some orders are not confirmed yet, or not any more."""
    return any(not step_of(value) for value in values)


def _concepts(value: str) -> set[str]:
    return {concept for word in words(value) for concept in concepts_of(word)}
