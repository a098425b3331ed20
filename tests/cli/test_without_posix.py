"""Nothing rules out Windows: calls that only POSIX systems have are taken away, and a whole life goes on without them.

No Windows runs here; what the standard library itself does there is not tried.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.program import State, program_environment

# What the standard library needs of them here is loaded before they go.
WITHOUT = """
import os, signal, sys
import pyzipper, random, shutil, sqlite3, subprocess, tempfile, typer
for name in (
    "chown fchmod fchown fork geteuid getgid getgroups getuid getxattr listxattr mkfifo pidfd_open posix_fadvise"
    " setegid seteuid setgid setgroups setuid setxattr statvfs uname"
    " O_CLOEXEC O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH"
).split():
    if hasattr(os, name):
        delattr(os, name)
os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks = set(), set(), set()
for name in ("fcntl", "grp", "pwd", "resource", "syslog", "termios"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGPIPE"):
    delattr(signal, name)
from iotonboard.cli import main
main()
"""


def test_a_life_without_what_only_posix_has(state: State, tmp_path: Path) -> None:
    (tmp_path / "dest").mkdir()
    environment = program_environment(state=state)

    def run(*words: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT, *map(str, words)],
            env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("register", "press-17", "oven-4")
    run("export", "oven-4", "--format", "p12", "--out", "oven-4.p12")
    run("deliver", "oven-4", "--minutes", "5")
    run("broker", "issue", "localhost", "--plain-key")
    run("revoke", "press-17")
    run("config", "set", "download_expiry_minutes", "20")
    run("pack", "--out", "package")
    run("apply", "package", "--ca", state.ca_cert, "--dest", "dest")
    assert (tmp_path / "dest" / "crl.pem").read_bytes() == state.crl.read_bytes()
    run("backup", "backup.zip")
    run("restore", "backup.zip", "--state", "restored", "--crl", "dest/crl.pem")
    assert "press-17\trevoked" in run("list", "--state", "restored")
