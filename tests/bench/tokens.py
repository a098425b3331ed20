"""One ``register`` with the CA key in a token of SoftHSM, beside the same with a key in a file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from measure import PROGRAM, Case, Line, Spent, State, environment, pair, process, skipped

_MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
_PIN = "482915"


def token(state: State, folder: Path) -> list[Case]:
    """The line of a token; ``state`` has its key in a file."""
    what, peer, required = "`register`, CA key in a token (SoftHSM)", "the same, key in a file", "<= 2.20"
    module = next((path for path in _MODULES if Path(path).is_file()), None)
    if module is None or not shutil.which("softhsm2-util"):
        return [skipped("token", what, peer, "not installed (Debian: softhsm2)")]

    def measure(runs: int) -> Line:
        env = _token(folder / "softhsm")
        uri = f"pkcs11:token=bench;object=ca?module-path={module}"
        recovery = ("--generate-recovery-file", folder / "softhsm" / "recovery")
        process(*PROGRAM, "init-ca", "--key", uri, "--generate", *recovery, env=env)
        process(*PROGRAM, "config", "set", "acl.style", "pattern", env=env)

        def ours() -> Spent:
            return process(*PROGRAM, "register", state.fresh(), env=env)

        return pair("token", what, peer, required, ours, lambda: state.call("register", state.fresh())).measure(runs)

    return [Case("token", measure)]


def _token(folder: Path) -> dict[str, str]:
    """A new token; returns what a call needs to use it."""
    (folder / "tokens").mkdir(parents=True)
    conf, pin = folder / "softhsm2.conf", folder / "pin"
    conf.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    pin.write_text(f"{_PIN}\n")
    pin.chmod(0o600)
    env = {
        "SOFTHSM2_CONF": str(conf),
        "IOTONBOARD_STATE": str(folder / "state"),
        "IOTONBOARD_PASSPHRASE_FILE": str(pin),
    }
    words = ["--init-token", "--free", "--label", "bench", "--pin", _PIN, "--so-pin", "77112233"]
    subprocess.run(["softhsm2-util", *words], env=environment(**env), check=True, capture_output=True)
    return env
