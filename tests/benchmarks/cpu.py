"""The CPU time of processes, from `/proc`."""

import os
from pathlib import Path

from support.postgres import Cluster

_PARENT, _OWN, _ENDED = 1, slice(11, 13), slice(13, 15)
_TICKS = os.sysconf("SC_CLK_TCK")


def seconds(pid: int) -> float:
    """Return the CPU time of one process."""
    return _sum(_fields(pid), _OWN)


def of_ended_sessions(server: Cluster) -> float:
    """Return the CPU time of the server's processes that have ended."""
    return _sum(_fields(_postmaster(server)), _ENDED)


def of_server(server: Cluster) -> float:
    """Return the CPU time of the server's processes, also of those that have ended."""
    postmaster = _postmaster(server)
    used = of_ended_sessions(server) + seconds(postmaster)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = _fields(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[_PARENT]) == postmaster:
            used += _sum(fields, _OWN)
    return used


def _postmaster(server: Cluster) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


def _fields(pid: int) -> list[str]:
    """Read those after the name, in which anything may stand."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _sum(fields: list[str], which: slice) -> float:
    return sum(map(int, fields[which])) / _TICKS
