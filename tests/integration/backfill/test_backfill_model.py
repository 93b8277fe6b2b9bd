"""A model of backfills: no order is lost in any sequence, none repeats uncounted.

Hypothesis combines capture, delivery, crashes at the POST, backfills, pauses,
cancellations, resends and adoptions over a real ledger.
"""

from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.backfill_harness import BackfillHarness, insert_past_orders
from support.postgres import Cluster
from support.shop import Shop
from typing_extensions import override

from syncd.core.command_errors import BackfillStateError, OrderUnknownError
from syncd.daemon.backfill_loop import LIVE_LAG, BackfillLimits
from syncd.demo.sandbox import Sandbox
from syncd.ledger.claim import Lane

pytestmark = [pytest.mark.db, pytest.mark.slow, pytest.mark.timeout(3600)]

SIZE = 3
DAYS = 12

_numbers = count(1)
spans = st.tuples(st.integers(0, DAYS - 1), st.integers(1, DAYS)).map(
    lambda drawn: (drawn[0], min(DAYS, drawn[0] + drawn[1]))
)


class BackfillModel(RuleBasedStateMachine):
    """The operations on past orders, and the invariants that hold all the time."""

    server: Cluster
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.name = f"m{next(_numbers)}"
        self.server.sql(f"CREATE DATABASE {self.name}")
        self.shop = Shop.open(self.server.dsn(self.name))
        self.sandbox = Sandbox()
        self.sandbox.start()
        self.harness = BackfillHarness(
            self.shop, self.sandbox, self.folder, SIZE, 5, BackfillLimits().waiting
        )
        self.orders = insert_past_orders(self.shop, 24, days=DAYS)
        self.requested: set[str] = set()  # that each of them arrives
        self.again: Counter[str] = Counter()  # how often it was sent on purpose

    def _inside(self, span: tuple[int, int]) -> list[str]:
        return self.orders[span[0] * 2 : span[1] * 2]

    @initialize()
    def begin(self) -> None:
        self._plan("send", (0, DAYS))

    @rule(purpose=st.sampled_from(["send", "adopt", "resend"]), span=spans)
    def plan(self, purpose: str, span: tuple[int, int]) -> None:
        self._plan(purpose, span)

    def _plan(self, purpose: str, span: tuple[int, int]) -> None:
        try:
            self.harness.start(purpose, lower=span[0], upper=span[1])  # type: ignore[arg-type]
        except BackfillStateError:
            return  # it overlaps another
        if purpose != "adopt":
            self.requested.update(self._inside(span))
        if purpose == "resend":
            self.again.update(self._inside(span))
        self.harness.loop.step()

    @rule(number=st.integers(0, 23))
    def resend_one(self, number: int) -> None:
        try:
            self.harness.resending.resend([str(number + 1)], "asked for")
        except OrderUnknownError:
            return
        self.again[self.orders[number]] += 1

    @rule()
    def drive(self) -> None:
        self.harness.loop.step()

    @rule()
    def sell(self) -> None:
        self.orders_live = self.harness.confirm(1)
        self.requested.update(self.orders_live)

    @rule()
    def deliver(self) -> None:
        self.harness.end_waits()
        if not self.harness.deliver():
            self.harness.deliver_past()

    @rule(arrives=st.booleans(), lane=st.sampled_from(get_args(Lane)))
    def crash_at_the_post(self, arrives: bool, lane: Lane) -> None:  # noqa: FBT001
        """The connection breaks before the API has accepted the batch, or after it."""
        self.harness.end_waits()
        if arrives:
            self.sandbox.fail("accept-then-drop", times=1)
        else:
            self.sandbox.fail("server-error", times=1, status=503)
        self.harness.delivery.deliver_next(lane)
        self.sandbox.clear_faults()

    @rule()
    def crash_with_a_claim(self) -> None:
        """An instance dies between its claim and its POST."""
        claim = self.harness.ledger.claim(
            self.harness.instance.number, "backfill", LIVE_LAG
        )
        if claim:
            self.harness.expire_leases()

    def _unfinished(self) -> list[int]:
        return [p.backfill for p in self.harness.store.all() if p.is_unfinished]

    @precondition(lambda self: self._unfinished())
    @rule(data=st.data(), verb=st.sampled_from(["pause", "resume"]))
    def change_state(self, data: st.DataObject, verb: str) -> None:
        number = data.draw(st.sampled_from(self._unfinished()))
        with suppress(BackfillStateError):  # for example running, to be resumed
            getattr(self.harness.store, verb)(number)

    @precondition(lambda self: self._unfinished())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.harness.store.cancel(data.draw(st.sampled_from(self._unfinished())))

    @invariant()
    def every_batch_counts_its_orders(self) -> None:
        assert self.harness.shop.counts_agree()

    @invariant()
    def no_order_repeats_uncounted(self) -> None:
        attempts = {
            b.batch_id: b.uncertain_attempts for b in self.shop.rows_of("batch")
        }
        places = self.shop.rows_of("ledger") + self.shop.rows_of("order_move")
        been_in = {(f"W-{place.order_key}", place.batch_id) for place in places}
        uncertain = Counter[str]()
        for order, batch in been_in:
            uncertain[order] += attempts.get(batch, 0)
        for order in self.orders:
            posts = self.sandbox.received.posts(order)
            allowed = 1 + uncertain[order] + self.again[order]
            assert posts <= (allowed if order in self.requested else 0), order

    @invariant()
    def delivered_orders_have_arrived(self) -> None:
        assert [
            o
            for o in self._with_standing("delivered")
            if not self.sandbox.received.posts(o)
        ] == []

    def _with_standing(self, standing: str) -> set[str]:
        """Return the orders of the ledger with one standing."""
        orders = self.shop.captured_orders()
        return {f"W-{o.order_key}" for o in orders if o.standing == standing}

    @override
    def teardown(self) -> None:
        """Everything unfinished can be finished, and then every order was sent."""
        try:
            for number in self._unfinished():
                if self.harness.store.get(number).state == "paused":
                    self.harness.store.resume(number)
            self._finish()
            self.harness.start("send", upper=DAYS + 1)
            self._finish()
            states = self.harness.states()
            assert set(states) <= {"delivered", "adopted"}, states
            self.no_order_repeats_uncounted_at_the_end()
        finally:
            self.harness.close()
            self.sandbox.stop()
            self.shop.close()
            self.server.sql(f"DROP DATABASE {self.name} WITH (FORCE)")

    def _finish(self) -> None:
        for _ in range(3):
            self.harness.finish_backfills()
        assert self._unfinished() == []

    def no_order_repeats_uncounted_at_the_end(self) -> None:
        self.requested.update(self.orders)
        missing = [o for o in self.orders if not self.sandbox.received.posts(o)]
        assert set(missing) <= self._with_standing("adopted")
        self.no_order_repeats_uncounted()


def run(server: Cluster, folder: Path, examples: int, steps: int) -> None:
    machine = type("Machine", (BackfillModel,), {"server": server, "folder": folder})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )


def test_no_order_is_lost_or_repeated_in_any_sequence(
    server: Cluster, tmp_path: Path
) -> None:
    """A short search; longer with `-m soak`."""
    run(server, tmp_path, 8, 25)


@pytest.mark.soak
def test_no_order_is_lost_or_repeated_in_long_runs(
    server: Cluster, tmp_path: Path
) -> None:
    """The model runs many long sequences."""
    run(server, tmp_path, 200, 60)
