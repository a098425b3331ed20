"""Modules that wait until they are used: asked in a process of its own, as the program begins one."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
        "import sys, csv, cryptography.x509\n"
        "loaded = lambda: [type(sys.modules[name]).__name__ for name in ('csv', 'cryptography.x509')]\n"
        "print(*loaded())\n"
        "from csv import reader\n"
        "print(*loaded())\n"
        "print(hasattr(cryptography.x509, 'no such'), cryptography.x509.Name([]).rfc4514_string() == '', *loaded())\n"
        "from cryptography.x509.oid import NameOID\n"
        "from cryptography import x509\n"
        "print(x509 is sys.modules['cryptography.x509'], x509.oid.NameOID is NameOID)\n"
    )
    assert run(code) == ["Deferred Deferred", "module Deferred", "False True module module", "True True"]


@pytest.mark.parametrize(
    ("module", "function", "call", "answer"),
    [
        ("difflib", "get_close_matches", "('regsiter', ['register'])", "['register']"),
        ("urllib.parse", "quote_from_bytes", "(b'a b', safe='')", "a%20b"),
        ("cryptography.hazmat.backends.openssl.backend", "backend", ".dsa_supported()", "True"),
        ("uuid", "UUID", "(int=5).hex", "00000000000000000000000000000005"),
        ("email.utils", "parseaddr", "('Ann <a@b.example>')", "('Ann', 'a@b.example')"),
    ],
)
def test_a_function_taken_out_of_such_a_module_works(module: str, function: str, call: str, answer: str) -> None:
    code = (
        f"import sys\nfrom {module} import {function} as taken\n"
        f"print(type(sys.modules['{module}']).__name__)\n"
        f"print(taken{call})\nprint(taken{call})\n"
        f"print(type(sys.modules['{module}']).__name__)\n"
    )
    assert run(code) == ["Deferred", answer, answer, "module"]


def test_every_module_that_waits_exists_and_can_be_loaded() -> None:
    """A name that is misspelt, or gone in a later version, would wait for nothing."""
    code = (
        "import importlib, sys\n"
        "for name in sorted(process.SELDOM):\n"
        "    if name not in sys.modules:\n"
        "        module = importlib.import_module(name)\n"
        "        assert hasattr(module, 'no such thing') is False\n"
        "        print(name if type(module) is not type(sys) or len(vars(module)) < 9 else '', end='')\n"
        "print()"
    )
    assert run(code) == [""]
