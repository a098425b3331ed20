"""The program's own source as the tests of the house read it: modules with their imports, names and functions.

Read from the text, so that an import inside a function, and one for the type checker alone, count as much as one at
the top: who names a type of a room depends on that room.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "iotonboard"


def room_of(name: str) -> str:
    """The room of a module: the first name below the package."""
    return name.split(".")[1] if "." in name else "__init__"


def none_of(offenders: Iterable[str]) -> None:
    """Fail with the name of each, one a line."""
    if found := sorted(offenders):
        pytest.fail("\n".join(found), pytrace=False)


@dataclass
class Module:
    """What one file imports and touches. Imports are full names of modules; names may be those of another library."""

    name: str
    text: str
    tree: ast.Module
    imports: set[str] = field(default_factory=set)  # when it is loaded
    lazy: set[str] = field(default_factory=set)  # inside functions
    typing: set[str] = field(default_factory=set)  # for the type checker alone
    names: set[str] = field(default_factory=set)  # what is taken from modules by name: "os.path.join"
    touched: set[str] = field(default_factory=set)  # attributes and calls as written: "sys.argv", "print()"

    @property
    def room(self) -> str:
        return room_of(self.name)

    @property
    def loaded(self) -> set[str]:
        """Every import that happens while the program runs."""
        return self.imports | self.lazy

    @property
    def own(self) -> set[str]:
        """Imports from the package itself, those for the type checker included."""
        return {name for name in self.loaded | self.typing if name.split(".")[0] == "iotonboard"}

    @property
    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    @property
    def strings(self) -> Iterator[ast.Constant]:
        """Every text of the file, the fixed parts of f-strings too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node


@cache
def read_package(package: Path = PACKAGE) -> tuple[Module, ...]:
    files = {_module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    return tuple(_read_module(name, path.read_text(encoding="utf-8"), set(files)) for name, path in files.items())


def _module_name(path: Path, package: Path) -> str:
    dotted = path.relative_to(package.parent).with_suffix("").as_posix().replace("/", ".")
    return dotted.removesuffix(".__init__")


def _read_module(name: str, text: str, known: set[str]) -> Module:
    module = Module(name, text, ast.parse(text))

    def visit(node: ast.AST, in_function: bool, for_types: bool = False) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                visit(child, in_function, for_types=True)
                continue
            target = module.typing if for_types else module.lazy if in_function else module.imports
            if isinstance(child, ast.Import):
                target.update(alias.name for alias in child.names)
                module.names.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{name}:{child.lineno}: imports are absolute"
                full = {f"{child.module}.{alias.name}" for alias in child.names}
                target.update(each if each in known else str(child.module) for each in full)
                module.names.update(full)
            elif isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
                module.touched.add(f"{child.value.id}.{child.attr}")
            elif isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
                module.touched.add(f"{child.func.id}()")
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            visit(child, in_function or is_function, for_types)

    visit(module.tree, in_function=False)
    return module
