"""Which heavy modules a command loads: a shell loop pays for them once for each device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.program import State, program_environment, run_cli

# In milliseconds of import, as measured: cryptography 70, pyzipper 66, rich.console 51, importlib.metadata 45.
HEAVY = {
    "asyncio",
    "cryptography",
    "cryptography.x509.name",
    "http",
    "importlib.metadata",
    "iotonboard.ca.recovery",
    "iotonboard.ca.tokens",
    "iotonboard.pki.name_values",
    "iotonboard.pki.profile_form",
    "multiprocessing",
    "pkcs11",
    "pydantic",
    "pyzipper",
    "rich",
    "sqlite3",
    "ssl",
    "tomli_w",
    "urllib.request",
    "xml",
}
SIGNING = {"sqlite3", "cryptography", "cryptography.x509.name"}
# The program's own start; at its end, where it leaves Python at once, it is asked what it holds. A module that waits
# until it is used is not loaded.
REPORT = """
import os, sys
from iotonboard.cli import main
os._exit = sys.exit
try:
    main(sys.argv[1:])
finally:
    loaded = {{name for name, module in sys.modules.items() if type(module).__name__ != "_LazyModule"}}
    print("modules:", *sorted(loaded & {heavy}), file=sys.stderr)
"""


def loaded(state: State, *words: str | Path) -> set[str]:
    """The heavy modules that one call loads, as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(heavy=HEAVY), *map(str, words)],
        env=program_environment(state=state),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("modules:")]
    return set(line.split()[1:])


@pytest.fixture
def populated(state: State) -> State:
    state.register("press-1", "press-2")
    return state


@pytest.mark.parametrize("words", [("--version",), ("--help",)])
def test_version_and_help_load_nothing_heavy(state: State, words: tuple[str, ...]) -> None:
    assert loaded(state, *words) == set()


@pytest.mark.parametrize("verb", ["init-ca", "broker", "register", "show", "list", "revoke", "export", "health"])
def test_the_help_of_a_verb_loads_nothing_heavy(state: State, verb: str) -> None:
    assert loaded(state, verb, "--help") == set()


@pytest.mark.parametrize(
    "words",
    [
        "show press-1",
        "show press-1 --json",
        "list",
        "list --json --status active",
        "list --csv",
        "audit show",
    ],
)
def test_what_only_looks_loads_no_cryptography(populated: State, words: str) -> None:
    assert loaded(populated, *words.split()) == {"sqlite3"}


def test_profiles_of_the_settings_are_read_by_what_issues_by_them(populated: State) -> None:
    (populated.path / "iotonboard.toml").write_text('[profiles.pump]\neku = ["clientAuth"]\nsan = ["dns:a.example"]\n')
    populated.run("config", "accept")
    form = "iotonboard.pki.profile_form"
    for words in ("show press-1", "list", "audit show", "config show"):
        assert loaded(populated, *words.split()) == {"sqlite3"}, words
    for words in ("revoke press-1 --defer", "sync-acl", "gen-crl", "register press-3"):
        assert form not in loaded(populated, *words.split()), words
    assert form in loaded(populated, "register", "press-4", "--profile", "pump")


@pytest.mark.parametrize("words", ["revoke press-1 --defer", "sync-acl", "sync-acl --check", "purge press-1"])
def test_what_publishes_without_a_key_verifies_the_settings_and_loads_little_for_it(
    populated: State, words: str
) -> None:
    assert loaded(populated, *words.split()) == {"sqlite3", "cryptography"}


def test_config_loads_no_cryptography(populated: State) -> None:
    assert loaded(populated, "config", "show", "--json") == {"sqlite3"}


def test_register_loads_what_it_signs_and_packs_with(populated: State) -> None:
    assert loaded(populated, "register", "press-3", "--json") == SIGNING
    assert loaded(populated, "register", "--uuid", "--json") == SIGNING


@pytest.mark.parametrize(
    "words", ["backup BACKUP", "health --check ca-key", "ca rollover begin", "broker issue broker.example"]
)
def test_a_key_in_a_file_loads_nothing_for_tokens(populated: State, tmp_path: Path, words: str) -> None:
    line = words.replace("BACKUP", str(tmp_path / "b.zip")).split()
    assert loaded(populated, *line).isdisjoint({"iotonboard.ca.recovery", "iotonboard.ca.tokens", "pkcs11"})


def test_signing_a_crl_packs_nothing(populated: State) -> None:
    assert loaded(populated, "gen-crl", "--json") == SIGNING
    assert loaded(populated, "revoke", "press-1", "--json") == SIGNING


def test_completion_loads_nothing_heavy_but_the_database(populated: State) -> None:
    start = REPORT.format(heavy=HEAVY).replace("main(sys.argv[1:])", "main()")
    done = subprocess.run(
        [sys.executable, "-c", start],
        env=program_environment(
            state=populated,
            env={
                "_IOTONBOARD_COMPLETE": "complete_bash",
                "COMP_WORDS": "iotonboard show pre",
                "COMP_CWORD": "2",
            },
        ),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert "press-1" in done.stdout, done.stderr
    assert {"cryptography", "pyzipper", "rich"}.isdisjoint(done.stderr.split())


def test_the_package_itself_loads_nothing() -> None:
    """``iotonboard.__version__`` costs no import: build tools and scripts read it."""
    code = "import sys; before = set(sys.modules); import iotonboard; print(sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=program_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['iotonboard']"
    run_cli("--version")
