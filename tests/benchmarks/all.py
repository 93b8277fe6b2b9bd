"""Every benchmark of speed and cost, one after the other: about an hour.

    PYTHONPATH=tests python tests/benchmarks/all.py
    PYTHONPATH=tests python tests/benchmarks/all.py --quick

Each has servers of its own and prints its figures beside floors of the same run. On a
busy machine only the ratios of one run mean anything.
"""

import argparse
import subprocess
import sys
from pathlib import Path

QUICK: dict[str, tuple[str, ...]] = {
    "backfill.py": ("--orders", "50000", "--rounds", "1"),
    "live.py": ("--seconds", "5", "--rounds", "1"),
    "claim.py": ("--rounds", "1"),
    "idle.py": ("--seconds", "60", "--only", "listen"),
    "growth.py": ("--sizes", "10000", "200000"),
    "instances.py": ("--orders", "10000", "--rounds", "1"),
    "checkout.py": ("--rounds", "1", "--seconds", "3"),
    "reconcile.py": (),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller, in 10 minutes")
    options = parser.parse_args()
    for name, arguments in QUICK.items():
        print(f"\n== {name}", flush=True)
        command = [sys.executable, str(Path(__file__).with_name(name))]
        subprocess.run([*command, *(arguments if options.quick else ())], check=True)


if __name__ == "__main__":
    main()
