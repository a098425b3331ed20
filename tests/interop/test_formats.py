"""Every export format is read by a program of others, the one that its users run."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from iotonboard.delivery.credential import Credential
from iotonboard.delivery.formats.output import Options
from iotonboard.delivery.formats.table import encode
from iotonboard.pki.pem import pem_encode

from support.broker import free_port, is_ready, wait_for
from support.credentials import VECTORS, certificate_der, make_credential
from support.peers import need_peers
from support.program import PROJECT, State
from support.tools import missing, need, run_tool

PASSWORD = "correct-horse-7"
CREDENTIALS = pytest.mark.parametrize("with_factory", [False, True], ids=["root", "factory"])


def write_all(folder: Path, name: str, credential: Credential, **options: object) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for file in encode(name, credential, Options(password=PASSWORD, **options)):
        paths.append(folder / file.name)
        paths[-1].write_bytes(file.data)
    return paths


# --- archives -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(("7zz", "x", f"-p{PASSWORD}", "-o.", "-y", "{zip}"), id="7-Zip"),
        pytest.param(("bsdtar", "--passphrase", PASSWORD, "-x", "-f", "{zip}"), id="bsdtar"),
    ],
)
def test_archive_programs_open_the_bundle(tmp_path: Path, argv: tuple[str, ...]) -> None:
    credential = make_credential()
    (bundle,) = write_all(tmp_path, "zip", credential)
    out = tmp_path / "out"
    out.mkdir()
    run_tool(*(word.replace("{zip}", str(bundle)) for word in argv), cwd=out)
    assert sorted(path.name for path in out.iterdir()) == [
        "ca.crt",
        "device.crt",
        "device.key",
        "manifest.json",
    ]
    assert (out / "device.key").read_bytes() == credential.key_pem
    assert json.loads((out / "manifest.json").read_text())["device_id"] == "sensor-0.1_A"
    if argv[0] == "bsdtar":
        assert (out / "device.key").stat().st_mode & 0o777 == 0o600


def test_7zip_sees_aes_256_and_refuses_another_password(tmp_path: Path) -> None:
    (bundle,) = write_all(tmp_path, "zip", make_credential())
    listing = run_tool("7zz", "l", "-slt", bundle).stdout
    assert listing.count("Method = AES-256 Store") == 4
    assert listing.count("Encrypted = +") == 4
    run_tool("7zz", "t", "-pwrong", bundle, expect=2)


def test_openssl_reads_the_p12(tmp_path: Path) -> None:
    (path,) = write_all(tmp_path, "p12", make_credential(with_factory=True))
    result = run_tool("openssl", "pkcs12", "-in", path, "-info", "-noenc", "-passin", f"pass:{PASSWORD}")
    assert "MAC: sha256" in result.stderr
    assert result.stderr.count("PBES2, PBKDF2, AES-256-CBC, Iteration 20000, PRF hmacWithSHA256") == 3
    assert result.stdout.count("BEGIN CERTIFICATE") == 3
    assert "BEGIN PRIVATE KEY" in result.stdout
    run_tool("openssl", "pkcs12", "-in", path, "-noenc", "-passin", "pass:wrong", expect=1)


def test_keytool_reads_the_p12(tmp_path: Path) -> None:
    keytool = need("keytool")
    (path,) = write_all(tmp_path, "p12", make_credential(with_factory=True))
    listing = run_tool(
        Path(keytool), "-list", "-v", "-storetype", "PKCS12", "-keystore", path, "-storepass", PASSWORD
    ).stdout
    assert "Alias name: sensor-0.1_a" in listing
    assert "Entry type: PrivateKeyEntry" in listing
    assert "Certificate chain length: 3" in listing
    assert listing.count("Entry type: trustedCertEntry") == 1


def test_old_readers_take_the_legacy_p12(tmp_path: Path) -> None:
    (path,) = write_all(tmp_path, "p12", make_credential(), legacy=True)
    words = ("openssl", "pkcs12", "-legacy", "-in", path, "-info", "-noenc", "-passin", f"pass:{PASSWORD}")
    result = run_tool(*words)
    assert "MAC: sha1" in result.stderr
    assert result.stderr.count("pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 20000") == 3
    assert result.stdout.count("BEGIN CERTIFICATE") == 2
    assert "BEGIN PRIVATE KEY" in result.stdout
    words = ("-list", "-storetype", "PKCS12", "-keystore", path, "-storepass", PASSWORD)
    listing = run_tool(Path(need("keytool")), *words).stdout
    assert "trustedCertEntry" in listing
    assert "PrivateKeyEntry" in listing


def test_p12_says_which_one_to_take(state: State, tmp_path: Path) -> None:
    state.register("press-1")
    new = state.run("export", "press-1", "--format", "p12", "--out", tmp_path / "new.p12")
    assert "macOS, older Android and Windows take the one of --legacy" in new.stderr
    words = ("export", "press-1", "--format", "p12", "--legacy", "--out", tmp_path / "old.p12")
    password = state.json(*words)["bundle_password"]
    run_tool("openssl", "pkcs12", "-legacy", "-in", tmp_path / "old.p12", "-noout", "-passin", f"pass:{password}")
    assert "--legacy is for --format p12" in state.run("export", "press-1", "--legacy", expect=2).stderr


# --- plain files --------------------------------------------------------------------------------------------


@CREDENTIALS
def test_openssl_verifies_pem_and_finds_the_key(tmp_path: Path, with_factory: bool) -> None:
    write_all(tmp_path, "pem", make_credential(with_factory=with_factory))
    key, certificate, anchor = (tmp_path / name for name in ("device.key", "device.crt", "ca.crt"))
    run_tool(
        "openssl",
        "verify",
        "-CAfile",
        anchor,
        "-untrusted",
        certificate,
        "-purpose",
        "sslclient",
        certificate,
    )
    assert same_key(
        run_tool("openssl", "pkey", "-in", key, "-pubout"),
        run_tool("openssl", "x509", "-in", certificate, "-pubkey", "-noout"),
    )


def same_key(*results: subprocess.CompletedProcess[str]) -> bool:
    return len({result.stdout for result in results}) == 1


@CREDENTIALS
def test_openssl_reads_der(tmp_path: Path, with_factory: bool) -> None:
    paths = write_all(tmp_path, "der", make_credential(with_factory=with_factory))
    assert len(paths) == 3 + with_factory
    certificates = [path for path in paths if path.name != "device-key.der"]
    for path in certificates:
        run_tool("openssl", "x509", "-inform", "DER", "-in", path, "-noout")
    assert same_key(
        run_tool("openssl", "pkey", "-inform", "DER", "-in", tmp_path / "device-key.der", "-pubout"),
        run_tool("openssl", "x509", "-inform", "DER", "-in", tmp_path / "device.der", "-pubkey", "-noout"),
    )


@CREDENTIALS
def test_a_tls_client_takes_pem_chain_and_json(tmp_path: Path, with_factory: bool) -> None:
    credential = make_credential(with_factory=with_factory)
    (chain,) = write_all(tmp_path, "pem-chain", credential)
    (text,) = write_all(tmp_path, "json", credential)
    content = json.loads(text.read_text())
    from_json = tmp_path / "from-json.pem"
    from_json.write_text(content["private_key"] + content["chain"])
    for path in (chain, from_json):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(path)
        context.load_verify_locations(cadata=content["ca"])
        assert shake_hands(context)["subject"][-1] == (("commonName", "sensor-0.1_A"),)


def shake_hands(client_context: ssl.SSLContext) -> dict[str, tuple[object, ...]]:
    """A TLS handshake in memory with a server that trusts the root; returns the client's certificate."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_verify_locations(VECTORS / "credential/root.crt")
    server_context.load_cert_chain(VECTORS / "credential/broker.crt", VECTORS / "credential/broker.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return server.getpeercert()


# --- C ------------------------------------------------------------------------------------------------------

STRICT_C = ("-Wall", "-Wextra", "-Werror", "-std=c99", "-pedantic")
_MBEDTLS = r"""
#include <stdio.h>
#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

static int die(const char *what, int code) { printf("%s: -0x%04x\n", what, (unsigned) -code); return 1; }

static int check(const unsigned char *key, size_t key_len, const unsigned char *crt, size_t crt_len,
                 const unsigned char *ca, size_t ca_len, int has_key)
{
    mbedtls_x509_crt own, anchor;
    mbedtls_pk_context pk;
    uint32_t flags = 0;
    int err;
    mbedtls_x509_crt_init(&own);
    mbedtls_x509_crt_init(&anchor);
    mbedtls_pk_init(&pk);
    if ((err = mbedtls_x509_crt_parse(&own, crt, crt_len)) != 0) return die("device", err);
    if ((err = mbedtls_x509_crt_parse(&anchor, ca, ca_len)) != 0) return die("ca", err);
    err = mbedtls_x509_crt_verify(&own, &anchor, NULL, NULL, &flags, NULL, NULL);
    if (err != 0) return die("verify", err);
#if MBEDTLS_VERSION_MAJOR < 3
    if (has_key && (err = mbedtls_pk_parse_key(&pk, key, key_len, NULL, 0)) != 0) return die("key", err);
    if (has_key && (err = mbedtls_pk_check_pair(&own.pk, &pk)) != 0) return die("pair", err);
#else
    if (has_key && (err = mbedtls_pk_parse_key(&pk, key, key_len, NULL, 0, NULL, NULL)) != 0)
        return die("key", err);
#endif
    return 0;
}
"""
_MAIN_OF_HEADER = r"""
#include <string.h>
#include "iotonboard_credential.h"
#include "iotonboard_credential.h"
#define BYTES(x) (const unsigned char *) x, sizeof(x)
int main(void)
{
    if (strcmp(IOTONBOARD_DEVICE_ID, "sensor-0.1_A") != 0) return 2;
    if (strlen(iotonboard_ca_crt_pem) + 1 != IOTONBOARD_CA_CRT_PEM_LEN) return 3;
#ifdef DER_IS_ENOUGH
    if (check(BYTES(iotonboard_device_key_der), BYTES(iotonboard_device_crt_der),
              BYTES(iotonboard_ca_crt_der), 1)) return 4;
#endif
    return check(BYTES(iotonboard_device_key_pem), BYTES(iotonboard_device_crt_pem),
                 BYTES(iotonboard_ca_crt_pem), 1);
}
"""
# The part of Zephyr's interface that the format uses; the credentials end in mbedTLS, as they do there.
_ZEPHYR_STUB = r"""
#include <stddef.h>
typedef int sec_tag_t;
enum tls_credential_type { TLS_CREDENTIAL_NONE, TLS_CREDENTIAL_CA_CERTIFICATE,
                           TLS_CREDENTIAL_SERVER_CERTIFICATE, TLS_CREDENTIAL_PRIVATE_KEY,
                           TLS_CREDENTIAL_PSK, TLS_CREDENTIAL_PSK_ID };
int tls_credential_add(sec_tag_t tag, enum tls_credential_type type, const void *cred, size_t credlen);
"""
_MAIN_OF_ZEPHYR = r"""
#include "iotonboard_tls_credentials.h"
static const unsigned char *data[6];
static size_t length[6];
int tls_credential_add(sec_tag_t tag, enum tls_credential_type type, const void *cred, size_t credlen)
{
    if (tag != 42 || data[type]) return -22;
    data[type] = cred;
    length[type] = credlen;
    return 0;
}
int main(void)
{
    if (iotonboard_add_credentials() != 0) return 2;
    if (iotonboard_add_credentials() != -22) return 3;
    return check(data[3], length[3], data[2], length[2], data[1], length[1], data[3] != NULL);
}
"""


@pytest.fixture
def compiler() -> str:
    gcc = need("gcc")
    probe = subprocess.run(
        [gcc, "-E", "-"], input=b"#include <mbedtls/pk.h>", capture_output=True, check=False, timeout=60
    )
    if probe.returncode != 0:
        missing("mbedTLS is not installed (package libmbedtls-dev on Debian)")
    return gcc


def compile_and_run(gcc: str, folder: Path, source: str, *flags: str) -> None:
    (folder / "main.c").write_text(_MBEDTLS + source)
    run_tool(Path(gcc), *STRICT_C, *flags, "main.c", "-o", "main", "-lmbedx509", "-lmbedcrypto", cwd=folder)
    run_tool(folder / "main")


@CREDENTIALS
def test_mbedtls_uses_the_c_header(tmp_path: Path, compiler: str, with_factory: bool) -> None:
    write_all(tmp_path, "c-header", make_credential(with_factory=with_factory))
    flags = () if with_factory else ("-DDER_IS_ENOUGH",)
    compile_and_run(compiler, tmp_path, _MAIN_OF_HEADER, *flags)


@pytest.mark.parametrize(
    ("program", "flags"),
    [("gcc", STRICT_C), ("g++", ("-Wall", "-Wextra", "-Werror", "-std=c++11", "-pedantic"))],
)
def test_the_c_header_alone_compiles_without_a_warning(tmp_path: Path, program: str, flags: tuple[str, ...]) -> None:
    """Also with a key of 3.2 kB in PEM and an issuer beyond the string literals of ISO C."""
    compiler = need(program)
    credential = make_credential()
    big = Credential(
        credential.device_id,
        credential.serial,
        credential.validity,
        credential.certificate_der,
        bytes(2400),
        (bytes(3500),),
    )
    for folder, each in ((tmp_path / "usual", credential), (tmp_path / "big", big)):
        write_all(folder, "c-header", each)
        suffix = "c" if program == "gcc" else "cpp"
        (folder / f"main.{suffix}").write_text('#include "iotonboard_credential.h"\nint main(void) { return 0; }\n')
        run_tool(Path(compiler), *flags, "-c", f"main.{suffix}", cwd=folder)


@pytest.mark.parametrize("with_key", [True, False], ids=["key", "no-key"])
@CREDENTIALS
def test_mbedtls_uses_the_zephyr_includes(tmp_path: Path, compiler: str, with_factory: bool, with_key: bool) -> None:
    write_all(tmp_path, "zephyr", make_credential(with_factory=with_factory, with_key=with_key), security_tag=42)
    header = tmp_path / "zephyr/net/tls_credentials.h"
    header.parent.mkdir(parents=True)
    header.write_text(_ZEPHYR_STUB)
    compile_and_run(compiler, tmp_path, _MAIN_OF_ZEPHYR, "-I.")


# --- Tasmota ------------------------------------------------------------------------------------------------


def test_openssl_knows_what_is_typed_into_tasmota(tmp_path: Path) -> None:
    """By the way that its manual goes back: the key's octets as OpenSSL shows them, the certificate in DER."""
    credential = make_credential()
    (path,) = write_all(tmp_path, "tasmota", credential)
    words = [line.split() for line in path.read_text().splitlines()]
    assert [name for name, _ in words] == ["TLSKey1", "TLSKey2"]
    write_all(tmp_path, "pem", credential)
    shown = run_tool("openssl", "pkey", "-in", tmp_path / "device.key", "-noout", "-text").stdout
    scalar = re.search(r"priv:\s*((?:[0-9a-f]{2}[:\s]+)+)pub", shown)
    assert scalar
    assert base64.b64decode(words[0][1]).hex() == re.sub(r"[:\s]", "", scalar[1]).removeprefix("00").zfill(64)
    (tmp_path / "typed.der").write_bytes(base64.b64decode(words[1][1]))
    run_tool("openssl", "verify", "-CAfile", tmp_path / "ca.crt", tmp_path / "typed.der")


# --- ESP32 --------------------------------------------------------------------------------------------------


@CREDENTIALS
def test_esp_idf_builds_an_nvs_partition(tmp_path: Path, with_factory: bool) -> None:
    python = need_peers()
    credential = make_credential(with_factory=with_factory)
    (path,) = write_all(tmp_path, "esp-nvs", credential, nvs_namespace="factory")
    run_tool(python, "-m", "esp_idf_nvs_partition_gen", "generate", path, "nvs.bin", "0x4000", cwd=tmp_path)
    assert credential.key_pem is not None
    assert read_nvs((tmp_path / "nvs.bin").read_bytes()) == {
        "factory": b"\x01",
        "device_id": b"sensor-0.1_A\0",
        "serial": credential.serial.hex.encode() + b"\0",
        "device_key": credential.key_pem + b"\0",
        "device_crt": credential.certificate_pem + b"\0",
        "ca_crt": credential.anchor_pem + b"\0",
    }


@pytest.fixture
def with_generator() -> tuple[Path, dict[str, str]]:
    """The interpreter that has Espressif's generator, and an environment in which the program finds it too."""
    python = need_peers()
    packages = next(python.parents[1].glob("lib/python3.*/site-packages"))
    return python, {"PYTHONPATH": os.pathsep.join([str(PROJECT), str(packages)])}


def test_a_ready_partition_holds_a_device_s_own_values(
    state: State, tmp_path: Path, with_generator: tuple[Path, dict[str, str]]
) -> None:
    """As the generator's own command makes it from the CSV; encrypted, its command decrypts it to the same."""
    python, env = with_generator
    state.run("register", "press-1", "--set", "line=A3", "--set", 'note=hall "2", ü')
    export = ("export", "press-1", "--format", "esp-nvs")
    state.run(*export, "--out", tmp_path / "press-1.csv")
    generator = (python, "-m", "esp_idf_nvs_partition_gen")
    run_tool(*generator, "generate", "press-1.csv", "expected.bin", "0x5000", cwd=tmp_path)
    state.run(*export, "--image", "0x5000", "--out", tmp_path / "press-1.bin", env=env)
    plain = (tmp_path / "press-1.bin").read_bytes()
    assert plain == (tmp_path / "expected.bin").read_bytes()
    assert read_nvs(plain)["line"] == b"A3\0"
    assert read_nvs(plain)["note"] == 'hall "2", ü'.encode() + b"\0"
    assert (tmp_path / "press-1.bin").stat().st_mode & 0o777 == 0o600

    state.run(*export, "--image", "0x5000", "--encrypt", "--out", tmp_path / "sealed.bin", env=env)
    keys = tmp_path / "press-1-nvs-keys.bin"
    assert keys.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" not in (tmp_path / "sealed.bin").read_bytes()
    run_tool(*generator, "decrypt", "sealed.bin", keys.name, "opened.bin", cwd=tmp_path)
    assert (tmp_path / "opened.bin").read_bytes() == plain
    state.run(*export, "--image", "0x5000", "--image-keys", keys, "--out", tmp_path / "again.bin", env=env)
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "sealed.bin").read_bytes()

    words = ("--format", "esp-nvs", "--image", "0x3000", "--attributes", ",", "--out", tmp_path / "all")
    state.run("export", "--batch", "-", *words, env=env, input="press-1\n")
    assert "line" not in read_nvs((tmp_path / "all" / "press-1.bin").read_bytes())
    keys.write_bytes(keys.read_bytes()[:-1] + b"\0")
    state.run(*export, "--image", "0x5000", "--image-keys", keys, "--out", tmp_path / "x.bin", env=env, expect=6)
    state.run(*export, "--image", "0x5000", "--encrypt", "--out", "-", env=env, expect=2)


