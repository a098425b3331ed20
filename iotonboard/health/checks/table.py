"""The checks of ``health``: one line each, in the order in which they run.

All of them stay cheap with a million devices; ``health --deep`` looks at everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.errors import IotOnboardError
from iotonboard.health.checks import authority, devices, levels, machine, office, publications, settings
from iotonboard.health.finding import Finding, Outcome, Status, failed, ok
from iotonboard.state.added_cas import open_added, told_cas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from iotonboard.state.state import State


@dataclass(frozen=True, slots=True)
class Check:
    """One named check, with what it makes sure of."""

    name: str
    about: str
    look: Callable[[State], Outcome]


def _added_cas(state: State) -> Outcome:
    """The worst that is to be said of the CAs that were added, one after the other."""
    told, found = told_cas(state), list[Outcome]()
    for name in told:
        hint = f"type: iotonboard health --ca {name}"
        try:
            with open_added(state, name) as added:
                findings = run_checks(added)
            found += (
                Outcome(one.status, f"{name}: {one.name}: {one.message}", f"{one.hint}; {hint}")
                for one in findings
                if one.status is not Status.OK
            )
        except IotOnboardError as error:
            found.append(failed(f"{name}: {error.message}", error.hint))
    if not found:
        return ok(", ".join(told) if told else "none was added")
    return min(found, key=lambda one: one.status is not Status.FAILED)


CHECKS = (
    Check("database", "SQLite finds the database sound", machine.database),
    Check("schema", "each table, index, view and trigger of the database is the program's", machine.schema),
    Check("locks", "another process is kept out while one writes, and the disk is no share", machine.locks),
    Check("set-aside", "every row of an older version could be brought forward", machine.set_aside),
    Check("clock", "the clock agrees with the last recorded event", machine.clock),
    Check("places", "no disk is away on which something was published", publications.places),
    Check("copies", "no other copy of this state is at work", publications.copies),
    Check("settings", "the CA sealed the settings, and iotonboard.toml shows them", settings.settings),
    Check("ca-key", "the CA key is there, encrypted and private", authority.ca_key),
    Check("ca-certificate", "the CA lives longer than what it issues", authority.ca_certificate),
    Check("root", "the CAs above ours, and our copy of their lists, have time left", levels.root),
    Check("ca-rollover", "a rollover that is under way can go on, or end", authority.ca_rollover),
    Check("trust", "each CA of others that is trusted has a list with time left", authority.trust),
    Check("office", "what the office ordered is done, and it gets journals", office.office),
    Check("crl", "crl.pem is the last one signed and has time left", publications.crl),
    Check("unpublished", "no revocation or file waits to be published", publications.unpublished),
    Check("receipts", "revocations are in force where a broker's receipt came from", publications.receipts),
    Check("overlaps", "no certificate is valid past its overlap", devices.overlaps),
    Check("deliveries", "no delivery expired before somebody fetched it", devices.deliveries),
    Check("kept-keys", "no key is kept long after its device ended", devices.kept_keys),
    Check("acl", "mosquitto.acl says what the database says", publications.acl),
    Check("own-rules", "no device is a user in the operator's own rules", publications.own_rules),
    Check("audit", "the newest rows of the trail are chained and its head is signed", machine.audit),
    Check("files", "the newest devices' files are what the database says", publications.device_files),
    Check("modes", "folders, database and keys are private and have one owner", machine.modes),
    Check("broker-files", "the broker's user can read ACL and CRL", publications.broker_files),
    Check("broker-conf", "the broker's mosquitto.conf enforces certificate, CRL and ACL", publications.broker_conf),
    Check("passphrase", "the passphrase costs a guesser enough", authority.passphrase),
    Check("disk", "there is room for what comes next", machine.disk),
    Check("backup", "there is a backup, and it is not old", machine.backup),
    Check("added-cas", "each CA that was added, which no broker trusts, is sound", _added_cas),
)
# What is looked at in the state around an added CA: what is for brokers, and what is the same.
_NOT_OF_AN_ADDED = frozenset({
    "settings", "root", "trust", "receipts", "acl", "own-rules", "broker-files", "broker-conf", "backup", "added-cas",
})  # fmt: skip


def run_checks(state: State, names: Iterable[str] = ()) -> list[Finding]:
    """Run the named checks, or all of them; a check that cannot run has failed."""
    chosen = set(names) or {check.name for check in CHECKS}
    if state.main:
        chosen -= _NOT_OF_AN_ADDED
    return [_run(state, check) for check in CHECKS if check.name in chosen]


def _run(state: State, check: Check) -> Finding:
    try:
        outcome = check.look(state)
    except IotOnboardError as error:
        outcome = failed(error.message, error.hint)
    return Finding(check.name, outcome.status, outcome.message, outcome.hint)
