"""How much capture from the WAL takes and holds, and how often it does what."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WalTuning:
    """Constants of the capture from the WAL that are no settings.

    Attributes:
        page: Orders that are admitted in one transaction, at most.
        most_keys: Keys that are held while their transactions are not visible; then
            reading waits.
        note_seconds: How often the position is moved while no order comes.
        hidden_seconds: From when on commits that stay invisible are worth a line.
        guard_seconds: How often slot, server and publication are checked while they
            are used.
        at_risk_share: Share of the WAL that a slot may keep, from which it is worth a
            line.
        status_seconds: How often the server hears from us, and we from it, when there
            is nothing to acknowledge.
        silence_seconds: How long the server may be silent before the connection counts
            as dead.
    """

    page: int = 1000
    most_keys: int = 100_000
    note_seconds: float = 10.0
    hidden_seconds: float = 60.0
    guard_seconds: float = 60.0
    at_risk_share: float = 0.5
    status_seconds: float = 10.0
    silence_seconds: float = 300.0


DEFAULTS = WalTuning()
