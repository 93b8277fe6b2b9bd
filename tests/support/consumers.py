"""The programs that process syncd's log: mtail, promtool, lnav, rsyslog."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

MONITORING = Path(__file__).parents[2] / "systemd" / "monitoring"
PACKAGES = {
    "mtail": "mtail",
    "promtool": "prometheus",
    "lnav": "lnav",
    "rsyslogd": "rsyslog",
    "jq": "jq",
}

Series = Mapping[str, Mapping[Mapping[str, str], float]]
_SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def tool(name: str) -> str:
    """Return the path of a program; skip the test without it, except in CI."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        missing = f"{name} is not installed: apt-get install {PACKAGES[name]}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


class Metrics:
    """The metrics that mtail derives from a log, as Prometheus would scrape them."""

    def __init__(self, exposed: str) -> None:
        self._samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for line in exposed.splitlines():
            if match := _SAMPLE.match(line):
                labels = frozenset(_LABEL.findall(match["labels"] or ""))
                self._samples[match["name"], labels] = float(match["value"])

    def value(self, name: str, **labels: str) -> float | None:
        """Return one series of the feed `shop`; None when it is missing."""
        labels = {"feed": "shop"} | labels
        return self._samples.get((name, frozenset(labels.items())))

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return the non-zero series of a metric, by one of its labels."""
        return {
            dict(labels)[label]: value
            for (found, labels), value in self._samples.items()
            if found == name and value
        }

    def names(self) -> set[str]:
        return {name for name, _ in self._samples}


def metrics(log: Path) -> Metrics:
    """Feed a log to mtail in the form that the journal exports."""
    done = subprocess.run(
        [
            tool("mtail"),
            "--one_shot",
            *("--address=127.0.0.1", "--port=0"),  # others may run at the same time
            "--one_shot_format=prometheus",
            "--emit_prog_label=false",
            "--vm_logs_runtime_errors",
            f"--progs={MONITORING / 'syncd.mtail'}",
            f"--logs={log}",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TMPDIR": str(log.parent)},
    )
    assert done.returncode == 0, done.stderr
    return Metrics(done.stdout)


def declared_metrics() -> set[str]:
    """List the metrics that the mtail program declares, with a histogram's series."""
    program = (MONITORING / "syncd.mtail").read_text()
    declared = re.findall(r"^(counter|gauge|histogram) (\w+)", program, re.MULTILINE)
    endings = {"histogram": ("_bucket", "_sum", "_count")}
    return {
        name + ending for kind, name in declared for ending in endings.get(kind, ("",))
    }


def promtool(*arguments: object, folder: Path | None = None) -> str:
    """Run promtool; fail with its output when it reports a fault."""
    done = subprocess.run(
        [tool("promtool"), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder or MONITORING,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
