"""`syncd verify` with accounts that respond in different ways."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.shop import Shop

from syncd.cli import cli
from syncd.demo.sandbox import Sandbox

pytestmark = pytest.mark.db

EMAIL = ("--email", "me@shop.example")
Run = Callable[..., Result]


@pytest.fixture
def run(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Run:
    config = str(shop.configure(tmp_path, sandbox.endpoint))
    environment = {"SYNCD_SQUEEZELY_API_KEY": "sandbox-key"}

    def syncd(*arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(
            cli, [*arguments, "--config", config], env=environment, input=answer
        )

    return syncd


def is_proven(run: Run) -> bool:
    found = json.loads(run("check", "--json").output)
    return any(finding["code"] == "account.proven" for finding in found)


def test_a_response_that_counts_proves_the_list_payload(
    run: Run, sandbox: Sandbox
) -> None:
    """One alone, then two in a list: three purchases, and `check` accepts it."""
    sandbox.fail("wordy-success", times=2)
    assert not is_proven(run)
    result = run("verify", *EMAIL, "--yes", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.output)
    assert [len(trial["orderids"]) for trial in facts["trials"]] == [1, 2]
    assert facts["verified"]["accepts_lists"] is True
    posted = [order for trial in facts["trials"] for order in trial["orderids"]]
    assert [sandbox.received.posts(order) for order in posted] == [1, 1, 1]
    assert all(order.startswith("SYNCD-TEST-") for order in posted)
    assert is_proven(run)


def test_what_the_response_does_not_count_needs_a_person(run: Run) -> None:
    """The command lists the steps; --seen records the result."""
    result = run("verify", *EMAIL, "--yes")
    assert result.exit_code == 0
    assert "Audiences -> new audience" in result.output
    assert "syncd verify --seen" in result.output
    assert not is_proven(run)
    assert run("verify", "--seen").exit_code == 0
    assert is_proven(run)


def test_the_other_payload_is_tried_when_one_is_refused(
    run: Run, sandbox: Sandbox
) -> None:
    """The output names the setting to change."""
    sandbox.fail("body-form-refused", times=1)
    result = run("verify", *EMAIL, "--yes")
    assert 'squeezely.payload = "single"' in result.output
    assert sandbox.received.totals.orderids == 1
    assert not is_proven(run)


def test_a_list_that_is_accepted_in_part_is_no_success(
    run: Run, sandbox: Sandbox
) -> None:
    """The exit code is 1, and the output has the fix."""
    sandbox.fail("wordy-success", times=1)
    sandbox.fail("count-short", times=1)
    result = run("verify", *EMAIL, "--yes")
    assert result.exit_code == 1
    assert 'set squeezely.payload = "single"' in result.output
    assert not is_proven(run)


def test_wrong_credentials_are_not_taken_for_the_payload(
    run: Run, sandbox: Sandbox
) -> None:
    """One request, one clear line, exit 1, nothing recorded."""
    sandbox.fail("credentials", times=9)
    result = run("verify", *EMAIL, "--yes")
    assert result.exit_code == 1
    assert "client refused (HTTP 401" in result.output
    assert "Nothing was accepted" in result.output
    assert sandbox.received.totals.requests == 1
    assert run("verify", "--seen").exit_code != 0


def test_verify_asks_for_confirmation(run: Run, sandbox: Sandbox) -> None:
    """It names account, address and customer; "no" sends nothing."""
    result = run("verify", *EMAIL, answer="n\n")
    assert result.exit_code != 0
    assert "SQ-SANDBOX" in result.output
    assert "me@shop.example" in result.output
    assert sandbox.received.totals.requests == 0


@pytest.mark.parametrize("email", [(), ("--email", "nobody")])
def test_verify_requires_an_address(run: Run, email: tuple[str, ...]) -> None:
    """The address has to be a valid one."""
    result = run("verify", *email, "--yes")
    assert result.exit_code != 0
    assert "an email address is needed" in result.output


def test_a_verification_holds_for_its_account_only(
    run: Run, sandbox: Sandbox, shop: Shop, tmp_path: Path
) -> None:
    """Another account may accept another payload."""
    sandbox.fail("wordy-success", times=2)
    run("verify", *EMAIL, "--yes")
    assert is_proven(run)
    shop.configure(tmp_path, sandbox.endpoint, account="SQ-OTHER")
    assert not is_proven(run)


STRANGE = '{"status": "success", "tracked": 1, "invalid": 0}'


def test_a_person_records_what_an_unknown_response_means(
    run: Run, sandbox: Sandbox
) -> None:
    """It is shown, no success before that, and recorded for this account."""
    sandbox.fail("canned", times=None, body=STRANGE, takes=True)
    result = run("verify", *EMAIL, "--yes")
    assert result.exit_code == 1
    assert STRANGE in result.output
    assert "syncd verify --means success" in result.output
    shown = run("verify")
    assert shown.exit_code != 0
    assert STRANGE in shown.output
    assert run("verify", "--means", "success").exit_code == 0
    result = run("verify", *EMAIL, "--yes")
    assert 'one purchase, as {"events": [...]}: accepted' in result.output


def test_one_meaning_is_not_recorded_for_several_responses(
    run: Run, sandbox: Sandbox
) -> None:
    """A login page beside the real response must not become a success."""
    for body in (STRANGE, '{"page": "log in"}'):
        sandbox.fail("canned", times=1, body=body, takes=True)
        run("verify", *EMAIL, "--yes")
    result = run("verify", "--means", "success")
    assert result.exit_code != 0
    assert "2 answers wait" in result.output
    assert STRANGE in result.output


def test_a_recorded_meaning_settles_what_waits_for_it(
    run: Run, sandbox: Sandbox, shop: Shop
) -> None:
    """The feed is held, `status` names the command, and it resumes the feed."""
    sandbox.fail("canned", times=None, body=STRANGE, takes=True)
    run("run", "--once")
    (order,) = shop.confirm(1)
    run("run", "--once")
    assert sandbox.received.posts(order) == 1
    status = json.loads(run("status", "--json").output)
    assert STRANGE in status["endpoint_reason"]
    assert any("syncd verify" in str(r["next"]) for r in status["reasons"])
    facts = json.loads(run("verify", "--means", "success", "--json").output)
    assert [(t["means"], t["delivered"], t["pending"]) for t in facts] == [
        ("success", 1, 0)
    ]
    (more,) = shop.confirm(1)
    run("run", "--once")
    assert [sandbox.received.posts(o) for o in (order, more)] == [1, 1]
    status = json.loads(run("status", "--json").output)
    assert (status["endpoint"], status["delivered"]) == ("available", 2)
    assert status["possible_repeats"] == 0
