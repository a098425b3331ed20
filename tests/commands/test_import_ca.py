"""``init-ca --import-key``: a CA of openssl, easy-rsa, XCA or cfssl goes on here, and what is wrong with it is told."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from support.old_fleet import OldFleet
from support.program import Result, State, run_cli, write_key_file
from support.tools import need

SECRET = "old secret of the plant"
_EXTENSIONS = ("basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign")
_EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
_CONF = "[req]\ndistinguished_name=dn\n[dn]\n"


def openssl(*words: str | Path, folder: Path) -> bytes:
    """Run the system's openssl there, two hours ago: no CA that is taken over is new. Returns what it prints."""
    call = [need("faketime"), "-f", "-2h", need("openssl"), *map(str, words)]
    return subprocess.run(call, cwd=folder, check=True, capture_output=True, timeout=60).stdout


def make_ca(
    folder: Path,
    *options: str,
    key: tuple[str, ...] = _EC,
    extensions: tuple[str, ...] = _EXTENSIONS,
    name: str = "/O=Works/CN=Plant 9 CA",
) -> Path:
    """A CA as openssl makes one: ``key.pem``, plain PKCS #8, and ``ca.pem``."""
    folder.mkdir(exist_ok=True)
    (folder / "openssl.cnf").write_text(_CONF)
    asked = [word for one in extensions for word in ("-addext", one)]
    openssl("req", "-config", "openssl.cnf", "-x509", "-newkey", *key, "-nodes", "-keyout", "key.pem", "-out", "ca.pem",
            "-subj", name, "-days", "3000", *asked, *options, folder=folder)  # fmt: skip
    return folder


def take_over(folder: Path, key: str, *words: str, expect: int = 0, cert: str = "ca.pem") -> Result:
    """Call ``init-ca`` with files of a folder; the new state lies in it."""
    (folder / "old.pass").write_text(SECRET)
    (folder / "old.pass").chmod(0o600)
    state = State(folder / "state", folder / "key-file")
    write_key_file(state.passphrase_file)
    given = ("--import-cert", cert) if cert else ()
    return state.run("init-ca", "--import-key", key, *given, *words, cwd=folder, expect=expect)


