"""Programs that users would pick instead. One that is not installed gives a line with the reason.

Debian has easy-rsa, golang-cfssl, gnutls-bin and openssl; the two from PyPI are installed into environments of
their own below the folder of ``--peers-dir``, never beside the project.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from batches import Fresh
from measure import Case, Run, Spent, State, pair, process, skipped

ONE = "`register`, one EC device with bundle"
CFSSL = "Debian: golang-cfssl"
Prepare = Callable[[str, Path], Run]  # of the program and a folder with a CA
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def make_ca(folder: Path) -> Path:
    """A folder with an EC CA in ``ca.key`` and ``ca.crt``, made once."""
    if not folder.exists():
        folder.mkdir()
        process("openssl", "req", "-x509", *_CURVE, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=bench",
                cwd=folder)  # fmt: skip
    return folder


def one_device(state: State, folder: Path, peers: Path | None) -> list[Case]:
    """One device with each peer, beside one ``register`` as a whole process."""

    def beside(name: str, peer: str, required: str, package: str, program: str | Path | None, prepare: Prepare) -> Case:
        if program is None:
            return skipped(name, ONE, peer, f"not installed ({package})")
        theirs = _prepared(lambda: prepare(str(program), make_ca(folder / "peer-ca")))
        return pair(name, ONE, peer, required, lambda: state.call("register", state.fresh()), theirs)

    find, nrfcloud = shutil.which, _from_pypi("nrfcloud-utils", "create_device_credentials", peers)
    return [
        beside("easy-rsa", "easy-rsa `build-client-full`", "<= 0.75", "Debian: easy-rsa", _easy_rsa(), _with_easy_rsa),
        beside("openssl", "openssl `req`, `x509 -req`", "-", "Debian: openssl", find("openssl"), _with_openssl),
        beside("cfssl", "cfssl `gencert`", "-", CFSSL, find("cfssl"), lambda _, ca: cfssl_gencert(ca)),
        beside(
            "certtool", "certtool, key and certificate", "-", "Debian: gnutls-bin", find("certtool"), _with_certtool
        ),
        beside("nrfcloud", "nrfcloud-utils `create_device_credentials`", "-", "--peers-dir", nrfcloud, _with_nrfcloud),
    ]


def _prepared(prepare: Callable[[], Run]) -> Run:
    """What is prepared at its first run."""
    once = cache(prepare)

    def run() -> Spent:
        return once()()

    return run


def many_devices(state: State, folder: Path, peers: Path | None, count: int) -> list[Case]:
    """A batch with bundles beside esp-matter-mfg-tool, which makes key, certificate and partition for each device."""
    what, peer = f"`register --count {count}`, EC with AES bundles", "esp-matter-mfg-tool"
    program = _from_pypi(peer, peer, peers)
    if program is None:
        return [skipped("esp", what, peer, "not installed (--peers-dir)")]
    place, fresh = folder / "esp", Fresh(state, folder)
    numbers = iter(range(1000))
    options = "--vendor-id 0xFFF2 --product-id 0x8001 --vendor-name B --product-name P --hw-ver 1 --hw-ver-str 1 --pai"
    files = "-lt 365 -k pai.key -c pai.pem -cd cd.der"

    def prepare() -> Run:
        place.mkdir()
        (place / "pai.cnf").write_text(_PAI)
        (place / "cd.der").write_bytes(b"x")
        process("openssl", "req", "-x509", *_CURVE, "-keyout", "pai.key", "-out", "pai.pem", "-config", "pai.cnf",
                "-days", "3000", cwd=place)  # fmt: skip
        return run

    def run() -> Spent:
        out = f"out-{next(numbers)}"
        return process(program, "-n", str(count), *options.split(), *files.split(), "--outdir", out, cwd=place)

    return [
        pair("esp", what, peer, "<= 0.167 (6 x)", lambda: fresh.register("--count", str(count)), _prepared(prepare),
             most_runs=3)
    ]  # fmt: skip


# An issuer as esp-matter-mfg-tool wants it. The first "1." of an object identifier is a counter for OpenSSL.
_PAI = """[req]
distinguished_name = name
prompt = no
x509_extensions = extensions
[name]
CN = Bench
1.1.3.6.1.4.1.37244.2.1 = FFF2
1.1.3.6.1.4.1.37244.2.2 = 8001
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
"""


def _from_pypi(package: str, program: str, peers: Path | None) -> Path | None:
    """The program in an environment of its own; ``None`` when that cannot be made."""
    if peers is None:
        return None
    place = peers.resolve() / package
    if not (place / "bin" / program).exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", package], check=False)
    found = place / "bin" / program
    return found if found.exists() else None


def _easy_rsa() -> str | None:
    packaged = "/usr/share/easy-rsa/easyrsa"
    return shutil.which("easyrsa") or (packaged if Path(packaged).exists() else None)


def _with_easy_rsa(program: str, ca: Path) -> Run:
    env = {"EASYRSA_BATCH": "1", "EASYRSA_PKI": str(ca / "pki"), "EASYRSA_ALGO": "ec", "EASYRSA_CURVE": "prime256v1"}
    process(program, "init-pki", env=env, cwd=ca)
    process(program, "build-ca", "nopass", env={**env, "EASYRSA_REQ_CN": "bench"}, cwd=ca)
    numbers = iter(range(10_000))
    return lambda: process(program, "build-client-full", f"d{next(numbers)}", "nopass", env=env, cwd=ca)


def _script(ca: Path, text: str) -> Run:
    return lambda: process("sh", "-ec", text, cwd=ca)


def _with_openssl(program: str, ca: Path) -> Run:
    key = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout o.key -out o.csr -subj /CN=d"
    return _script(ca, f"{program} {key}; {program} x509 -req -in o.csr -CA ca.crt -CAkey ca.key -out o.crt -days 365")


def cfssl_gencert(ca: Path) -> Run:
    """One process that makes a key and a certificate, with the CA in this folder."""
    (ca / "cfssl.json").write_text('{"CN": "d", "key": {"algo": "ecdsa", "size": 256}}')
    return lambda: process("cfssl", "gencert", "-ca", "ca.crt", "-ca-key", "ca.key", "cfssl.json", cwd=ca)


def _with_certtool(program: str, ca: Path) -> Run:
    (ca / "template").write_text("cn = d\nexpiration_days = 365\ntls_www_client\nsigning_key\n")
    sign = "--generate-certificate --load-ca-certificate ca.crt --load-ca-privkey ca.key --template template"
    return _script(
        ca, f"{program} --generate-privkey --key-type ecdsa --outfile c.key; {program} {sign} --load-privkey c.key"
    )


def _with_nrfcloud(program: str, ca: Path) -> Run:
    return lambda: process(program, "--ca", "ca.crt", "--ca-key", "ca.key", "-c", "NO", "--cn", "d", "-p", ".",
                           "-f", "nrf", cwd=ca)  # fmt: skip
