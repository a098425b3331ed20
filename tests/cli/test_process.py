"""Modules that wait until they are used: asked in a process of its own, as the program begins one."""

from __future__ import annotations

import subprocess
import sys

from support.program import program_environment


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
        "import sys, random\n"
        "print(type(sys.modules['random']).__name__)\n"
        "print(random.Random(5).random() == random.Random(5).random())\n"
        "print(type(sys.modules['random']).__name__)\n"
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
