"""Make the database, CA key and passphrase of a small state, in the schema of today: ``state-vN/`` beside this file.

    python tests/vectors/make_state.py

A real state is made with the commands below, under faketime so that it lies in the past, and its database is written
out as SQL. It is run once for each version of the schema, before the next one begins: what stands there is what users
have, and tests/crash/test_versions.py opens it with every later version of the program.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEGIN = "2026-01-05 12:00:00"
YEARS = "30000"  # days: the test must not expire
COMMANDS = (
    ("init-ca", "--common-name", "Plant CA", "--validity-days", "36000"),
    ("register", "press-1", "--name", "first", "--set", "line=4", "--validity-days", YEARS),
    ("register", "press-2", "press-3", "press-4", "--validity-days", YEARS),
    ("register", "press-5", "--topic", "read:plant/config", "--validity-days", YEARS),
    ("broker", "issue", "broker.test", "10.0.0.1"),
    ("revoke", "press-2", "--reason", "keyCompromise"),
    ("revoke", "press-3", "--reason", "certificateHold"),
    ("renew", "press-4", "--validity-days", YEARS),
    ("deliver", "press-1"),
    ("confirm", "press-1"),
)


def main() -> None:
    sys.path.insert(0, str(HERE.parent))
    from iotonboard.store.schema.migrations import MIGRATIONS

    from support.program import PROGRAM, State, program_environment, write_key_file
    from support.tools import need

    target = HERE / f"state-v{len(MIGRATIONS)}"
    target.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        state = State(Path(folder, "state"), target / "key-file")
        write_key_file(state.passphrase_file)
        for words in COMMANDS:
            argv = [need("faketime"), BEGIN, *PROGRAM, *words]
            subprocess.run(argv, env=program_environment(state=state), cwd=folder, check=True)
        shutil.copy(state.certs / "ca.key", target / "ca.key")
        with contextlib.closing(sqlite3.connect(state.path / "devices.db")) as database:
            pragmas = [
                f"PRAGMA {name} = {database.execute(f'PRAGMA {name}').fetchone()[0]};"
                for name in ("user_version", "application_id")
            ]
            (target / "devices.sql").write_text("\n".join([*database.iterdump(), *pragmas]) + "\n")


if __name__ == "__main__":
    main()
