"""Plain before clever: short files and functions, SQL in one room, and nothing of other people's insides."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from support.source import Module, none_of, read_package

MODULES = read_package()
_LONGEST_FILE = 350
_LONGEST_FUNCTION = 50

# What may stay as it is, each with its reason.


def test_files_are_short() -> None:
    lengths = {module.name: len(module.text.splitlines()) for module in MODULES}
    none_of(f"{name}: {lines} lines" for name, lines in lengths.items() if lines > _LONGEST_FILE)


def test_functions_are_short() -> None:
    """A verb's list of options does not count: it has as many lines as the verb has options."""
    none_of(f"{name}: {lines} lines" for name, lines in _functions() if lines > _LONGEST_FUNCTION)


def _functions() -> Iterator[tuple[str, int]]:
    for module in MODULES:
        for function in module.functions:
            begin = function.body[0].lineno if module.room == "cli" else function.lineno
            yield f"{module.name}.{function.name}", function.end_lineno - begin + 1


_SQL = re.compile(
    r"\s*SELECT\b|.*\bINSERT (OR \w+ )?INTO\b|\s*UPDATE \S+ SET\b|.*\bDELETE FROM\b|.*\bALTER TABLE\b"
    r"|.*\s(WHERE|JOIN|ORDER BY|GROUP BY) |.*\b(CREATE|DROP) (TEMP |UNIQUE )?(TABLE|VIEW|INDEX|TRIGGER)\b"
    r"|\s*(PRAGMA|VACUUM|ATTACH|SAVEPOINT|BEGIN IMMEDIATE)\b",
    re.DOTALL,
)


def test_sql_is_written_in_the_store_alone() -> None:
    none_of(
        f"{module.name}, line {text.lineno}: {text.value[:60]!r}"
        for module in MODULES
        if module.room != "store"
        for text in module.strings
        if _SQL.match(text.value)
    )


def test_nothing_private_is_taken_from_another_module() -> None:
    """``os._exit`` is documented, whatever its name says."""
    none_of(f"{module.name} takes {name}" for module in MODULES for name in _private(module) - {"os._exit"})


def _private(module: Module) -> set[str]:
    imported = {name.split(".")[-1] for name in module.names}
    names = {name for name in module.touched if name.split(".")[0] in imported}
    return {name for name in module.names | names if re.search(r"(^|\.)_[^_]", name)}


_DECORATORS = {"dataclass", "final", "total_ordering", "unique"}
_OF_DATACLASSES = {f"dataclasses.{name}" for name in ("asdict", "dataclass", "field", "fields", "replace")}


def test_classes_are_made_by_python_itself() -> None:
    """Records are the standard library's dataclasses; nothing of the package's own makes or changes a class."""
    none_of(
        f"{module.name}: {name}"
        for module in MODULES
        for name in module.names
        if "dataclass" in name and name not in _OF_DATACLASSES
    )
    none_of(
        f"{module.name}.{node.name} is decorated with {ast.unparse(decorator)}"
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if ast.unparse(decorator).split("(")[0] not in _DECORATORS
    )


def test_no_module_stands_in_for_another() -> None:
    """What is loaded late is said in one place."""
    ways = {"sys.modules", "sys.meta_path", "sys.path_hooks"}
    none_of(
        module.name
        for module in MODULES
        if module.name != "iotonboard.cli.process"
        and (module.touched & ways or any(_is_getattr(node) for node in module.tree.body))
    )


def _is_getattr(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__dir__")
