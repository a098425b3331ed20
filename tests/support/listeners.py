"""One real Mosquitto with a listener for each of many situations, and the smallest client that tells who gets in.

Each listener has its own CA file, list, certificate and key, so that one start, or one reload, tries them all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

from support.broker import is_ready, wait_for
from support.tools import need

FILES = ("ca.crt", "crl.pem", "broker.crt", "broker.key")
ACL = b"pattern readwrite devices/%u/#\n"
_CONNECT = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03try"  # MQTT 3.1.1, a clean session
_ACCEPTED = b"\x20\x02\x00\x00"
_LISTENER = """\
listener {port} 127.0.0.1
cafile {folder}/ca.crt
crlfile {folder}/crl.pem
certfile {folder}/broker.crt
keyfile {folder}/broker.key
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_username_as_clientid true
"""


class Listeners:
    """A broker in a folder of its own, with what ``put`` laid there: one listener for each name.

    ``files`` are those that each listener has at first, by name.
    """

    def __init__(self, folder: Path, *, files: Mapping[str, bytes], user: str = "root") -> None:
        self.folder = folder
        self.files = files
        self.user = user
        self.ports: dict[str, int] = {}
        self._names: dict[str, Path] = {}
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self.acl = folder / "acl"
        self.acl.write_bytes(ACL)
        self.conf = folder / "mosquitto.conf"
        self.log_file = folder / "mosquitto.log"

    def place(self, name: str) -> Path:
        """The folder of a listener; the first call makes the listener."""
        if name not in self._names:
            place = self._names[name] = self.folder / f"{len(self._names):03}"
            place.mkdir()
            self.put(name, self.files)
        return self._names[name]

    def put(self, name: str, files: Mapping[str, bytes | None]) -> None:
        """Write files of a listener anew; ``None`` removes one."""
        for file, content in files.items():
            path = self.place(name) / file
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)

    def start(self) -> bool:
        """Start the broker; say whether it stays up."""
        while True:
            self.write_conf()
            with self.log_file.open("wb") as log:
                self._process = subprocess.Popen(
                    [need("mosquitto"), "-c", str(self.conf)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # no terminal: as a service is started, nobody is asked for a password
                )
            wait_for(
                lambda: not self.is_running() or is_ready(self.log),
                lambda: f"the broker:\n{self.log}",
                pause_s=0.002,
            )
            if "Address already in use" not in self.log:
                return self.is_running()

    def write_conf(self) -> None:
        """Write the configuration anew, on ports that are free now."""
        self.ports = dict(zip(self._names, _free_ports(len(self._names)), strict=True))
        listeners = (_LISTENER.format(port=port, folder=self._names[name]) for name, port in self.ports.items())
        user = f"user {self.user}\n" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
        head = f"{user}set_tcp_nodelay true\nallow_anonymous false\nacl_file {self.acl}\n"
        self.conf.write_text(head + "".join(listeners))

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def reload(self) -> None:
        """Have the broker read all files again; who connects from now on meets them."""
        assert self._process is not None
        before = self.log.count("Reloading config")
        self._process.send_signal(signal.SIGHUP)
        with contextlib.suppress(OSError):  # it looks for signals when something happens, or ten times a second
            socket.create_connection(("127.0.0.1", next(iter(self.ports.values())))).close()
        wait_for(
            lambda: not self.is_running() or self.log.count("Reloading config") > before,
            lambda: f"a reload:\n{self.log}",
            pause_s=0.002,
        )

    def lets_in(self, name: str, cert: Path, key: Path) -> bool:
        """Say whether a client with this certificate, and what its file holds behind it, gets in at a listener."""
        return connects(self.ports[name], cert, key)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None


def connects(port: int, cert: Path, key: Path) -> bool:
    """Try one connection with MQTT 3.1.1: a client that takes any broker and any key of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(cert, key)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
            context.wrap_socket(plain) as encrypted,
        ):
            encrypted.sendall(_CONNECT)
            return encrypted.recv(4) == _ACCEPTED
    except TimeoutError:
        raise
    except OSError:
        return False


def _free_ports(count: int) -> Collection[int]:
    """Loopback ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