def test_without_the_generator_a_partition_is_refused(state: State, tmp_path: Path) -> None:
    if importlib.util.find_spec("esp_idf_nvs_partition_gen"):
        pytest.skip("the generator is installed here")
    state.register("press-1")
    export = ("export", "press-1", "--format", "esp-nvs", "--out", tmp_path / "x.bin")
    assert "pip install 'iotonboard[esp]'" in state.run(*export, "--image", "0x4000", expect=2).stderr
    for words in (("--image", "0x4001"), ("--image", "big"), ("--encrypt",), ("--image-keys", tmp_path / "none")):
        state.run(*export, *words, expect=5 if "--image-keys" in words else 2)
    assert not (tmp_path / "x.bin").exists()


def read_nvs(partition: bytes) -> dict[str, bytes]:
    """Read an NVS partition as the device does (ESP-IDF, Non-Volatile Storage Library, Internals)."""
    values: dict[str, bytes] = {}
    for page in range(0, len(partition), 4096):
        position, end = page + 64, page + 4096
        while position < end:
            _, kind, span, _, _, key, value = struct.unpack_from("<BBBBI16s8s", partition, position)
            if kind == 0xFF:
                break
            name = key.rstrip(b"\0").decode()
            if kind in (0x21, 0x42):  # a string, a chunk of a blob
                size = int.from_bytes(value[:2], "little")
                values[name] = values.get(name, b"") + partition[position + 32 : position + 32 + size]
            elif kind == 0x01:  # u8: a namespace
                values[name] = value[:1]
            position += 32 * span
    return values


