"""Machines and terminals that lack something: every kind of verb does its work, or ends with a documented exit code."""

from __future__ import annotations

import os
import resource
import sys
from functools import partial
from pathlib import Path

import pytest

from support.faults import become, in_turn
from support.program import State, program_environment
from support.tools import run_tool

_STRANGER = 54321  # a user without a name
# One of each kind: reading, checking, writing, batch, stream, workers, what is carried. X is a folder.
VERBS = """
list --json | show a | health | verify a | audit show | register ä --name x | register new --name Größe
register --stream | register --batch X/list --results X/results.csv --passwords X/passwords.csv
register --count 30 --jobs 2 | revoke b | export a --format pem --out X/a.pem | export a --format pem-chain --out -
backup X/backup.zip | restore X/backup.zip --check | pack --out X/package | report --out X/report.html | gen-crl
"""
_STREAMED = {"list", "health", "register", "revoke", "export", "backup"}  # a start costs more than the rest
_REFUSED = {"ä": 6}


@pytest.fixture
def calls(state: State, tmp_path: Path) -> list[list[str]]:
    state.run("register", "a", "b")
    return _calls(tmp_path)


def _calls(folder: Path) -> list[list[str]]:
    (folder / "list").write_text("device_id,name\n" + "".join(f"n-{number},Größe\n" for number in range(3)))
    return [call.replace("X/", f"{folder}/").split() for line in VERBS.splitlines() for call in line.split("|") if call]


def _expected(words: list[str]) -> int:
    return next((code for word, code in _REFUSED.items() if word in words), 0)


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "> /dev/full 2> /dev/full"])
def test_streams_that_take_nothing(state: State, calls: list[list[str]], streams: str) -> None:
    """What is lost with a full stdout is told by exit 8; nobody reads one that is closed."""
    script = 'run() { "$PYTHON" -m iotonboard "$@" ' + streams + "; echo $? >&3; }\n"
    calls = [words for words in calls if words[0] in _STREAMED]
    script += "exec 3>&1\n" + "\n".join("run " + " ".join(words) for words in calls)
    done = run_tool("bash", "-c", script, env=program_environment(state=state, env={"PYTHON": sys.executable}))
    codes = [int(code) for code in done.stdout.split()]
    for words, code in zip(calls, codes, strict=True):
        assert code in ({_expected(words), 8} if "full" in streams else {_expected(words)}), words
    assert {"a", "new", "n-0", "n-2"} <= {one["device_id"] for one in state.run("list", "--json").json_lines}
    state.run("health", "--deep")


# -- what a machine lacks ---------------------------------------------------------------------------------------------

ENVIRONMENTS = {
    "no home": {"HOME": None},
    "a home that is not there": {"HOME": "/not/there"},
    "no folder for what is temporary": {"TMPDIR": "/not/there"},
    "no locale": {"LC_ALL": "C", "PYTHONUTF8": None},
    "streams of ASCII": {"PYTHONIOENCODING": "ascii"},
}


@pytest.mark.parametrize("lacking", ENVIRONMENTS)
def test_an_environment_that_lacks_something(state: State, calls: list[list[str]], lacking: str) -> None:
    for words in calls if "PYTHON" not in str(ENVIRONMENTS[lacking]) else calls[:7]:  # these start Python anew
        state.run(*words, env=ENVIRONMENTS[lacking], expect=_expected(words))


def test_few_open_files(state: State, calls: list[list[str]]) -> None:
    for words in calls:
        limit = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (24, 24))
        state.run(*words, before=limit, expect=_expected(words))
    for words in calls[:4]:
        result = state.run(*words, before=partial(resource.setrlimit, resource.RLIMIT_NOFILE, (8, 8)), expect=None)
        assert result.exit_code in {0, 3, 8}, result
        assert "Traceback" not in result.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="works as another user: needs root")
@pytest.mark.parametrize("processes", [None, 1])
def test_a_user_without_a_name_or_processes(pristine: State, folder: Path, processes: int | None) -> None:
    state = pristine.copy_to(folder)
    for one in (folder, *folder.rglob("*")):
        os.chown(one, _STRANGER, _STRANGER)
    limit = partial(resource.setrlimit, resource.RLIMIT_NPROC, (processes, processes)) if processes else bool
    stranger = in_turn(limit, partial(become, _STRANGER))
    own = State(state.path, state.passphrase_file)
    own.run("register", "a", "b", before=stranger)
    for words in _calls(folder):
        own.run(*words, before=stranger, env={"HOME": "/root", "TMPDIR": "/root"}, expect=_expected(words))
