from datetime import UTC, datetime
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from syncd.core.window import Vxid, Window, Xid, with_prepared, without_ended

UPPER = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)


def vxids(*names: str) -> frozenset[Vxid]:
    return frozenset(map(Vxid, names))


def xids(*names: str) -> frozenset[Xid]:
    return frozenset(map(Xid, names))


def test_a_window_with_running_transactions_stays_open() -> None:
    """One of them may still commit an order stamped inside the window."""
    window = without_ended(Window(UPPER, vxids("3/1", "4/9")), vxids("4/9", "5/1"))

    assert window.running == vxids("4/9")
    assert not window.is_closable
    assert not window.is_ready_for_prepared


def test_transactions_that_began_later_are_not_waited_for() -> None:
    """Their stamps lie above the window, so they cannot hold it open for ever."""
    window = without_ended(Window(UPPER, vxids("3/1")), vxids("8/8", "9/9"))

    assert window.running == vxids()
    assert window.is_ready_for_prepared


def test_a_window_is_not_closable_before_prepared_transactions_were_read() -> None:
    """A running transaction may have ended by being prepared."""
    assert not Window(UPPER, vxids()).is_closable


def test_a_window_without_remaining_transactions_closes() -> None:
    """Nothing ran and nothing was prepared: the window is complete."""
    window = with_prepared(Window(UPPER, vxids()), xids())

    assert window.is_closable
    assert not window.is_ready_for_prepared
    assert window.upper == UPPER


def test_prepared_transactions_hold_the_window_until_they_end() -> None:
    """Only those of the first reading count; later ones lie above the window."""
    window = with_prepared(Window(UPPER, vxids()), xids("70", "71"))
    assert not window.is_closable

    window = with_prepared(window, xids("71", "99"))
    assert window.prepared == xids("71")
    assert not window.is_closable

    assert with_prepared(window, xids("99")).is_closable


def test_a_premature_reading_of_prepared_transactions_is_ignored() -> None:
    """A running one may be prepared afterwards; an early reading proves nothing."""
    early = with_prepared(Window(UPPER, vxids("3/1")), xids())

    assert early.prepared is None
    assert not without_ended(early, vxids()).is_closable


class Server(RuleBasedStateMachine):
    """A server whose transactions run, are prepared and end while a window waits."""

    def __init__(self) -> None:
        super().__init__()
        self.names = count()
        self.running: set[str] = set()
        self.prepared: set[str] = set()
        self.relevant: set[str] = set()
        self.window = Window(UPPER, vxids())
        self.read_when_idle = False

    @initialize(running=st.integers(0, 4), prepared=st.integers(0, 3))
    def open_window(self, running: int, prepared: int) -> None:
        """Transactions alive now may hold orders of the window; later ones do not."""
        self.running = {str(next(self.names)) for _ in range(running)}
        self.prepared = {str(next(self.names)) for _ in range(prepared)}
        self.relevant = self.running | self.prepared
        self.window = Window(UPPER, vxids(*self.running))

    @rule()
    def begin(self) -> None:
        self.running.add(str(next(self.names)))

    @rule(data=st.data())
    def prepare(self, data: st.DataObject) -> None:
        if self.running:
            name = data.draw(st.sampled_from(sorted(self.running)))
            self.running.remove(name)
            self.prepared.add(name)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        if alive := sorted(self.running | self.prepared):
            name = data.draw(st.sampled_from(alive))
            self.running.discard(name)
            self.prepared.discard(name)

    @rule()
    def read_running(self) -> None:
        self.window = without_ended(self.window, vxids(*self.running))

    @rule()
    def read_prepared(self) -> None:
        """At any moment, also too early: the window must enforce the sequence."""
        self.read_when_idle |= self.window.is_ready_for_prepared
        self.window = with_prepared(self.window, xids(*self.prepared))

    @invariant()
    def closable_only_when_nothing_relevant_lives(self) -> None:
        if self.window.is_closable:
            assert self.read_when_idle
            assert not self.relevant & (self.running | self.prepared)

    @invariant()
    def ready_only_once_and_only_when_nothing_runs(self) -> None:
        if self.window.is_ready_for_prepared:
            assert not self.window.running
            assert not self.read_when_idle


def test_no_interleaving_closes_a_window_that_may_still_grow() -> None:
    """Transactions begin, are prepared, end and are read, in any sequence."""
    run_state_machine_as_test(
        Server, settings=settings(max_examples=50, stateful_step_count=15)
    )
