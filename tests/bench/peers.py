"""Programs that users would pick instead. One that is not installed gives a line with the reason.

Debian has easy-rsa, golang-cfssl, gnutls-bin and openssl; the two from PyPI are installed into environments of
their own below the folder of ``--peers-dir``, never beside the project.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from batches import Fresh
from measure import Line, Run, State, pair, process, skipped

ONE = "`register`, one EC device with bundle"
_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def one_device(state: State, folder: Path, peers: Path | None, runs: int) -> Iterator[Line]:
    """One device with each peer, beside one ``register`` as a whole process."""
    ca = folder / "peer-ca"
    ca.mkdir()
    process("openssl", "req", "-x509", *_CURVE, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=bench",
            cwd=ca)  # fmt: skip
    known: list[tuple[str, str, str | Path | None, Callable[[str, Path], Run]]] = [
        ("easy-rsa `build-client-full`", "<= 0.75", _easy_rsa(), _with_easy_rsa),
        ("openssl `req`, `x509 -req`", "-", shutil.which("openssl"), _with_openssl),
        ("cfssl `gencert`", "-", shutil.which("cfssl"), _with_cfssl),
        ("certtool, key and certificate", "-", shutil.which("certtool"), _with_certtool),
        ("nrfcloud-utils `create_device_credentials`", "-",
         _from_pypi("nrfcloud-utils", "create_device_credentials", peers), _with_nrfcloud),
    ]  # fmt: skip
    for name, required, program, prepare in known:
        if program is None:
            yield skipped(ONE, name, "not installed" if "nrfcloud" not in name else "no --peers-dir, or no index")
        else:
            theirs = prepare(str(program), ca)
            yield pair(ONE, name, required, lambda: state.call("register", state.fresh()), theirs, runs)


def many_devices(state: State, folder: Path, peers: Path | None, count: int, runs: int) -> Iterator[Line]:
    """A batch with bundles beside esp-matter-mfg-tool, which makes key, certificate and partition for each device."""
    what, peer = f"`register --count {count}`, EC with AES bundles", "esp-matter-mfg-tool"
    program = _from_pypi(peer, peer, peers)
    if program is None:
        yield skipped(what, peer, "no --peers-dir, or no index")
        return
    place = folder / "esp"
    place.mkdir()
    (place / "pai.cnf").write_text(_PAI)
    (place / "cd.der").write_bytes(b"x")
    process("openssl", "req", "-x509", *_CURVE, "-keyout", "pai.key", "-out", "pai.pem", "-config", "pai.cnf",
            "-days", "3000", cwd=place)  # fmt: skip
    options = "--vendor-id 0xFFF2 --product-id 0x8001 --vendor-name B --product-name P --hw-ver 1 --hw-ver-str 1 --pai"
    files = "-lt 365 -k pai.key -c pai.pem -cd cd.der"
    numbers = iter(range(1000))
    fresh = Fresh(state, folder)
    yield pair(what, peer, "<= 0.167 (6 x)", lambda: fresh.register("--count", str(count)),
               lambda: process(program, "-n", str(count), *options.split(), *files.split(), "--outdir",
                               f"out-{next(numbers)}", cwd=place), runs)  # fmt: skip


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


def _with_cfssl(program: str, ca: Path) -> Run:
    (ca / "cfssl.json").write_text('{"CN": "d", "key": {"algo": "ecdsa", "size": 256}}')
    return _script(ca, f"{program} gencert -ca ca.crt -ca-key ca.key cfssl.json > cfssl.out")


def _with_certtool(program: str, ca: Path) -> Run:
    (ca / "template").write_text("cn = d\nexpiration_days = 365\ntls_www_client\nsigning_key\n")
    sign = "--generate-certificate --load-ca-certificate ca.crt --load-ca-privkey ca.key --template template"
    return _script(
        ca, f"{program} --generate-privkey --key-type ecdsa --outfile c.key; {program} {sign} --load-privkey c.key"
    )


def _with_nrfcloud(program: str, ca: Path) -> Run:
    return lambda: process(program, "--ca", "ca.crt", "--ca-key", "ca.key", "-c", "NO", "--cn", "d", "-p", ".",
                           "-f", "nrf", cwd=ca)  # fmt: skip
