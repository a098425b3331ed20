"""No passphrase, private key or bundle password in an output that did not ask for it, nor in the clear on the disk."""

from __future__ import annotations

import base64
import contextlib
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from support.client import open_bundle
from support.program import PROGRAM, State, program_environment, run_cli
from support.tools import run_tool

TYPED = "correct horse battery staple"


def key_forms(pem: bytes, password: bytes | None = None) -> list[bytes]:
    """The secret of a private key in the forms in which it could slip out."""
    key: Any = serialization.load_pem_private_key(pem, password)
    pkcs8 = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    numbers = key.private_numbers().private_value.to_bytes(32)
    body = base64.b64encode(pkcs8)
    return [numbers, numbers.hex().encode(), numbers.hex().upper().encode(), pkcs8, body[40:100]]


def secrets_of(state: State, registered: list[dict[str, Any]]) -> dict[str, bytes]:
    """Every secret of a state, by name."""
    passphrase = state.passphrase_file.read_bytes().strip()
    found = {"passphrase": passphrase}
    ca = key_forms((state.certs / "ca.key").read_bytes(), passphrase)
    found |= {f"CA key, form {number}": form for number, form in enumerate(ca)}
    for one in registered:
        password = one["bundle_password"]
        found[f"password of {one['device_id']}"] = password.encode()
        found[f"password of {one['device_id']}, bare"] = password.replace("-", "").encode()
        key = open_bundle(Path(one["bundle"]), password)["device.key"]
        for number, form in enumerate(key_forms(key)):
            found[f"key of {one['device_id']}, form {number}"] = form
    return found


def check_absent(secrets: dict[str, bytes], content: bytes, where: str) -> None:
    for name, secret in secrets.items():
        assert secret not in content, f"{name} in {where}"


@pytest.fixture
def registered(state: State) -> list[dict[str, Any]]:
    return state.register("press-1", "press-2", "press-3")


OUTPUTS = [
    ("show", "press-1"),
    ("list",),
    ("revoke", "press-2", "--reason", "keyCompromise"),
    ("register", "press-1"),
    ("register", "press-1", "--if-exists", "skip"),
    ("export", "press-1", "--format", "pem", "--out", "exported"),
    ("gen-crl",),
    ("sync-acl",),
    ("health",),
    ("config", "show"),
    ("broker", "issue", "broker.example"),
    ("renew", "press-1", "--passwords", "passwords.csv"),
    ("ca", "rollover", "begin"),
    ("init-ca",),
    ("show", "press-404"),
]


@pytest.mark.parametrize("words", OUTPUTS, ids=" ".join)
def test_no_output_holds_a_secret(
    state: State, registered: list[dict[str, Any]], tmp_path: Path, words: tuple[str, ...]
) -> None:
    secrets = secrets_of(state, registered)
    passphrase = {
        "IOTONBOARD_PASSPHRASE": state.passphrase_file.read_text().strip(),
        "IOTONBOARD_PASSPHRASE_FILE": None,
    }
    for number, loudness in enumerate((("--verbose",), ("--verbose", "--json"))):
        (tmp_path / str(number)).mkdir()
        result = state.run(*words, *loudness, env=passphrase, expect=None, cwd=tmp_path / str(number))
        assert result.exit_code in (0, 4, 5), result
        check_absent(secrets, (result.stdout + result.stderr).encode(), " ".join(words))


def test_a_batch_with_a_password_file_shows_no_password(state: State, tmp_path: Path) -> None:
    result = state.run(
        "register", "press-1", "press-2", "--passwords", tmp_path / "passwords.csv", "--json", "--verbose"
    )
    rows = (tmp_path / "passwords.csv").read_text().splitlines()[1:]
    assert len(rows) == 2
    for row in rows:
        assert row.split(",")[-1] not in result.stdout + result.stderr


def test_nothing_on_the_disk_holds_a_secret(state: State, registered: list[dict[str, Any]]) -> None:
    """After everything was done once: the whole state, SQLite's side files and free pages included."""
    secrets = secrets_of(state, registered)
    broker = state.json("broker", "issue", "broker.example")
    for name, value in broker.items():
        if "password" in name:
            secrets["broker key's password"] = value.encode()
    state.register("press-1", "--if-exists", "reissue")
    state.run("revoke", "press-2")
    state.run("gen-crl")
    state.run("health")
    files = [path for path in state.path.rglob("*") if path.is_file()]
    assert len(files) > 12
    for path in files:
        check_absent(secrets, path.read_bytes(), str(path.relative_to(state.path)))
    for path in state.path.rglob("*.key"):
        assert path.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----"), path