FORMS = {
    "PKCS #8, encrypted": ("pkcs8", "-topk8", "-in", "key.pem", "-v2", "aes-256-cbc"),
    "PKCS #8, encrypted with scrypt": ("pkcs8", "-topk8", "-in", "key.pem", "-scrypt"),
    "PKCS #8, plain": ("pkcs8", "-topk8", "-in", "key.pem", "-nocrypt"),
    "PKCS #8, DER, encrypted": ("pkcs8", "-topk8", "-in", "key.pem", "-outform", "DER"),
    "traditional, AES": ("pkey", "-in", "key.pem", "-traditional", "-aes256"),
    "traditional, 3DES": ("pkey", "-in", "key.pem", "-traditional", "-des3"),
    "traditional, plain DER": ("pkey", "-in", "key.pem", "-traditional", "-outform", "DER"),
}


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_each_form_of_a_key_is_taken_over_and_issues(tmp_path: Path, kind: str) -> None:
    make_ca(tmp_path, key=_EC if kind == "ec" else ("rsa:2048",))
    for number, (name, words) in enumerate(FORMS.items()):
        secret = () if "plain" in name else ("-passout", f"pass:{SECRET}")
        (tmp_path / "given").write_bytes(openssl(*words, *secret, folder=tmp_path))
        folder = tmp_path / str(number)
        folder.mkdir()
        for file in ("given", "ca.pem"):
            (folder / file).write_bytes((tmp_path / file).read_bytes())
        told = take_over(folder, "given", "--import-passphrase-file", "old.pass", "--json").json
        assert told["findings"] == [], name
    state = State(folder / "state", folder / "key-file")
    state.register("pump-1")
    assert openssl(
        "verify", "-no_check_time", "-CAfile", "ca.pem", state.device("pump-1") / "device.crt", folder=tmp_path
    )
    assert (state.certs / "ca.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    state.run("health", "--deep")


@pytest.mark.parametrize("form", [(), ("-legacy",), ("-keypbe", "NONE", "-certpbe", "NONE")])
def test_a_pkcs12_file_holds_key_and_certificate(tmp_path: Path, form: tuple[str, ...]) -> None:
    make_ca(tmp_path)
    openssl("pkcs12", "-export", "-inkey", "key.pem", "-in", "ca.pem", "-out", "ca.p12", "-passout", f"pass:{SECRET}",
            *form, folder=tmp_path)  # fmt: skip
    told = take_over(tmp_path, "ca.p12", "--import-passphrase-file", "old.pass", cert="").stderr
    assert "took over the CA 'Works, Plant 9 CA'" in told
    again = take_over(tmp_path, "key.pem", expect=6, cert="")
    assert "--import-cert" in again.stderr


def test_files_as_people_have_them(tmp_path: Path) -> None:
    """Key behind its curve, both in one file with text around, and as Windows' editor saves it."""
    make_ca(tmp_path)
    curve, key = openssl("ecparam", "-name", "prime256v1", folder=tmp_path), (tmp_path / "key.pem").read_bytes()
    both = b"our CA, do not lose\n" + curve + key + b"\n" + (tmp_path / "ca.pem").read_bytes()
    (tmp_path / "both.pem").write_bytes(both.replace(b"\n", b"\r\n"))
    (tmp_path / "utf16.pem").write_bytes(both.decode().encode("utf-16"))
    take_over(tmp_path, "utf16.pem", cert="both.pem")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/both.pem").write_bytes(both)
    take_over(tmp_path / "alone", "both.pem", cert="")


NAMES = [
    "/C=DE/ST=Sx/L=Ly/O=W/OU=u/emailAddress=ca@plant.de/CN=Old",
    "/DC=de/DC=plant/CN=Dom",
    "/O=X/CN=A+OU=B",
    "/O=Works",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_as_other_programs_make_them(tmp_path: Path, name: str) -> None:
    """With mail addresses, as easy-rsa's 'org' names have them, domains, two attributes in a step, or no commonName."""
    make_ca(tmp_path, "-multivalue-rdn", name=name)
    take_over(tmp_path, "key.pem")
    state = State(tmp_path / "state", tmp_path / "key-file")
    state.register("pump-1", "pump-2")
    state.run("revoke", "pump-2")
    devices = [state.device(one) / "device.crt" for one in ("pump-1", "pump-2")]
    check = ("verify", "-no_check_time", "-CAfile", "ca.pem", "-crl_check", "-CRLfile", state.crl)
    assert openssl(*check, devices[0], folder=tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        openssl(*check, devices[1], folder=tmp_path)
    state.run("ca", "rollover", "begin", "--name", "Next CA")
    state.run("health", "--deep")


def test_a_root_of_version_1_is_refused(tmp_path: Path) -> None:
    make_ca(tmp_path)
    openssl(
        "req", "-config", "openssl.cnf", "-new", "-key", "key.pem", "-subj", "/CN=Old", "-out", "r", folder=tmp_path
    )
    openssl("x509", "-req", "-in", "r", "-signkey", "key.pem", "-out", "v1.pem", folder=tmp_path)
    assert "version 1" in take_over(tmp_path, "key.pem", cert="v1.pem", expect=6).stderr


def test_an_ed25519_ca_issues_and_revokes(tmp_path: Path) -> None:
    make_ca(tmp_path, key=("ed25519",))
    take_over(tmp_path, "key.pem")
    state = State(tmp_path / "state", tmp_path / "key-file")
    state.register("pump-1")
    state.run("revoke", "pump-1")
    state.run("health", "--deep")


def test_a_wrong_passphrase_leaves_nothing(tmp_path: Path) -> None:
    make_ca(tmp_path)
    openssl("pkey", "-in", "key.pem", "-aes256", "-passout", "pass:another", "-out", "given", folder=tmp_path)
    told = take_over(tmp_path, "given", "--import-passphrase-file", "old.pass", expect=7).stderr
    assert "'given': the passphrase is wrong" in told
    nobody = take_over(tmp_path, "given", expect=7).stderr
    assert "--import-passphrase-file" in nobody
    assert "'given': it is encrypted and nobody is there" in nobody
    (tmp_path / "junk").write_bytes(bytes(range(256)))
    assert "openssl's own form" in take_over(tmp_path, "junk", expect=7).stderr
    assert not (tmp_path / "state").exists()


def test_key_and_certificate_of_two_cas_are_refused(tmp_path: Path) -> None:
    make_ca(tmp_path)
    make_ca(tmp_path / "other")
    told = take_over(tmp_path, "other/key.pem", expect=7).stderr
    assert "no certificate in 'ca.pem' is of the key in 'other/key.pem'" in told
    assert not (tmp_path / "state").exists()


def test_a_ca_below_a_root_is_taken_over_with_its_chain(tmp_path: Path) -> None:
    root = make_ca(tmp_path / "root", extensions=("basicConstraints=critical,CA:TRUE,pathlen:1", _EXTENSIONS[1]))
    low = make_ca(tmp_path / "low", "-CA", "../root/ca.pem", "-CAkey", "../root/key.pem", name="/CN=Station")
    (low / "all.pem").write_bytes((root / "ca.pem").read_bytes() + (low / "ca.pem").read_bytes())
    assert take_over(low, "key.pem", "--chain", "all.pem", "--json").json["findings"] == []
    state = State(low / "state", low / "key-file")
    state.register("pump-1")
    device = state.device("pump-1") / "device.crt"
    assert openssl("verify", "-no_check_time", "-CAfile", "../root/ca.pem", "-untrusted", "ca.pem", device, folder=low)
    state.run("health", "--deep")


HARD = {
    "keyCertSign": ((), ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,cRLSign")),
    "cRLSign": ((), ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")),
    "it is no CA": ((), ("basicConstraints=critical,CA:FALSE",)),
    "clientAuth": ((), (*_EXTENSIONS, "extendedKeyUsage=serverAuth")),
    "not known to OpenSSL": ((), (*_EXTENSIONS, "1.2.3.4.5=critical,DER:0500")),
    "no subjectKeyIdentifier": ((), (*_EXTENSIONS, "subjectKeyIdentifier=none")),
    "RSA key of 1024 bits": (("rsa:1024",), _EXTENSIONS),
    "curve 'secp521r1'": (("ec", "-pkeyopt", "ec_paramgen_curve:P-521"), _EXTENSIONS),
}


@pytest.mark.parametrize("what", HARD)
def test_a_ca_that_is_of_no_use_is_refused_before_a_passphrase_is_asked(tmp_path: Path, what: str) -> None:
    key, extensions = HARD[what]
    make_ca(tmp_path, key=key or _EC, extensions=extensions)
    (tmp_path / "given").write_text("no key at all")
    told = take_over(tmp_path, "given", expect=6).stderr
    assert "cannot be taken over" in told
    assert what in told
    assert not (tmp_path / "state").exists()


def test_one_that_expired_or_stands_below_another_is_refused(tmp_path: Path) -> None:
    over = OldFleet(tmp_path / "over", begin=-timedelta(days=20), days=10)
    assert "it expired at" in take_over(over.folder, "ca.key", cert="ca.crt", expect=6).stderr
    root = make_ca(tmp_path)
    make_ca(tmp_path / "low", "-CA", "../ca.pem", "-CAkey", "../key.pem", name="/CN=Station")
    assert "--chain" in take_over(root / "low", "key.pem", expect=6).stderr
    assert "path length" in take_over(root / "low", "key.pem", "--chain", "../ca.pem", expect=6).stderr


WARNED = {
    "ed25519": (("ed25519",), _EXTENSIONS, ()),
    "key-usage": (_EC, ("basicConstraints=critical,CA:TRUE,pathlen:0",), ()),
    "path-length": (_EC, ("basicConstraints=critical,CA:TRUE", _EXTENSIONS[1]), ()),
    "old-digest": (_EC, _EXTENSIONS, ("-sha1",)),
    "name": (_EC, _EXTENSIONS, ("-subj", "/CN=Easy-RSA CA")),
    "name-constraints": (_EC, (*_EXTENSIONS, "nameConstraints=permitted;DNS:plant"), ()),
    "validity": (_EC, _EXTENSIONS, ("-days", "200")),
}


@pytest.mark.parametrize("rule", WARNED)
def test_what_will_not_work_everywhere_is_told_with_what_it_means(tmp_path: Path, rule: str) -> None:
    key, extensions, options = WARNED[rule]
    make_ca(tmp_path, *options, key=key, extensions=extensions)
    result = take_over(tmp_path, "key.pem", "--json")
    (finding,) = result.json["findings"]
    assert finding["rule"] == rule
    assert f"warning: {finding['what']}: {finding['meaning']}" in result.stderr


def test_a_ca_that_is_taken_over_is_as_it_is(tmp_path: Path) -> None:
    make_ca(tmp_path)
    for words in (("--common-name", "X"), ("--validity-days", "3650"), ("--key-type", "ec-p256")):
        assert "as it is" in take_over(tmp_path, "key.pem", *words, expect=2).stderr
    alone = run_cli("init-ca", "--import-cert", "ca.pem", "--state", "state", cwd=tmp_path, expect=2)
    assert "--import-key" in alone.stderr
