"""Find the programs of others that the tests hold this one against."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

# The program, other names it goes by, and the Debian package that holds it.
_TOOLS = {
    "bsdtar": ((), "libarchive-tools"),
    "curl": ((), "curl"),
    "dbus-daemon": ((), "dbus-daemon"),
    "certtool": (("gnutls-certtool",), "gnutls-bin"),
    "easyrsa": ((), "easy-rsa"),
    "eapol_test": ((), "eapoltest"),
    "faketime": ((), "faketime"),
    "freeradius": (("radiusd",), "freeradius"),
    "7zz": (("7z", "7zzs"), "7zip"),
    "mosquitto": ((), "mosquitto"),
    "mosquitto_pub": ((), "mosquitto-clients"),
    "mosquitto_sub": ((), "mosquitto-clients"),
    "node": (("nodejs",), "nodejs"),
    "openssl": ((), "openssl"),
    "softhsm2-util": ((), "softhsm2"),
    "ssh-keygen": ((), "openssh-client"),
    "strace": ((), "strace"),
    "swtpm": ((), "swtpm"),
    "tpm2-abrmd": ((), "tpm2-abrmd"),
    "tpm2_ptool": ((), "libtpm2-pkcs11-tools"),
    "bash": ((), "bash"),
    "git": ((), "git"),
    "gcc": ((), "gcc"),
    "g++": ((), "g++"),
    "keytool": ((), "default-jre-headless"),
    "chromium": ((), "chromium"),
    "pdftotext": ((), "poppler-utils"),
    "pdftoppm": ((), "poppler-utils"),
    "pdfinfo": ((), "poppler-utils"),
}
_SEARCH_PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/share/easy-rsa", "/usr/local/sbin", "/usr/sbin", "/opt/homebrew/sbin"]
)


def find(tool: str) -> str | None:
    """The path of a program of _TOOLS, or None; of a broker the one that ``MOSQUITTO`` names, where it is set."""
    if tool == "mosquitto" and (named := os.environ.get("MOSQUITTO")):
        return shutil.which(named)
    aliases, _ = _TOOLS[tool]
    for name in (tool, *aliases):
        if path := shutil.which(name, path=_SEARCH_PATH):
            return path
    return None


def need(tool: str) -> str:
    """The path of a program; without it the test is skipped, or fails where CI is set."""
    path = find(tool)
    if path is None:
        missing(f"{tool} is not installed (package {_TOOLS[tool][1]} on Debian)")
    return path


def need_module(name: str) -> Any:
    """A Python module of others; without it the tests of the file are skipped, or fail where CI is set."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        missing(f"the Python module {name} is not installed")


def missing(reason: str) -> NoReturn:
    """Skip a test for which this machine lacks something; where CI is set, that fails it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def run_tool(
    *argv: str | Path, expect: int | None = 0, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of others to its end; ``expect=None`` accepts any exit code.

    The first word is looked up among the tools above when it has no slash in it.
    """
    program = str(argv[0]) if os.sep in str(argv[0]) else need(str(argv[0]))
    result = subprocess.run(
        [program, *map(str, argv[1:])],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
        cwd=cwd,
        check=False,
        timeout=120,
    )
    if expect is not None and result.returncode != expect:
        words = " ".join(map(str, argv))
        pytest.fail(f"exit {result.returncode}, not {expect}: {words}\n{result.stdout}{result.stderr}")
    return result


def run_linter(name: str, *args: str | Path) -> list[str]:
    """Run one of pkilint's linters in this process and return its findings of weight, each as code and message."""
    linter = need_module(f"pkilint.bin.{name}")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        linter.main(["lint", "-s", "NOTICE", "-f", "JSON", *map(str, args)])
    return [
        f"{finding['code']} {finding.get('message')}"
        for group in json.loads(out.getvalue())["results"]
        for finding in group["finding_descriptions"]
    ]