@CREDENTIALS
def test_esp_secure_cert_tool_builds_a_partition(tmp_path: Path, with_factory: bool) -> None:
    python = need_peers()
    tool = python.parent / "configure_esp_secure_cert.py"
    credential = make_credential(with_factory=with_factory)
    (path,) = write_all(tmp_path, "esp-secure-cert", credential)
    run_tool(python, tool, "--esp_secure_cert_csv", path, "--skip_flash", "--target_chip", "esp32c3", cwd=tmp_path)
    run_tool(python, tool, "--parse_bin", "esp_secure_cert_data/esp_secure_cert.bin", cwd=tmp_path)
    parsed = {path.name: path.read_bytes() for path in tmp_path.glob("esp_secure_cert_parsed_data/contents/*")}
    assert parsed.pop("cacert_0_0.der") == credential.anchor_ders[0]
    assert parsed.pop("devcert_1_0.der") == credential.certificate_der
    key = tmp_path / "esp_secure_cert_parsed_data/contents/privkey_2_0.der"
    assert same_key(
        run_tool("openssl", "pkey", "-inform", "DER", "-in", key, "-pubout"),
        run_tool("openssl", "pkey", "-in", VECTORS / "credential/device.key", "-pubout"),
    )
    del parsed[key.name]
    assert parsed == ({"cacert_0_1.der": certificate_der("factory")} if with_factory else {})


