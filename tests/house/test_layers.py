"""The house: imports run one way, each outside library has its rooms, and the edge is one place.

cli -> commands -> {health, enrolment, office} -> ca -> state -> {delivery, broker, exchange} -> {store, pki}
    -> disk -> model -> ids -> errors
"""

from __future__ import annotations

import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from support.source import none_of, read_package, room_of

MODULES = read_package()

# A room may import from itself and from the rooms below it; rooms of one floor do not know each other.
FLOORS = (
    {"__init__"},
    {"errors"},
    {"ids"},
    {"model"},
    {"disk"},
    {"pki", "store"},
    {"delivery", "broker", "exchange"},
    {"state"},
    {"ca"},
    {"health", "enrolment", "office"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

# Which rooms may import a library. Nothing else outside the standard library is allowed at all.
LIBRARIES = {
    "cryptography": {"pki", "delivery", "ca", "broker"},
    "typer": {"cli"},
    "rich": {"cli"},
    "pyzipper": {"delivery", "ca"},
    "Cryptodome": {"pki", "ca"},
    "pkcs11": {"ca"},
    "segno": {"delivery"},
    "fpdf": {"delivery"},
    "PIL": {"delivery"},
    "esp_idf_nvs_partition_gen": {"delivery"},
    "tomli_w": {"state"},
    "psycopg": {"store"},
}
NETWORK = {
    "asyncio",
    "ftplib",
    "http",
    "imaplib",
    "poplib",
    "smtplib",
    "socket",
    "socketserver",
    "ssl",
    "urllib",
    "xmlrpc",
}
PURE = (
    "pki",
    "delivery.formats",
    "health.report",
    "broker.acl",
    "broker.conf",
    "broker.conf_check",
    "broker.pem_views",
    "broker.problems",
    "broker.region_check",
    "broker.region",
    "broker.render",
    "broker.topics",
    "broker.verdict",
)  # values in, octets or text out
IO_MODULES = {
    "iotonboard.disk.files",
    "iotonboard.disk.reading",
    "pathlib",
    "shutil",
    "sqlite3",
    "subprocess",
    "tempfile",
}


def test_every_room_has_a_floor() -> None:
    """A new room gets its floor in this test and its line in the design."""
    none_of(module.name for module in MODULES if module.room not in FLOOR_OF)


def test_imports_go_down() -> None:
    none_of(
        f"{module.name} imports {name}, which is not below it"
        for module in MODULES
        for name in module.own
        if room_of(name) != module.room and FLOOR_OF[room_of(name)] >= FLOOR_OF[module.room]
    )


def test_nothing_imports_in_a_circle() -> None:
    names = {module.name for module in MODULES}
    try:
        TopologicalSorter({module.name: module.loaded & names for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_commands_do_not_import_each_other() -> None:
    none_of(
        f"{module.name} imports {name}"
        for module in MODULES
        for name in module.own
        if module.room == room_of(name) == "commands"
    )


def test_every_library_has_its_rooms() -> None:
    none_of(
        f"{module.name} imports {name}"
        for module in MODULES
        for name in module.loaded
        if module.room not in LIBRARIES.get(name.split(".")[0], {module.room})
    )


def test_nothing_else_from_outside() -> None:
    known = {"iotonboard", *LIBRARIES, *sys.stdlib_module_names}
    none_of(
        f"{module.name} imports {name}"
        for module in MODULES
        for name in module.loaded
        if name.split(".")[0] not in known
    )


def test_no_network() -> None:
    none_of(
        f"{module.name} imports {name}" for module in MODULES for name in module.loaded if name.split(".")[0] in NETWORK
    )


def test_only_the_cli_imports_inside_functions() -> None:
    none_of(f"{module.name}: {module.lazy}" for module in MODULES if module.lazy and module.room != "cli")


def test_the_cli_loads_a_command_only_when_it_is_called() -> None:
    light = {"__init__", "cli", "disk", "errors", "ids", "model"}
    for module in MODULES:
        if module.room == "cli":
            assert {room_of(name) for name in module.imports if name.startswith("iotonboard")} <= light, module.name
            assert "rich" not in {name.split(".")[0] for name in module.imports}, module.name


# What the files of the verbs may load besides commands: what makes values of words, shows values, or runs a batch.
BESIDE_COMMANDS = {
    "iotonboard.broker.reload_method": "reads the way to reload",
    "iotonboard.ca.credentials": "writes what was registered below a folder",
    "iotonboard.ca.passphrase": "reads a new passphrase",
    "iotonboard.ca.secrets_asked": "names the secrets that are asked for",
    "iotonboard.ca.shares": "reads a passphrase in shares",
    "iotonboard.ca.token_uri": "reads the name of a key in a token",
    "iotonboard.ca.vault": "spells a passphrase that it made",
    "iotonboard.delivery.cloud_table": "names the clouds",
    "iotonboard.delivery.formats.table": "names the formats",
    "iotonboard.delivery.labels": "names the sheets",
    "iotonboard.disk.csv_form": "prints a CSV",
    "iotonboard.disk.files": "makes the folder of an export",
    "iotonboard.health.checks.table": "names the checks",
    "iotonboard.health.expiry": "shows what expires",
    "iotonboard.health.finding": "names the verdicts",
    "iotonboard.health.report.fleet_page": "draws the report of an office",
    "iotonboard.health.report.page": "draws the report",
    "iotonboard.disk.permissions": "knows whether a user is there",
    "iotonboard.pki.built_in_profiles": "names the profiles",
    "iotonboard.pki.csr": "reads a request",
    "iotonboard.pki.reported_key": "reads the key that a device reported",
    "iotonboard.state.settings_seal": "verifies the seal of the settings",
}


def test_the_cli_calls_commands() -> None:
    """A verb's protocol is in its command. The session alone opens the state, and finishes earlier calls; completion
    looks into it.
    """
    opens = {f"iotonboard.cli.{name}" for name in ("session", "office_session", "left_over", "complete")}
    none_of(
        f"{module.name} loads {name}"
        for module in MODULES
        if module.room == "cli" and module.name not in opens
        for name in module.lazy
        if name.startswith("iotonboard.") and name not in BESIDE_COMMANDS
        if room_of(name) not in ("cli", "commands", "enrolment", "errors", "ids", "model")
    )


AMBIENT = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "os.environ", "os.getenv"}
TERMINAL = {"print()", "input()", "exit()", "getpass()", "breakpoint()"}


def test_clock_environment_and_streams_are_the_cli_s_alone() -> None:
    """Below the edge they are arguments."""
    allowed = {("disk", "sys.platform")}
    none_of(
        f"{module.name} touches {name}"
        for module in MODULES
        if module.room not in ("cli", "__main__")
        for name in module.touched
        if (name in AMBIENT | TERMINAL or name.startswith("sys.")) and (module.room, name) not in allowed
    )


def test_the_pure_parts_touch_no_file() -> None:
    for module in MODULES:
        if f"{module.name}.".startswith(tuple(f"iotonboard.{name}." for name in PURE)):
            assert module.imports & IO_MODULES == set(), module.name
            assert "open()" not in module.touched, module.name


def test_files_are_synced_and_renamed_in_one_place() -> None:
    """What replaces a published file does it in one place, so that none is ever half-written.

    The password file is the one that is appended to, line by line, and synced for each.
    """
    doing = {"os.fsync", "os.replace", "os.rename", "os.chmod", "os.fchmod", "os.link"}
    found = {(module.name, name) for module in MODULES for name in module.touched & doing}
    rooms = {"iotonboard.disk.entries", "iotonboard.disk.files", "iotonboard.disk.folders"}
    elsewhere = {(name, call) for name, call in found if name not in rooms}
    assert elsewhere == {("iotonboard.enrolment.password_file", "os.fsync")}
    assert found > elsewhere


def test_these_tests_see_what_they_forbid(tmp_path: Path) -> None:
    """The reader itself: imports in functions, under conditions, aliased, and those for the type checker."""
    room = tmp_path / "iotonboard" / "pki"
    (tmp_path / "iotonboard" / "cli").mkdir(parents=True)
    room.mkdir()
    (room.parent / "files.py").touch()
    (room.parent / "cli" / "app.py").touch()
    (room / "made_up.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "import os as x\n"
        "from iotonboard import files\n"
        "if TYPE_CHECKING:\n    from iotonboard.cli import app\n"
        "def f():\n    try:\n        import typer\n    except ImportError:\n        pass\n    return sys.argv\n"
    )
    module = next(module for module in read_package(room.parent) if module.room == "pki")
    assert module.name == "iotonboard.pki.made_up"
    assert module.imports == {"typing", "os", "iotonboard.files"}
    assert module.lazy == {"typer"}
    assert module.typing == {"iotonboard.cli.app"}
    assert "sys.argv" in module.touched
