"""How much a command asks its database: counted, not timed. Who adds a question to the way of each device says why."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from support.program import State, program_environment

# The program, with each statement of its own told at the end; triggers and savepoints are none.
COUNTED = """
import collections, os, sqlite3, sys
connect, kinds = sqlite3.connect, collections.Counter()

def traced(*args, **values):
    connection = connect(*args, **values)
    connection.set_trace_callback(lambda statement: kinds.update(statement.split(None, 1)[:1]))
    return connection

sqlite3.connect, os._exit = traced, sys.exit
from iotonboard.cli import main
try:
    main(sys.argv[1:])
finally:
    print("counted:", *(f"{kind}={count}" for kind, count in kinds.items()), file=sys.stderr)
"""


def counted(state: State, words: str) -> Counter[str]:
    """How many statements of each kind one call runs, as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, *words.split()],
        env=program_environment(state=state),
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("counted:")]
    return Counter({kind: int(count) for kind, _, count in (pair.partition("=") for pair in line.split()[1:])})


@pytest.mark.parametrize(
    ("words", "questions", "transactions"),
    [
        ("register press-3", 22, 2),  # the record, and what was published
        ("register press-3 --topic read:spare/1", 23, 2),
        ("revoke press-1", 56, 3),  # recorded before anything is signed
        ("gen-crl", 39, 2),
        ("sync-acl", 19, 2),
        ("list", 8, 0),
    ],
)
def test_a_command_asks_few_questions_in_few_transactions(
    state: State, words: str, questions: int, transactions: int
) -> None:
    state.register("press-1", "press-2")
    state.run("gen-crl")  # the list of a copied state is looked at once
    asked = counted(state, words)
    assert asked["SELECT"] + asked["WITH"] <= questions
    assert asked["BEGIN"] == asked["COMMIT"] == transactions