# --- nRF91 --------------------------------------------------------------------------------------------------

# What Nordic's library sends for the same PEM files, and what its onboarding reads and would have written.
_NRF_PEER = r"""
import io, json, sys
from nrfcredstore.credstore import CredStore, CredType, FUN_MODE_OFFLINE
from nrfcloud_utils.cli_helpers import save_onboarding_csv
from nrfcloud_utils.nrf_cloud_onboard import read_onboarding_csv

sent = []
class Modem:
    def at_command(self, command, wait_for_result=False):
        sent.append(command)
        return True

files = json.load(sys.stdin)
store = CredStore(Modem())
store.func_mode(FUN_MODE_OFFLINE)
for name, kind in (("ca.crt", "ROOT_CA_CERT"), ("device.crt", "CLIENT_CERT"), ("device.key", "CLIENT_KEY")):
    store.write(42, CredType[kind], io.StringIO(files[name]))
save_onboarding_csv("theirs.csv", False, False, "sensor-0.1_A", "", "", "", files["leaf"])
print(json.dumps({"sent": sent, "devices": read_onboarding_csv("onboard.csv")}))
"""


@CREDENTIALS
def test_nrf_files_are_what_nordics_tools_send_and_read(tmp_path: Path, with_factory: bool) -> None:
    python = need_peers()
    credential = make_credential(with_factory=with_factory)
    write_all(tmp_path, "nrf", credential, security_tag=42)
    files = {file.name: file.data.decode() for file in encode("pem", credential, Options())}
    files["leaf"] = pem_encode("CERTIFICATE", credential.certificate_der).decode()
    result = subprocess.run(
        [python, "-c", _NRF_PEER],
        input=json.dumps(files).encode(),
        cwd=tmp_path,
        capture_output=True,
        check=True,
        timeout=60,
    )
    answer = json.loads(result.stdout)
    assert (tmp_path / "credentials.at").read_bytes().decode().split("\r\n")[:-1] == answer["sent"]
    assert answer["devices"] == [["sensor-0.1_A", ""]]
    assert (tmp_path / "onboard.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()


# --- Mosquitto ----------------------------------------------------------------------------------------------

_BROKER = """\
listener {port} 127.0.0.1
cafile {vectors}/root.crt
certfile {vectors}/broker.crt
keyfile {vectors}/broker.key
require_certificate true
use_identity_as_username true
"""
_GATEWAY = """\
listener {port} 127.0.0.1
allow_anonymous true
include_dir {folder}
"""


@contextlib.contextmanager
def run_mosquitto(conf: Path) -> Iterator[Path]:
    """A broker with its log, as the user who runs the tests; ends with the block."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        conf.write_text("user root\n" + conf.read_text())
    log = conf.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen([need("mosquitto"), "-v", "-c", str(conf)], stdout=output, stderr=output)
        try:
            wait_for(lambda: is_ready(log.read_text()), log.read_text)
            yield log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


@CREDENTIALS
def test_mosquitto_clients_and_bridge_connect(tmp_path: Path, with_factory: bool) -> None:
    """The option files make both clients connect; the bridge carries a message to the broker."""
    ports = {"broker": free_port(), "gateway": free_port()}
    home = tmp_path / "iot device"  # with a blank, as in a Windows profile
    write_all(
        home,
        "mosquitto",
        make_credential(with_factory=with_factory),
        broker_port=ports["broker"],
        directory=str(home),
    )
    bridge = tmp_path / "bridge"
    bridge.mkdir()
    shutil.copy(home / "bridge.conf", bridge)
    broker_conf, gateway_conf = tmp_path / "broker.conf", tmp_path / "gateway.conf"
    broker_conf.write_text(_BROKER.format(port=ports["broker"], vectors=VECTORS / "credential"))
    gateway_conf.write_text(_GATEWAY.format(port=ports["gateway"], folder=bridge))
    environment = {"XDG_CONFIG_HOME": str(home)}
    topic = "devices/sensor-0.1_A/up"
    with run_mosquitto(broker_conf) as log:
        run_tool("mosquitto_pub", "-t", topic, "-m", "kept", "-q", "1", "-r", env=environment)
        received = run_tool("mosquitto_sub", "-t", topic, "-C", "1", "-W", "10", env=environment)
        assert received.stdout == "kept\n"
        assert "u'sensor-0.1_A'" in log.read_text(), "the certificate is the user name"
        with run_mosquitto(gateway_conf):
            through = ("-p", str(ports["gateway"]), "-t", topic)
            down = run_tool("mosquitto_sub", "-h", "127.0.0.1", *through, "-C", "1", "-W", "20")
            assert down.stdout == "kept\n", "from the broker through the bridge"
            before = len(log.read_text())
            run_tool("mosquitto_pub", "-h", "127.0.0.1", *through, "-m", "from below", "-q", "1", "-r")
            wait_for(lambda: "Received PUBLISH from sensor-0.1_A" in log.read_text()[before:], log.read_text)


def test_base64_blobs_are_standard(tmp_path: Path) -> None:
    """Both ESP tools decode leniently; the files must not depend on it."""
    for name in ("esp-nvs", "esp-secure-cert"):
        (path,) = write_all(tmp_path, name, make_credential())
        fields = [field for line in path.read_text().splitlines() for field in line.split(",") if len(field) > 50]
        assert fields
        for field in fields:
            base64.b64decode(field, validate=True)
