"""The demo: a small shop, the real daemon and a fake Squeezely API, side by side.

Everything lives in one temporary folder and a few child processes; nothing of it is
left at the end.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncd.demo.demo import run_demo

__all__ = ["run_demo"]


def __getattr__(name: str) -> object:
    """Load the demo on first use, so that the daemon's memory is free of it."""
    if name != "run_demo":
        raise AttributeError(name)
    from syncd.demo.demo import run_demo  # noqa: PLC0415  # see above

    return run_demo
