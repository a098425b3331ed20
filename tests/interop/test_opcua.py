"""OPC UA applications by the profile ``opcua``: a real server and clients, signing and encrypting, until revoked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from support.program import State
from support.tools import need_module, run_linter

NAMES = ("plc-7", "panel", "0b3e6c1c-3c1e-4e0a-9d0a-000000000001")


RUNNING = "0"  # ServerState, OPC 10000-5 12.6
OTHERS = """
[profiles.others]
subject = ["common_name={device_id}"]
san = ["uri:urn:{attr.host}:others:x", "dns:{attr.host}"]
key_usage = ["digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment"]
eku = ["serverAuth", "clientAuth"]
key_types = ["rsa-2048"]
ca = "others"
"""


@pytest.fixture(scope="module")
def made(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """A server and two clients with the folders of their applications, and one of another CA."""
    need_module("asyncua")
    folder = tmp_path_factory.mktemp("plant")
    state = pristine.copy_to(folder)
    for ca in ("servers", "others"):
        state.run("ca", "add", ca, "--key-type", "rsa-2048")
    (state.path / "iotonboard.toml").write_text(OTHERS)
    state.run("config", "accept")
    (folder / "list.csv").write_text(
        "device_id,host,vendor,product,profile\n"
        + "".join(f"{name},{name}.plant.example,acme,press,opcua\n" for name in NAMES)
        + "stray,stray.plant.example,acme,press,others\n"
    )
    state.run("register", "--batch", folder / "list.csv")
    for name in NAMES:
        export(state, name, folder)
    export(state, "stray", folder, ca="others")
    return state


def export(state: State, name: str, folder: Path, *, ca: str = "servers") -> Path:
    state.run("export", name, "--ca", ca, "--format", "opcua-store", "--out", folder / name, "--force")
    return folder / name


def own(store: Path) -> x509.Certificate:
    return x509.load_der_x509_certificate((store / "own" / "certs" / "device.der").read_bytes())


def uri_of(store: Path) -> str:
    names = own(store).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uri


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def trust_of(store: Path) -> Any:
    """The certificates and lists of a store, as an application reads them."""
    trust = need_module("asyncua.crypto.truststore").TrustStore(
        [store / "trusted" / "certs"], [store / "trusted" / "crl"]
    )
    await trust.load()
    return trust


@asynccontextmanager
async def serving(store: Path) -> AsyncIterator[tuple[str, Any]]:
    """A server that holds its clients against its store; its URL, and what it trusts."""
    asyncua, checks = need_module("asyncua"), need_module("asyncua.crypto.validator")
    trust, options = await trust_of(store), checks.CertificateValidatorOptions
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    server = asyncua.Server()
    await server.init()
    server.set_endpoint(url)
    await server.set_application_uri(uri_of(store))
    server.set_security_policy([asyncua.ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(str(store / "own" / "certs" / "device.der"))
    await server.load_private_key(str(store / "own" / "private" / "device.der"))
    server.set_certificate_validator(
        checks.CertificateValidator(options.TRUSTED_VALIDATION | options.PEER_CLIENT, trust)
    )
    async with server:
        yield url, trust


async def answer(url: str, server_store: Path, store: Path) -> str:
    """What a client reads there, or is told; it holds the server against its own store."""
    asyncua, checks = need_module("asyncua"), need_module("asyncua.crypto.validator")
    policies, options = need_module("asyncua.crypto.security_policies"), checks.CertificateValidatorOptions
    client = asyncua.Client(url, timeout=10)
    client.application_uri = uri_of(store)
    client.certificate_validator = checks.CertificateValidator(
        options.TRUSTED_VALIDATION | options.PEER_SERVER, await trust_of(store)
    )
    await client.set_security(
        policies.SecurityPolicyBasic256Sha256,
        str(store / "own" / "certs" / "device.der"),
        str(store / "own" / "private" / "device.der"),
        server_certificate=str(server_store / "own" / "certs" / "device.der"),
        mode=asyncua.ua.MessageSecurityMode.SignAndEncrypt,
    )
    try:
        async with client:
            return str(await client.nodes.server_state.read_value())
    except asyncua.ua.UaError as error:
        return type(error).__name__


def test_applications_talk_until_one_is_revoked(made: State, tmp_path: Path) -> None:
    asyncio.run(talk(made.copy_to(tmp_path / "plant"), made.path.parent, tmp_path))


async def talk(state: State, stores: Path, folder: Path) -> None:
    panel, other, stray = (stores / name for name in (*NAMES[1:], "stray"))
    plc = export(state, "plc-7", folder)
    async with serving(plc) as (url, trust):
        told = [await answer(url, plc, store) for store in (panel, other, stray)]
        assert told == [RUNNING, RUNNING, "BadCertificateUntrusted"]

        state.run("revoke", "panel")
        export(state, "plc-7", folder)
        await trust.load()
        assert [await answer(url, plc, store) for store in (panel, other)] == ["BadCertificateRevoked", RUNNING]

        state.run("revoke", "plc-7")
        informed = export(state, NAMES[2], folder)
        assert [await answer(url, plc, store) for store in (informed, other)] == ["BadCertificateRevoked", RUNNING]


@pytest.mark.parametrize("name", NAMES)
def test_pkilint_finds_nothing_but_the_urn_that_it_does_not_know(made: State, name: str) -> None:
    found = run_linter("lint_pkix_cert", made.certs / "cas" / "servers" / "devices" / name / "device.crt")
    assert found == [f'pkix.invalid_uri_syntax Invalid URI syntax: "{uri_of(made.path.parent / name)}"']
