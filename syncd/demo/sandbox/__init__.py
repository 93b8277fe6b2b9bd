"""The sandbox: a local fake Squeezely API, for trying out and for tests.

It binds to 127.0.0.1 only, sends nothing anywhere, and shares no code with the
rest of syncd, so that a mistake there cannot hide here.
"""

from syncd.demo.sandbox.fault_queue import FAULTS, FaultError
from syncd.demo.sandbox.received_events import Purchase, ReceivedEvents, Totals
from syncd.demo.sandbox.sandbox import Sandbox
from syncd.demo.sandbox.server import PortUnavailableError

__all__ = [
    "FAULTS",
    "FaultError",
    "PortUnavailableError",
    "Purchase",
    "ReceivedEvents",
    "Sandbox",
    "Totals",
]
