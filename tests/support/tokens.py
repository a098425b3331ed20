"""Tokens of SoftHSM: a folder of its own for each test module, with a CA whose key lies in one."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.program import State, run_cli, write_key_file
from support.tools import missing, need

PIN, SO_PIN = "482915", "77112233"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
# CKA_OS_TOKENFLAGS as SoftHSM keeps it in the file of a token: attribute, kind of value, value.
_FLAGS = (0x8000534B).to_bytes(8) + (2).to_bytes(8)


_MAKE_KEYS = """
import sys
import pkcs11
from pkcs11 import Attribute, KeyType, MechanismFlag
module, pin, bits = sys.argv[1:]
with pkcs11.lib(module).get_token(token_label="station7").open(rw=True, user_pin=pin) as session:
    p384 = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: bytes.fromhex("06052b81040022")}, local=True
    )
    p384.generate_keypair(store=True, label="ca", id=b"1", capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY)
    both = MechanismFlag.DECRYPT | MechanismFlag.ENCRYPT
    session.generate_keypair(KeyType.RSA, int(bits), store=True, label="ca-vault", id=b"2", capabilities=both)
"""


@dataclass(frozen=True)
class TokenState(State):
    """A state whose CA key lies in a token; the passphrase file holds the PIN."""

    softhsm: Path
    module: str

    def run(self, *args: str | Path, **options: Any) -> Any:
        options["env"] = {"SOFTHSM2_CONF": str(self.softhsm / "softhsm2.conf"), **(options.get("env") or {})}
        return run_cli(*args, state=self, **options)

    @property
    def recovery(self) -> Path:
        """The file with the recovery passphrase."""
        return self.path.parent / "recovery"

    def uri(self, name: str = "ca", token: str = "station7") -> str:  # noqa: S107
        return f"pkcs11:token={token};object={name}?module-path={self.module}"

    def write(self, name: str, text: str) -> Path:
        """A file with secrets beside the state."""
        path = self.path.parent / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return path

    def copy_to(self, folder: Path) -> TokenState:
        """A copy of the state and of its token, which are then other ones."""
        shutil.copytree(self.path, folder / "state")
        shutil.copytree(self.softhsm / "tokens", folder / "softhsm" / "tokens")
        _configure(folder / "softhsm")
        shutil.copy2(self.recovery, folder / "recovery")
        key_file = Path(shutil.copy2(self.passphrase_file, folder / "pin"))
        return TokenState(folder / "state", key_file, folder / "softhsm", self.module)

    def add_token(self, label: str, pin: str = PIN) -> None:
        """Put one more token beside the first."""
        words = ["--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", SO_PIN]
        env = {**os.environ, "SOFTHSM2_CONF": str(self.softhsm / "softhsm2.conf")}
        subprocess.run([need("softhsm2-util"), *words], env=env, check=True, capture_output=True)

    def make_keys(self, vault_bits: int = 2048) -> None:
        """Make the CA's keys with the library alone, as another tool would: EC to sign, RSA for the vault."""
        env = {**os.environ, "SOFTHSM2_CONF": str(self.softhsm / "softhsm2.conf")}
        words = [self.module, PIN, str(vault_bits)]
        subprocess.run([sys.executable, "-c", _MAKE_KEYS, *words], env=env, check=True)

    def set_flags(self, flags: int) -> None:
        """Let the first token tell what a card tells after wrong PINs: SoftHSM itself never blocks one."""
        (path,) = (self.softhsm / "tokens").glob("*/token.object")
        content = path.read_bytes()
        at = content.index(_FLAGS) + len(_FLAGS)
        before = int.from_bytes(content[at : at + 8])
        path.write_bytes(content[:at] + (before | flags).to_bytes(8) + content[at + 8 :])

    def unplug(self) -> None:
        (self.softhsm / "tokens").rename(self.softhsm / "away")
        (self.softhsm / "tokens").mkdir()

    def plug_in(self) -> None:
        (self.softhsm / "tokens").rmdir()
        (self.softhsm / "away").rename(self.softhsm / "tokens")


def unplug_after(folder: Path, signatures: int) -> Callable[[], None]:
    """For ``before`` of a call: the token goes away at the n-th signature of a process, and stays away."""
    return functools.partial(_unplug_after, str(folder), signatures)


def _unplug_after(folder: str, signatures: int) -> None:
    from iotonboard.ca.token_key import TokenSigner

    sign, left = TokenSigner.sign, [signatures]

    def counted(*args: Any) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            with contextlib.suppress(OSError):
                os.rename(f"{folder}/tokens", f"{folder}/away")
                os.mkdir(f"{folder}/tokens")
        return sign(*args)

    TokenSigner.sign = counted  # type: ignore[method-assign]


def _configure(folder: Path) -> None:
    lines = (
        f"directories.tokendir = {folder / 'tokens'}",
        "objectstore.backend = file",
        "log.level = ERROR",
        "slots.removable = false",
    )
    (folder / "softhsm2.conf").write_text("\n".join(lines) + "\n")


def blank(folder: Path) -> TokenState:
    """A token with nothing in it, and the place for a state."""
    need("softhsm2-util")
    pytest.importorskip("pkcs11")
    module = next((path for path in _MODULES if Path(path).is_file()), None)
    if module is None:
        missing("the module of SoftHSM is not where it is looked for (package softhsm2 on Debian)")
    (folder / "softhsm" / "tokens").mkdir(parents=True)
    _configure(folder / "softhsm")
    state = TokenState(folder / "state", folder / "pin", folder / "softhsm", str(module))
    state.write("pin", PIN)
    write_key_file(state.recovery)
    state.add_token("station7")
    return state


def found(state: TokenState, *options: str | Path, **more: Any) -> Any:
    """Make the CA with new keys in the token."""
    key = ("init-ca", "--key", state.uri(), "--generate")
    return state.run(*key, "--recovery-passphrase-file", state.recovery, *options, **more)
