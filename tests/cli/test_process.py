"""Modules that wait until they are used: asked in a process of its own, as the program begins one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.program import State, program_environment


def run(code: str) -> list[str]:
    """Run code in a process that began as the program does; the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"from iotonboard.cli import process\nprocess.begin()\n{code}"],
        env=program_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_a_module_waits_until_something_in_it_is_asked_for() -> None:
    code = (
        "import sys, textwrap\n"
        "print(type(sys.modules['textwrap']).__name__)\n"
        "print(textwrap.dedent(' x') == 'x')\n"
        "print(type(sys.modules['textwrap']).__name__)\n"
    )
    assert run(code) == ["_LazyModule", "True", "module"]


def test_every_module_that_waits_exists_and_can_be_loaded() -> None:
    """A name that is misspelt, or gone in a later version, would wait for nothing."""
    code = (
        "import importlib\n"
        "for name in process.SELDOM:\n"
        "    assert hasattr(importlib.import_module(name), 'no such thing') is False, name\n"
        "print('loaded')"
    )
    assert run(code) == ["loaded"]


LOADED = """
import os, sys
from iotonboard.cli import main, process
os._exit = sys.exit
try:
    main(sys.argv[1:])
finally:
    loaded = {name for name, module in sys.modules.items() if type(module).__name__ != "_LazyModule"}
    print("loaded:", *loaded & {*process.SELDOM}, file=sys.stderr)
"""


# What a command that publishes uses of it: the seal of the settings, and what a CA goes out as. What writes the ACL is
# used by what changes it; a call that only signs a list leaves it as it is.
VERIFIED = {"iotonboard.pki.verifying", "iotonboard.state.chain"}
ACL = {"iotonboard.broker.region", "iotonboard.broker.render", "iotonboard.state.region_change"}
SHOWN = {f"iotonboard.store.{name}" for name in ("brokers", "deliveries", "profiles", "secrets", "topics")}
REVOKED = {"iotonboard.store.compromised", "iotonboard.store.table_scan"}


@pytest.mark.parametrize(
    ("words", "used"),
    [
        ("show press-1", SHOWN),
        ("list", set()),
        ("revoke press-1 --defer", VERIFIED | ACL | REVOKED),
        ("register press-2", VERIFIED | ACL),
    ],
)
def test_what_waits_is_not_used_by_a_call(state: State, words: str, used: set[str]) -> None:
    """An entry that each call uses gains nothing; 'email', of the certificates' names, loads 'locale'."""
    state.register("press-1")
    state.run("gen-crl")  # the list of a copied state is looked at once
    assert used_of_what_waits(state, *words.split()) <= {"locale", *used}


def test_signing_a_list_writes_no_acl(state: State) -> None:
    state.register("press-1")
    assert not used_of_what_waits(state, "gen-crl") & ACL


def used_of_what_waits(state: State, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        env=program_environment(state=state),
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("loaded:")]
    return set(line.split()[1:])
