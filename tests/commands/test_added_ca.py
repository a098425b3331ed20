"""A CA beside the one of brokers, for devices that are servers too: added, used, revoked at, and kept apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support.client import open_bundle
from support.clock import fake_time
from support.indexes import lose_pages
from support.program import State
from support.tampering import edit

SERVER = ("--profile", "server", "--set", "host=web.test")
LISTED = """device_id,profile,host,vendor,product
m1,,,,
s1,server,s1.test,,
m2,mqtt,,,
s2,server,,,
"""


@pytest.fixture(scope="session")
def with_servers(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """A state with an added CA that issued nothing yet. Read only: copy it, or use ``servers``."""
    state = pristine.copy_to(tmp_path_factory.mktemp("with-servers"))
    state.run("ca", "add", "servers", "--key-type", "ec-p256")
    return state


@pytest.fixture
def servers(with_servers: State, tmp_path: Path) -> State:
    return with_servers.copy_to(tmp_path)


def folder(state: State) -> Path:
    return state.certs / "cas" / "servers"


def own_ca(state: State) -> bytes:
    return x509.load_pem_x509_certificate((folder(state) / "ca.crt").read_bytes()).public_bytes(Encoding.DER)


def listed(state: State, *, of_added: bool) -> set[str]:
    path = (folder(state) if of_added else state.certs) / "crl.pem"
    return {f"{one.serial_number:040X}" for one in x509.load_pem_x509_crl(path.read_bytes())}


def test_without_it_the_profile_is_refused_with_the_command_that_makes_it(state: State) -> None:
    refused = state.run("register", "web-1", *SERVER, expect=6)
    assert "iotonboard ca add servers" in refused.stderr
    assert not (state.path / "cas").exists()


def test_it_is_told_in_the_trail_with_a_signature_and_made_once(servers: State) -> None:
    told = servers.run("audit", "show", "--json").json_lines
    (added,) = [one for one in told if one["verb"] == "ca add" and one["serial"]]
    assert added["detail"]["added_ca"] == "servers"
    assert {"which", "vouched"} < added["detail"].keys()
    assert "exists" not in servers.run("ca", "add", "servers", expect=4).stderr.split("hint")[1]
    for name in ("Servers", "../x", "a b", "con", ""):
        servers.run("ca", "add", name, expect=(2, 6))
    assert servers.json("health", "--deep")["status"] == "ok"


def test_a_profile_that_names_it_is_issued_by_it_and_nobody_else_trusts_it(servers: State) -> None:
    (made,) = servers.run("register", "web-1", *SERVER, "--json").json_lines
    (mqtt,) = servers.register("m1")
    bundle, other = (open_bundle(Path(one["bundle"]), one["bundle_password"]) for one in (made, mqtt))
    certificate = x509.load_pem_x509_certificate(bundle["device.crt"])
    ca = x509.load_pem_x509_certificate(bundle["ca.crt"])
    certificate.verify_directly_issued_by(ca)
    assert ca.public_bytes(Encoding.DER) == own_ca(servers)
    servers.run("broker", "issue", "broker.test")
    servers.run("pack", "--out", servers.path.parent / "package")
    text = (folder(servers) / "ca.crt").read_bytes().split(b"-----")[2].strip()
    kept = [folder(servers), Path(made["bundle"])]
    for path in sorted(servers.path.parent.rglob("*")):
        if path.is_file() and not any(path.is_relative_to(one) for one in kept):
            assert text not in path.read_bytes(), path
            assert own_ca(servers) not in path.read_bytes() or path == servers.path / "cas/servers/devices.db", path
    assert text not in other["ca.crt"]
    assert "web-1" not in servers.acl.read_text()


def test_a_list_has_devices_of_both_cas(servers: State, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(LISTED)
    answers = servers.run("register", "--batch", path, "--json", expect=6).json_lines
    assert [one["device_id"] for one in answers] == ["m1", "s1", "m2", "s2"]
    assert [one["status"] for one in answers] == ["created", "created", "created", "failed"]
    path.write_text(LISTED.replace("s2,server,", "s2,server,s2.test"))
    again = servers.run("register", "--batch", path, "--json", "--if-exists", "skip").json_lines
    assert [one["status"] for one in again] == ["skipped", "skipped", "skipped", "created"]
    lines = "".join(
        json.dumps(one) + "\n" for one in ({"id": "m3"}, {"id": "s3", "profile": "server", "host": "h.test"})
    )
    streamed = servers.run("register", "--stream", input=lines + "m4\n").json_lines
    assert [one["device_id"] for one in streamed] == ["m3", "s3", "m4"]
    assert "user m4" in servers.acl.read_text()
    assert "s3" not in servers.acl.read_text()


def test_a_revocation_is_on_the_list_of_its_own_ca_alone(servers: State) -> None:
    servers.run("register", "web-1", *SERVER)
    servers.register("m1")
    serial = servers.json("show", "web-1", "--ca", "servers")["certificates"][0]["serial"]
    answer = servers.run("revoke", "web-1", "--json").json
    assert answer["serials"] == [serial]
    assert listed(servers, of_added=True) == {serial}
    assert listed(servers, of_added=False) == set()
    der = x509.load_der_x509_crl((folder(servers) / "crl.der").read_bytes())
    assert [f"{one.serial_number:040X}" for one in der] == [serial]
    servers.run("revoke", "--serial", serial, "--reason", "keyCompromise")
    generated = servers.json("gen-crl")
    assert generated["revoked"] == 0
    assert [(one["ca"], one["revoked"]) for one in generated["added"]] == [("servers", 1)]
    assert servers.json("health", "--deep")["status"] == "ok"
    assert servers.json("health", "--deep", "--ca", "servers")["status"] == "ok"


def test_a_device_of_both_is_revoked_at_both(servers: State) -> None:
    servers.register("m1")
    servers.run("register", "m1", *SERVER)
    assert "user m1" in servers.acl.read_text()
    assert [one["device_id"] for one in servers.run("revoke", "m1", "--json").json_lines] == ["m1", "m1"]
    assert len(listed(servers, of_added=True)) == len(listed(servers, of_added=False)) == 1
    assert "m1" not in servers.acl.read_text()


def test_who_was_a_client_once_is_not_let_in_by_a_certificate_of_a_server(servers: State) -> None:
    servers.register("m1")
    servers.run("revoke", "m1")
    before = servers.acl.read_text()
    servers.run("register", "m1", *SERVER)
    servers.run("sync-acl")
    assert servers.acl.read_text().splitlines()[1:] == before.splitlines()[1:]


def test_a_revocation_waits_for_neither_ca(servers: State) -> None:
    """Whose key or folder is away is told (exit 8); the other list is signed."""
    servers.register("m1", "m2")
    servers.run("register", "web-1", *SERVER)
    servers.run("register", "web-2", *SERVER)
    away = servers.path.parent / "away"
    (folder(servers) / "ca.key").rename(away)
    told = servers.run("revoke", "m1", "web-1", "--json", expect=8).json_lines
    assert [one["device_id"] for one in told] == ["m1", "web-1"]
    assert told[0]["crl_number"] is not None
    assert len(listed(servers, of_added=False)) == 1
    assert "cas/servers" in told[0]["unpublished"][0]["path"]
    away.rename(folder(servers) / "ca.key")
    (servers.certs / "ca.key").rename(away)
    servers.run("revoke", "web-2", "m2", expect=8)
    assert len(listed(servers, of_added=True)) == 2
    away.rename(servers.certs / "ca.key")
    servers.run("gen-crl")
    assert len(listed(servers, of_added=False)) == 2


def test_names_of_brokers_are_refused(servers: State) -> None:
    servers.run("broker", "issue", "broker.test", "10.0.0.7", "::1")
    servers.run("broker", "issue", "broker.test", "new.test")
    for host in ("broker.test", "BROKER.test", "new.test"):
        refused = servers.run("register", "web-1", "--profile", "server", "--set", f"host={host}", expect=6)
        assert "is the name of a broker" in refused.stderr
    (servers.path / "iotonboard.toml").write_text(
        '[profiles.box]\nsubject = ["common_name={device_id}"]\nsan = ["ip:{attr.ip}"]\neku = ["serverAuth"]\n'
        'ca = "servers"\n'
    )
    servers.run("config", "accept")
    for address in ("10.0.0.7", "0:0::1"):
        servers.run("register", "web-1", "--profile", "box", "--set", f"ip={address}", expect=6)
    servers.run("register", "web-1", "--profile", "box", "--set", "ip=10.0.0.8")


def test_it_issues_nothing_to_mqtt_clients(servers: State) -> None:
    servers.run("register", "m1", "--ca", "servers", expect=6)
    servers.run("register", "m1", "--ca", "servers", "--profile", "azure", expect=6)
    servers.run("broker", "issue", "broker.test", "--ca", "servers", expect=6)
    servers.run("show", "m1", "--ca", "nothing", expect=5)


def test_a_planted_one_counts_for_nothing(servers: State, with_servers: State, tmp_path: Path) -> None:
    """Somebody who can write puts another CA, whose key he has, in the place of the one that was added."""
    (tmp_path / "other").mkdir()
    other = with_servers.copy_to(tmp_path / "other")
    other.run("ca", "add", "evil", "--key-type", "ec-p256")
    for part in (servers.path, servers.certs):
        shutil.rmtree(part / "cas" / "servers")
    shutil.copytree(other.path / "cas/evil", servers.path / "cas/servers")
    shutil.copytree(other.certs / "cas/evil", servers.certs / "cas/servers")
    refused = servers.run("register", "web-1", *SERVER, expect=3)
    assert "is not the database of the CA 'servers'" in refused.stderr
    servers.register("m1")
    edit(servers, "UPDATE audit SET detail = json_set(detail, '$.added_ca', 'evil') WHERE command = 'ca add'")
    servers.run("register", "web-1", *SERVER, expect=6)


def test_its_database_is_no_state_by_itself(servers: State) -> None:
    alone = State(servers.path / "cas" / "servers", servers.passphrase_file)
    refused = alone.run("list", expect=(3, 6))
    assert "--ca" in refused.stderr


def test_verbs_find_a_device_at_its_ca(servers: State, tmp_path: Path) -> None:
    servers.register("m1")
    (made,) = servers.run("register", "web-1", *SERVER, "--json").json_lines
    listed = servers.run("list", "--json").json_lines
    assert [(one["device_id"], one.get("ca")) for one in listed] == [("m1", None), ("web-1", "servers")]
    shown = servers.run("show", "web-1", "m1", "--json").json_lines
    assert [(one["device_id"], one.get("ca")) for one in shown] == [("web-1", "servers"), ("m1", None)]
    assert servers.json("show", made["serial"])["device_id"] == "web-1"
    servers.run("export", "web-1", "--format", "pem", "--out", tmp_path / "web-1")
    exported = x509.load_pem_x509_certificate((tmp_path / "web-1" / "ca.crt").read_bytes())
    assert exported.public_bytes(Encoding.DER) == own_ca(servers)
    (tmp_path / "ids").write_text("m1\nweb-1\n")
    paths = [
        one["path"]
        for one in servers.run("export", "--batch", tmp_path / "ids", "--out", tmp_path / "all", "--json").json_lines
    ]
    assert len(paths) == 2
    assert servers.run("bundle", "password", "web-1").stdout.strip() == made["bundle_password"]
    assert len(servers.run("deliver", "m1", "web-1", "--json").json_lines) == 2
    assert len(servers.run("deliveries", "--json").json_lines) == 2
    servers.run("confirm", "web-1", "--fingerprint", made["fingerprint"])
    servers.run("purge", "web-1")
    servers.run("bundle", "password", "web-1", expect=5)
    renewed = servers.run("renew", "--expiring-within", "1000", "--revoke-old", "now", "--json").json_lines
    assert [one["device_id"] for one in renewed] == ["m1", "web-1"]
    assert listed_serials(servers) == {made["serial"]}
    assert servers.json("show", "web-1")["certificates"][0]["profile"] == "server"
    servers.run("renew", "m1", "--profile", "server", expect=6)
    servers.run("revoke", "web-1", "--reason", "hold")
    servers.run("release", "web-1")
    servers.run("retire", "web-1")
    servers.run("register", "web-1", *SERVER, expect=4)
    assert servers.json("health", "--deep")["status"] == "ok"


def listed_serials(state: State) -> set[str]:
    return listed(state, of_added=True)


def test_its_key_goes_over_to_a_new_one_by_name(servers: State) -> None:
    servers.run("register", "web-1", *SERVER)
    main = (servers.certs / "ca.crt").read_bytes()
    told = servers.run("ca", "rollover", "begin", "--ca", "servers").stderr
    assert "to no broker" in told
    assert "reload" not in told
    servers.run("register", "web-2", *SERVER)
    assert (folder(servers) / "crl-old.der").exists()
    status = servers.json("ca", "status")
    assert [(one["ca"], one["role"], one["valid_devices"]) for one in status["added"]] == [
        ("servers", "issuing", 1),
        ("servers", "trusted", 1),
    ]
    assert status["status"] == "none"
    servers.run("renew", "--old-ca", "--revoke-old", "now")
    servers.run("ca", "rollover", "--retire", "--ca", "servers")
    assert not (folder(servers) / "crl-old.der").exists()
    assert (servers.certs / "ca.crt").read_bytes() == main
    due = servers.run("expiring", "--within", "4000", "--json", expect=9).json_lines
    assert [one["kind"] for one in due].count("ca") == 2
    assert {one["name"] for one in due if one["kind"] == "device"} == {"web-1", "web-2"}
    assert "ca rollover begin --ca servers" in servers.run("expiring", "--within", "4000", expect=9).stderr
    assert servers.json("health", "--deep")["status"] == "ok"


def test_a_rollover_of_the_state_s_ca_changes_nothing_for_it(servers: State) -> None:
    servers.run("ca", "rollover", "begin")
    servers.run("ca", "rollover", "--retire")
    servers.run("register", "web-1", *SERVER)
    assert servers.json("health", "--deep")["status"] == "ok"
    assert [one["ca"] for one in servers.json("ca", "status")["added"]] == ["servers"]


def test_one_passphrase_opens_both_and_changes_for_both(servers: State, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    paths = servers.json("ca", "passwd", "--generate-key-file", fresh)["key_files"]
    assert [Path(path).parent for path in paths] == [servers.certs, folder(servers)]
    servers.run("register", "web-1", *SERVER, expect=7)
    text = fresh.read_text()
    servers.run("register", "web-1", *SERVER, "--passphrase-file", "-", input=text)
    servers.run("revoke", "web-1", "--passphrase-file", "-", input=text)


def test_a_backup_brings_it_back_with_what_its_list_revokes(servers: State, tmp_path: Path) -> None:
    servers.run("register", "web-1", *SERVER)
    servers.run("register", "web-2", *SERVER)
    servers.run("backup", tmp_path / "backup.zip")
    servers.run("revoke", "web-1")
    both = (servers.certs / "crl.pem").read_bytes() + (folder(servers) / "crl.pem").read_bytes()
    (tmp_path / "crl.pem").write_bytes(both)
    files = servers.json("restore", tmp_path / "backup.zip", "--check")["files"]
    assert {"cas/servers/devices.db", "cas/servers/ca.key"} <= {one["name"] for one in files}
    back = State(tmp_path / "back", servers.passphrase_file)
    result = back.json("restore", tmp_path / "backup.zip", "--crl", tmp_path / "crl.pem")
    assert result["taken_up"] == 1
    assert back.json("show", "web-1")["status"] == "revoked"
    assert len(listed(back, of_added=True)) == 1
    back.run("health", "--repair")
    back.run("register", "web-3", *SERVER)
    assert back.json("health", "--deep")["status"] == "ok"
    without = State(tmp_path / "without", servers.passphrase_file)
    without.run("restore", tmp_path / "backup.zip", "--no-crl")
    assert without.json("gen-crl")["added"][0]["crl_number"] > 1_000_000


def test_what_is_wrong_with_it_is_told_and_holds_no_mqtt_client_back(servers: State) -> None:
    servers.run("register", "web-1", *SERVER)
    servers.register("m1")
    database = servers.path / "cas" / "servers" / "devices.db"
    content = database.read_bytes()
    database.write_bytes(content[:4096] + b"\0" * (len(content) - 4096))
    servers.register("m2")
    servers.run("renew", "m1")
    told = servers.run("revoke", "m1", "m2", "--json", expect=8).json_lines  # nobody can say whether it has them too
    assert [one["device_id"] for one in told] == ["m1", "m2"]
    assert len(listed(servers, of_added=False)) == 3  # one was renewed
    assert servers.run("revoke", "web-1", expect=3).exit_code
    found = {one["name"]: one["status"] for one in servers.json("health", expect=9)["checks"]}
    assert [name for name, status in found.items() if status == "failed"] == ["added-cas"]
    assert servers.run("health", "--deep", expect=9)
    servers.run("gen-crl", expect=8)
    shutil.rmtree(servers.path / "cas")
    assert "is gone" in servers.run("health", "--check", "added-cas", expect=9).stdout
    assert "servers" in servers.run("health", "--deep", expect=9).stdout
    assert "--anew" in servers.run("ca", "add", "servers", expect=4).stderr
    servers.run("ca", "add", "servers", "--anew", expect=4)
    shutil.rmtree(folder(servers))
    servers.run("ca", "add", "servers", "--anew", "--key-type", "ec-p256")
    servers.run("register", "web-1", *SERVER)
    assert servers.json("health", "--deep")["status"] == "ok"


def test_edits_of_its_database_are_found(servers: State) -> None:
    servers.run("register", "web-1", *SERVER)
    edit(State(servers.path / "cas" / "servers", servers.passphrase_file), "UPDATE device SET name = 'other'")
    assert "CA servers" in servers.run("health", "--deep", expect=9).stdout


def test_a_broker_gets_no_name_of_a_server_and_takes_none(servers: State) -> None:
    servers.run("register", "web-1", *SERVER)
    servers.run("broker", "issue", "web.test", expect=4)
    servers.register("m1")
    servers.run("verify", "m1")
    judged = servers.json("verify", "web-1", expect=9)["devices"]
    assert [(one["device_id"], one["at_start"]["accepted"]) for one in judged] == [("web-1", False)]


def test_its_stolen_key_is_replaced_and_nobody_else_notices(servers: State) -> None:
    servers.register("m1")
    (made,) = servers.run("register", "web-1", *SERVER, "--json").json_lines
    before = [(servers.certs / name).read_bytes() for name in ("ca.crt", "crl.pem")]
    told = servers.run("ca", "replace", "--compromised", "--ca", "servers").stderr
    assert "to no broker" in told
    assert "pack" not in told
    assert [(servers.certs / name).read_bytes() for name in ("ca.crt", "crl.pem")] == before
    assert servers.json("show", "web-1")["status"] == "revoked"
    renewed = servers.run("renew", "web-1", "--json").json
    assert renewed["serial"] != made["serial"]
    assert servers.json("show", "m1")["status"] == "active"
    assert servers.json("health", "--deep")["status"] == "ok"
    assert "servers" in servers.run("ca", "replace", "--compromised").stderr
    servers.run("register", "web-2", *SERVER)


def test_one_passphrase_stays_one(servers: State, tmp_path: Path) -> None:
    for words in (("rollover", "begin"), ("replace", "--compromised")):
        own = ("--ca", "servers", "--generate-key-file", tmp_path / "own")
        assert "opens the CAs" in servers.run("ca", *words, *own, expect=2).stderr
        token = ("--key", "pkcs11:token=t;object=ca?module-path=/lib/none.so")
        assert "CA servers" in servers.run("ca", *words, *token, expect=4).stderr
    assert not (tmp_path / "own").exists()


def test_a_link_to_its_bundle_ends(servers: State) -> None:
    servers.run("register", "web-1", *SERVER)
    path = Path(servers.json("deliver", "web-1", "--minutes", "1")["path"])
    assert path.exists()
    servers.run("list", env=fake_time("+2m"))
    assert not path.exists()


def test_a_deferred_revocation_names_the_head_of_its_own_trail(servers: State) -> None:
    servers.register("m1")
    servers.run("register", "m1", *SERVER)
    told = servers.run("revoke", "m1", "--defer", "--json")
    heads = {one.get("ca", ""): one["audit_head"] for one in told.json_lines}
    servers.run("audit", "verify", "--head", heads[""])
    servers.run("audit", "verify", "--head", heads["servers"], "--ca", "servers")
    assert "audit verify --ca servers --head" in told.stderr
    assert len(listed(servers, of_added=True)) == 0
    servers.run("gen-crl")
    assert len(listed(servers, of_added=True)) == 1


def test_it_gives_no_topics(servers: State) -> None:
    servers.run("register", "web-1", *SERVER, "--topic", "read:plant/x", expect=6)
    servers.run("register", "web-1", *SERVER)
    servers.run("topics", "add", "web-1", "read:plant/x", expect=5)


def test_a_damaged_index_hides_no_certificate_of_a_device_of_both(servers: State) -> None:
    servers.register("m1")
    servers.run("register", "m1", *SERVER)
    lose_pages(servers.path / "devices.db", "sqlite_autoindex_device_1")
    servers.run("revoke", "m1")
    assert len(listed(servers, of_added=True)) == len(listed(servers, of_added=False)) == 1


def test_sync_acl_publishes_what_is_missing_of_it(servers: State) -> None:
    servers.run("register", "web-1", *SERVER)
    for name in ("crl.pem", "crl.der", "ca.crt"):
        (folder(servers) / name).unlink()
    servers.run("sync-acl")
    assert {"crl.pem", "crl.der", "ca.crt"} <= {path.name for path in folder(servers).iterdir()}


def test_a_disk_that_is_away_holds_the_list_back_and_nothing_else(servers: State) -> None:
    servers.run("register", "web-1", *SERVER)
    folder(servers).rename(servers.path.parent / "away")
    told = servers.run("revoke", "web-1", expect=8).stderr
    assert "is missing" in told
    assert "crl.der" not in told
    servers.register("m1")
    (servers.path.parent / "away").rename(folder(servers))
    assert servers.json("gen-crl")["added"][0]["revoked"] == 1


def test_the_page_of_the_state_tells_of_it_and_it_has_one_of_its_own(servers: State, tmp_path: Path) -> None:
    servers.run("register", "cell-9", "--profile", "server", "--set", "host=cell-9.plant.example")
    (added,) = servers.json("report", "--out", tmp_path / "page.html")["added"]
    assert (added["name"], added["devices"]) == ("servers", 1)
    assert "report --ca servers" in (tmp_path / "page.html").read_text()
    assert servers.json("report", "--ca", "servers", "--out", tmp_path / "own.html")["added"] == []
    (servers.path / "cas" / "servers" / "devices.db").unlink()
    assert servers.json("report", "--out", tmp_path / "again.html")["added"] == []


def test_another_copy_of_it_is_seen_and_its_revocations_are_taken_up(servers: State, tmp_path: Path) -> None:
    servers.run("register", "web-1", *SERVER)
    (tmp_path / "other").mkdir()
    other = servers.copy_to(tmp_path / "other")
    other.run("revoke", "web-1")
    shutil.copy(folder(other) / "crl.pem", folder(servers) / "crl.pem")
    refused = servers.run("register", "web-2", *SERVER, expect=4)
    assert "restore --crl FILE --ca servers" in refused.stderr
    servers.register("m1")
    servers.run("restore", "--crl", folder(other) / "crl.pem", "--ca", "servers")
    assert servers.json("show", "web-1")["status"] == "revoked"
    servers.run("register", "web-2", *SERVER)
    servers.run("restore", "backup.zip", "--no-crl", "--ca", "servers", expect=2)


def test_no_broker_gets_it_by_another_way(servers: State, tmp_path: Path) -> None:
    """Not as a CA of others, whatever certificate of its key is named, nor by a setting that names its files."""
    given = tmp_path / "given"
    shutil.copytree(folder(servers), given)
    servers.run("ca", "trust", "add", given / "ca.crt", "--crl", given / "crl.pem", expect=4)
    servers.run("ca", "rollover", "begin", "--ca", "servers")
    servers.run("ca", "trust", "add", folder(servers) / "ca.crt", "--crl", folder(servers) / "crl.pem", expect=4)
    for key in ("broker_ca_file", "broker_crl_file", "broker_acl_file", "database_url"):
        for name in ("certs/cas/servers/ca.crt", "certs/cas/servers/ca.key", "certs/cas/x", "cas/servers/devices.db"):
            value = f"sqlite:///{name}" if key == "database_url" else name
            servers.run("config", "set", key, value, expect=(3, 4, 6))
    assert servers.json("health", "--deep")["status"] == "ok"
