"""The house: imports run one way, each outside library has its rooms, and the edge is one place.

    cli -> commands -> {health, enrolment} -> ca -> state -> {delivery, broker} -> {store, pki, files}
        -> permissions -> model -> errors

Read from the source, so that an import inside a function, and one for the type checker alone, count as much as one at
the top: who names a type of a room depends on that room.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "iotonboard"

# A room may import from itself and from the rooms below it; rooms of one floor do not know each other.
FLOORS = (
    {"__init__"},
    {"errors"},
    {"model"},
    {"permissions"},
    {"files", "pki", "store"},
    {"delivery", "broker"},
    {"state"},
    {"ca"},
    {"health", "enrolment"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

# Which parts of the package may import a library. Nothing else outside the standard library is allowed at all.
LIBRARIES = {
    "cryptography": {"pki", "delivery", "ca", "broker"},
    "typer": {"cli"},
    "rich": {"cli"},
    "pyzipper": {"delivery", "commands"},
    "segno": {"delivery"},
    "fpdf": {"delivery"},
    "PIL": {"delivery"},
    "tomli_w": {"commands"},
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
    "broker.recheck",
    "broker.region",
    "broker.render",
    "broker.topics",
    "broker.verdict",
)  # values in, octets or text out
IO_MODULES = {"iotonboard.files", "pathlib", "shutil", "sqlite3", "subprocess", "tempfile"}


@dataclass
class Module:
    """What one file imports and touches."""

    path: Path
    name: str
    imports: dict[str, int] = field(default_factory=dict)
    lazy: dict[str, int] = field(default_factory=dict)
    typing: dict[str, int] = field(default_factory=dict)
    edges: list[str] = field(default_factory=list)

    @property
    def part(self) -> str:
        """The room: the first name below ``iotonboard``."""
        return self.name.split(".")[1] if "." in self.name else "__init__"

    def own(self) -> Iterator[str]:
        """Imports from the package itself, those for the type checker included, as full module names."""
        for name in (*self.imports, *self.lazy, *self.typing):
            if name.split(".")[0] == "iotonboard":
                yield name


def read_module(path: Path, names: set[str]) -> Module:
    name = module_name(path)
    module = Module(path, name)
    tree = ast.parse(path.read_text(encoding="utf-8"))

    def visit(node: ast.AST, in_function: bool, for_types: bool = False) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                visit(child, in_function, for_types=True)
                continue
            target = module.typing if for_types else module.lazy if in_function else module.imports
            if isinstance(child, ast.Import):
                target.update({alias.name: child.lineno for alias in child.names})
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: imports are absolute"
                for alias in child.names:
                    full = f"{child.module}.{alias.name}"
                    target[full if full in names else str(child.module)] = child.lineno
            elif isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
                module.edges.append(f"{child.value.id}.{child.attr}")
            elif isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
                module.edges.append(f"{child.func.id}()")
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            visit(child, in_function or is_function, for_types)

    visit(tree, in_function=False)
    return module


def module_name(path: Path) -> str:
    dotted = path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
    return dotted.removesuffix(".__init__")


def read_package() -> list[Module]:
    files = sorted(PACKAGE.rglob("*.py"))
    names = {module_name(path) for path in files}
    return [read_module(path, names) for path in files]


MODULES = read_package()
NAMES = {module.name for module in MODULES}
EACH = pytest.mark.parametrize("module", MODULES, ids=[module.name for module in MODULES])


def part_of(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


@EACH
def test_the_module_has_a_floor(module: Module) -> None:
    assert module.part in FLOOR_OF, "a new room: give it its floor in this test and its line in the design"


@EACH
def test_imports_go_down(module: Module) -> None:
    for name in module.own():
        room = part_of(name)
        is_below = room == module.part or FLOOR_OF[room] < FLOOR_OF[module.part]
        assert is_below, f"{module.name} imports {name}, which is not below it"


def test_nothing_imports_in_a_circle() -> None:
    graph = {module.name: (set(module.imports) | set(module.lazy)) & NAMES for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@EACH
def test_commands_do_not_import_each_other(module: Module) -> None:
    if module.part == "commands":
        assert [name for name in module.own() if part_of(name) == "commands"] == []


@EACH
def test_every_library_has_its_rooms(module: Module) -> None:
    for name in (*module.imports, *module.lazy):
        library = name.split(".")[0]
        if library in LIBRARIES:
            assert module.part in LIBRARIES[library], f"{module.name} imports {name}"


@EACH
def test_nothing_else_from_outside(module: Module) -> None:
    import sys

    allowed = {"iotonboard", "__future__", *LIBRARIES, *sys.stdlib_module_names}
    assert {name.split(".")[0] for name in (*module.imports, *module.lazy)} <= allowed


@EACH
def test_no_network(module: Module) -> None:
    assert NETWORK.isdisjoint(name.split(".")[0] for name in (*module.imports, *module.lazy))


@EACH
def test_only_the_cli_imports_inside_functions(module: Module) -> None:
    if module.part != "cli":
        assert module.lazy == {}


@EACH
def test_the_cli_loads_a_command_only_when_it_is_called(module: Module) -> None:
    if module.part == "cli":
        at_start = {part_of(name) for name in module.imports if name.startswith("iotonboard")}
        assert at_start <= {"__init__", "cli", "errors", "model", "files"}
        assert "rich" not in {name.split(".")[0] for name in module.imports}


AMBIENT = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "os.environ", "os.getenv")


@EACH
def test_clock_environment_and_streams_are_the_cli_s_alone(module: Module) -> None:
    if module.part in ("cli", "__main__"):
        return
    touched = {edge for edge in module.edges if edge in AMBIENT or edge.startswith("sys.")}
    allowed = {"files": {"sys.platform"}}.get(module.part, set())
    assert touched <= allowed, f"{module.name} is below the edge: take it as an argument"
    assert {"print()", "input()", "exit()", "getpass()", "breakpoint()"}.isdisjoint(module.edges)


@EACH
def test_the_pure_parts_touch_no_file(module: Module) -> None:
    if not module.name.startswith(tuple(f"iotonboard.{name}" for name in PURE)):
        return
    touched = set(module.imports) & IO_MODULES
    assert not touched, f"{module.name} imports {touched}"
    assert "open()" not in module.edges


def test_files_are_synced_and_renamed_in_one_place() -> None:
    """What replaces a published file does it in one place, so that none is ever half-written.

    The password file is the one that is appended to, line by line, and synced for each.
    """
    doing = ("os.fsync", "os.replace", "os.rename", "os.chmod", "os.fchmod", "os.link")
    found = {(module.name, edge) for module in MODULES for edge in module.edges if edge in doing}
    elsewhere = {(name, edge) for name, edge in found if name != "iotonboard.files"}
    assert elsewhere == {("iotonboard.enrolment.password_file", "os.fsync")}
    assert found > elsewhere


def test_this_test_sees_what_it_forbids(tmp_path: Path) -> None:
    """The reader itself: imports in functions, under conditions, aliased, and those for the type checker."""
    path = PACKAGE / "pki" / "made_up.py"
    source = (
        "from typing import TYPE_CHECKING\n"
        "import os as x\n"
        "from iotonboard import files\n"
        "if TYPE_CHECKING:\n    from iotonboard.cli import app\n"
        "def f():\n    try:\n        import typer\n    except ImportError:\n        pass\n    return sys.argv\n"
    )
    copy = tmp_path / "iotonboard" / "pki"
    copy.mkdir(parents=True)
    (copy / path.name).write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "PACKAGE", tmp_path / "iotonboard")
        module = read_module(copy / path.name, {"iotonboard.files"})
    assert module.name == "iotonboard.pki.made_up"
    assert set(module.imports) == {"typing", "os", "iotonboard.files"}
    assert set(module.lazy) == {"typer"}
    assert set(module.typing) == {"iotonboard.cli"}
    assert "sys.argv" in module.edges