def test_files_and_folders_are_private(state: State, registered: list[dict[str, Any]]) -> None:
    state.run("broker", "issue", "broker.example", "--plain-key")
    for path in [state.path, *state.path.rglob("*")]:
        mode = path.stat().st_mode & 0o777
        if path.is_dir():
            assert mode == 0o700, f"{path}: {mode:o}"
        elif path.suffix in {".key", ".zip", ".toml"} or ".db" in path.name:
            assert mode == 0o600, f"{path}: {mode:o}"
        else:
            assert mode & 0o022 == 0, f"{path}: {mode:o}"


def test_files_are_private_whatever_the_umask_says(tmp_path: Path) -> None:
    command = 'umask 0; exec "$@"'
    env = program_environment(state=tmp_path / "state")
    for words in (
        ("init-ca", "--generate-key-file", tmp_path / "key"),
        ("register", "press-1", "--passphrase-file", tmp_path / "key"),
    ):
        subprocess.run(["/bin/sh", "-c", command, "sh", *PROGRAM, *words], env=env, check=True, capture_output=True)
    for path in [tmp_path / "key", *tmp_path.joinpath("state").rglob("*.key"), tmp_path / "state" / "devices.db"]:
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_nothing_secret_is_left_in_the_temporary_folder(state: State, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    env = {name: str(tmp_path / "tmp") for name in ("TMPDIR", "TEMP", "TMP")}
    state.register("press-1", env=env)
    state.run("export", "press-1", "--format", "pem", "--out", tmp_path / "out", env=env)
    state.run("revoke", "press-1", env=env)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_no_secret_is_ever_an_argument(state: State) -> None:
    """What a process is given as arguments can be read by everybody on the machine."""
    text = "".join(run_cli(verb, "--help").stdout for verb in ("init-ca", "register", "revoke", "export"))
    for option in ("--passphrase ", "--password ", "--pin "):
        assert option not in text
    state.run("register", "press-1", "--passphrase", "x", expect=2)


DEFECTIVE = [
    ("register", "press-9"),
    ("register", "press-1", "--if-exists", "reissue"),
    ("gen-crl",),
    ("export", "press-1", "--out", "-"),
    ("broker", "issue", "broker.example"),
    ("renew", "press-1"),
    ("ca", "rollover", "begin"),
    ("ca", "passwd", "--new-passphrase-file", "NEW"),
    ("backup", "backup.zip"),
]


@pytest.mark.parametrize("words", DEFECTIVE, ids=" ".join)
def test_a_traceback_holds_no_secret(
    state: State, registered: list[dict[str, Any]], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A defect of the program prints a traceback: break it after the key was opened and look at all of it."""
    secrets = secrets_of(state, registered) | {"new passphrase": TYPED.encode()}
    (tmp_path / "new-passphrase").write_text(TYPED)
    words = tuple(str(tmp_path / "new-passphrase") if word == "NEW" else word for word in words)
    breaker = tmp_path / "sitecustomize.py"
    breaker.write_text(
        "import sys\n"
        "import traceback\n"
        "from iotonboard.state import state\n"
        "def broken(*a, **k):\n"
        "    raise RuntimeError('a defect')\n"
        "state.State.record = broken\n"
    )
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), program_environment()["PYTHONPATH"]])}
    result = state.run(*words, env=env, expect=1)
    assert "Traceback" in result.stderr
    assert "RuntimeError: a defect" in result.stderr
    check_absent(secrets, (result.stdout + result.stderr).encode(), "a traceback")


def test_no_secret_is_in_a_repr() -> None:
    """Objects that hold secrets print without them."""
    from iotonboard.ca.passphrase import parse_passphrase

    assert TYPED not in repr(parse_passphrase(TYPED.encode()))


# -- a terminal ---------------------------------------------------------------------------------------------


def on_a_terminal(state: Path, words: tuple[str, ...], typed: list[str]) -> tuple[int, str]:
    """Run the program with a terminal as stdin and stderr, and answer each prompt; all that the screen showed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=program_environment(state=state, env={"TERM": "xterm"}),
        start_new_session=True,
    )
    os.close(slave)
    screen = b""
    answers = [answer.encode() + b"\n" for answer in typed]
    with contextlib.suppress(OSError):  # Linux ends a terminal with EIO
        while True:
            if not select.select([master], [], [], 60)[0]:
                process.kill()
                pytest.fail(f"nothing happens: {screen.decode()}")
            chunk = os.read(master, 4096)
            if not chunk:
                break
            screen += chunk
            # The screen goes on after an answer: only a prompt that was not answered yet counts.
            if answers and screen.count(b": ") > len(typed) - len(answers):
                os.write(master, answers.pop(0))
    os.close(master)
    assert not answers, f"it asked too few times: {screen.decode()}"
    return process.wait(60), screen.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_a_terminal_is_asked_and_shows_no_passphrase(tmp_path: Path) -> None:
    code, screen = on_a_terminal(tmp_path / "state", ("init-ca",), [TYPED, TYPED])
    assert code == 0, screen
    assert TYPED not in screen
    code, screen = on_a_terminal(tmp_path / "state", ("register", "press-1"), [TYPED])
    assert code == 0, screen
    assert TYPED not in screen
    code, screen = on_a_terminal(tmp_path / "state", ("register", "press-2"), ["not it"])
    assert code == 7, screen
    assert "not it" not in screen
    key = tmp_path / "state" / "certs" / "ca.key"
    run_tool("openssl", "pkey", "-in", key, "-passin", f"pass:{TYPED}", "-noout")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_two_different_passphrases_make_no_ca(tmp_path: Path) -> None:
    code, _ = on_a_terminal(tmp_path / "state", ("init-ca",), [TYPED, "another"])
    assert code == 2
    assert not (tmp_path / "state" / "certs" / "ca.key").exists()
    run_cli("init-ca", state=tmp_path / "state", env={"IOTONBOARD_PASSPHRASE": TYPED})


def test_a_passphrase_that_is_soon_guessed_needs_a_word(state: State, tmp_path: Path) -> None:
    short = tmp_path / "short.pass"
    short.write_text("factory1\n")
    short.chmod(0o600)
    given = {"IOTONBOARD_PASSPHRASE_FILE": str(short)}
    assert "fewer than 12 characters" in run_cli("init-ca", state=tmp_path / "new", env=given, expect=6).stderr
    assert not (tmp_path / "new" / "certs" / "ca.key").exists()
    run_cli("init-ca", "--weak", state=tmp_path / "new", env=given)
    run_cli("register", "press-1", state=tmp_path / "new", env=given)  # opening asks for nothing
    words = ("ca", "passwd", "--new-passphrase-file", short)
    before = (state.certs / "ca.key").read_bytes()
    state.run(*words, expect=6)
    assert (state.certs / "ca.key").read_bytes() == before
    state.run(*words, "--weak")


@pytest.mark.skipif(os.name != "posix", reason="needs modes")
def test_a_passphrase_file_or_a_state_for_others_is_told(state: State) -> None:
    assert "others may use" not in state.run("gen-crl").stderr
    state.passphrase_file.chmod(0o640)
    told = state.run("gen-crl").stderr
    assert f"others may use '{state.passphrase_file}'; type: chmod 600" in told
    state.passphrase_file.chmod(0o600)
    state.path.chmod(0o770)
    assert f"others may use '{state.path}'; type: chmod 700" in state.run("list").stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_no_child_inherits_a_secret(state: State, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = tmp_path / "reload"
    script.write_text(f"#!/bin/sh\nenv > {seen}\n")
    script.chmod(0o755)
    state.run("config", "set", "broker.reload", f"command:{script}")
    passphrase = state.passphrase_file.read_text().strip()
    secret = {"IOTONBOARD_PASSPHRASE": passphrase, "IOTONBOARD_PASSPHRASE_FILE": None}
    url = {"DATABASE_URL": f"sqlite:///{state.path}/devices.db"}
    state.run("sync-acl", "--reload", env={**secret, **url}, expect=None)
    text = seen.read_text()
    assert passphrase not in text
    assert "DATABASE_URL" not in text


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_process_with_secrets_cannot_be_dumped() -> None:
    code = (
        "import ctypes, resource; from iotonboard.cli import process; prctl = ctypes.CDLL(None).prctl;"
        "process.begin(); print(*resource.getrlimit(resource.RLIMIT_CORE));"
        "print(prctl(3, 0, 0, 0, 0)); process.keep_secrets(); print(prctl(3, 0, 0, 0, 0))"
    )
    done = run_tool(sys.executable, "-c", code, env=program_environment())
    assert done.stdout.split() == ["0", "0", "1", "0"]
