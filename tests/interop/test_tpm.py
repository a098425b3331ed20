"""A CA whose key lies in a TPM: swtpm, behind a resource manager, with the PKCS #11 module of tpm2-software."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.broker import free_port, wait_for
from support.program import State
from support.tools import missing, need

PIN, MODULE = "482915", "libtpm2_pkcs11.so"
_FOLDERS = ("/usr/lib/x86_64-linux-gnu/pkcs11", "/usr/lib/aarch64-linux-gnu/pkcs11", "/usr/lib64/pkcs11")
_TCTI = "tabrmd:bus_type=session"


@contextlib.contextmanager
def _running(words: list[str], env: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as file, subprocess.Popen(words, env=env, stdout=file, stderr=file) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """The module's path, and the environment with a TPM that has a token ``station7`` with an EC and an RSA key."""
    pytest.importorskip("pkcs11")
    programs = [need(name) for name in ("swtpm", "dbus-daemon", "tpm2-abrmd", "tpm2_ptool")]
    module = next((path for folder in _FOLDERS if (path := Path(folder, MODULE)).is_file()), None)
    if module is None:
        missing(f"{MODULE} is not where it is looked for (package libtpm2-pkcs11-1 on Debian)")
    folder = tmp_path_factory.mktemp("tpm")
    for name in ("tpm", "store"):
        (folder / name).mkdir()
    swtpm, bus, manager, ptool = programs
    port, address = free_port(), f"unix:path={folder}/bus"
    env = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": address, "TPM2TOOLS_TCTI": _TCTI}
    env |= {"TPM2_PKCS11_TCTI": _TCTI, "TPM2_PKCS11_STORE": str(folder / "store")}
    server = [f"--server=type=tcp,port={port}", f"--ctrl=type=tcp,port={port + 1}"]  # as who asks expects it
    words = [swtpm, "socket", "--tpm2", f"--tpmstate=dir={folder}/tpm", *server, "--flags=not-need-init,startup-clear"]
    with (
        _running(words, env, folder / "swtpm.log"),
        _running([bus, "--session", "--nofork", f"--address={address}"], env, folder / "bus.log"),
    ):
        wait_for((folder / "bus").exists, "the bus")
        tcti = f"--tcti=swtpm:host=127.0.0.1,port={port}"
        with _running([manager, "--session", "--allow-root", tcti], env, folder / "manager.log"):
            wait_for(lambda: _tool([ptool, "init", "--path", folder / "store"], env), "the TPM", pause_s=0.2)
            token = ["--label", "station7", "--userpin", PIN, "--path", folder / "store"]
            assert _tool([ptool, "addtoken", "--pid", "1", "--sopin", "77112233", *token], env)
            for kind, name in (("ecc256", "ca"), ("rsa2048", "ca-vault")):
                assert _tool([ptool, "addkey", "--algorithm", kind, "--key-label", name, *token], env)
            yield str(module), {key: env[key] for key in env.keys() - os.environ.keys() | {"DBUS_SESSION_BUS_ADDRESS"}}


def _tool(words: list[str | Path], env: dict[str, str]) -> bool:
    return subprocess.run(words, env=env, capture_output=True, timeout=60, check=False).returncode == 0


def test_a_life_with_a_tpm(tpm: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    module, env = tpm
    state = State(tmp_path / "state", tmp_path / "pin")
    state.passphrase_file.write_text(PIN + "\n")
    state.passphrase_file.chmod(0o600)
    uri = f"pkcs11:token=station7;object=ca?module-path={module}"
    state.run("init-ca", "--key", uri, "--generate-recovery-file", tmp_path / "recovery", env=env)
    (first, _) = state.register("press-1", "press-2", env=env)
    state.run("revoke", "press-2", env=env)
    assert state.json("bundle", "password", "press-1", env=env)["bundle_password"] == first["bundle_password"]
    (tmp_path / "wrong").write_text("999999\n")
    (tmp_path / "wrong").chmod(0o600)
    told = state.run("gen-crl", "--passphrase-file", tmp_path / "wrong", env=env, expect=7).stderr
    assert "PIN of the token 'station7' is wrong" in told
    state.run("gen-crl", env=env)
    (key,) = (check for check in state.json("health", env=env, expect=None)["checks"] if check["name"] == "ca-key")
    assert "cannot be copied out" in key["message"]
    assert state.run("health", "--deep", env=env).stdout.startswith("everything is as it was recorded")
