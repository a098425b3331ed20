"""Devices that are servers, by the profile ``server``: openssl, curl and Node connect until the device is revoked."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.program import State
from support.tools import need, run_tool

HOST = "web-1.plant.example"
# A server of TLS: Node's, so that openssl and curl meet one that is not their own.
SERVE = """
const fs = require("fs"), [crt, key] = process.argv.slice(1);
const server = require("https").createServer({ cert: fs.readFileSync(crt), key: fs.readFileSync(key) },
  (_, answer) => answer.end("here"));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""
ASK = """
const fs = require("fs"), [host, port, ca, crl] = process.argv.slice(1);
const options = { host: "127.0.0.1", port, servername: host, path: "/", ca: fs.readFileSync(ca) };
if (crl) options.crl = fs.readFileSync(crl);
const request = require("https").get(options, (answer) => console.log(answer.statusCode));
request.on("error", (error) => console.log(error.code));
"""


@pytest.fixture(scope="module")
def made(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """A device that is a server, beside one that is a client of the broker."""
    state = pristine.copy_to(tmp_path_factory.mktemp("plant"))
    state.run("ca", "add", "servers", "--key-type", "ec-p256")
    state.run("register", "web-1", "--profile", "server", "--set", f"host={HOST}")
    state.run("export", "web-1", "--ca", "servers", "--format", "pem", "--out", state.path.parent / "web-1")
    return state


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The device as a server; its port."""
    words = [need("node"), "-e", SERVE, folder / "device.crt", folder / "device.key"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def openssl(port: str, ca: Path, crl: Path | None, host: str = HOST) -> str:
    """What openssl s_client thinks of the server."""
    lists = ("-crl_check", "-CRL", crl) if crl else ()
    words = ("s_client", "-connect", f"127.0.0.1:{port}", "-servername", host, "-verify_hostname", host, "-CAfile", ca)
    said = run_tool("openssl", *words, *lists, "-verify_return_error", "-brief", expect=None)
    return "OK" if said.returncode == 0 else said.stdout + said.stderr


def curl(port: str, ca: Path, crl: Path | None, host: str = HOST) -> str:
    """What curl thinks of it."""
    lists = ("--crlfile", crl) if crl else ()
    where = ("--resolve", f"{host}:{port}:127.0.0.1", f"https://{host}:{port}/")
    said = run_tool("curl", "-sS", "--noproxy", "*", "--cacert", ca, *lists, *where, expect=None)
    return "OK" if (said.returncode, said.stdout) == (0, "here") else said.stderr


def node(port: str, ca: Path, crl: Path | None, host: str = HOST) -> str:
    """What Node thinks of it."""
    said = run_tool("node", "-e", ASK, host, port, ca, *((crl,) if crl else ())).stdout.strip()
    return "OK" if said == "200" else said


@pytest.mark.parametrize(("ask", "stranger", "revoked", "misnamed"), [
    (openssl, "unable to get", "revoked", "hostname mismatch"),
    (curl, "unable to get", "revoked", "no alternative certificate subject name"),
    (node, "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "CERT_REVOKED", "ERR_TLS_CERT_ALTNAME_INVALID"),
])  # fmt: skip
def test_a_server_is_taken_by_its_name_until_it_is_revoked(
    made: State, tmp_path: Path, ask, stranger: str, revoked: str, misnamed: str
) -> None:
    need("curl")
    state = made.copy_to(tmp_path / "plant")
    folder = state.certs / "cas" / "servers"
    ca, crl = folder / "ca.crt", folder / "crl.pem"
    with served(made.path.parent / "web-1") as port:
        assert ask(port, ca, crl) == "OK"
        assert misnamed in ask(port, ca, crl, "web-2.plant.example")
        assert stranger in ask(port, state.ca_cert, None)
        state.run("revoke", "web-1")
        assert revoked in ask(port, ca, crl)
