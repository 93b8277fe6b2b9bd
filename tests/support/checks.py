"""Run `syncd check` on a shop, in this process."""

from collections.abc import Mapping
from pathlib import Path

from support.shop import Shop
from syncd.diagnostics.check.check import run_checks
from syncd.diagnostics.check.finding import Finding

KEY = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}
NOWHERE = "http://127.0.0.1:1/v1/track"


class CheckRunner:
    """Runs the check on a shop's configuration, any number of times."""

    def __init__(
        self,
        shop: Shop,
        folder: Path,
        source: Mapping[str, object] | None = None,
        **squeezely: object,
    ) -> None:
        self.shop = shop
        self.config = shop.configure(folder, NOWHERE, source, **squeezely)

    def findings(self) -> list[Finding]:
        return run_checks(self.config, KEY)

    def codes(self) -> set[str]:
        return {finding.code for finding in self.findings()}

    def of(self, code: str) -> list[Finding]:
        """Return the findings of one code."""
        return [finding for finding in self.findings() if finding.code == code]

    def one(self, code: str) -> Finding:
        (finding,) = self.of(code)
        return finding
