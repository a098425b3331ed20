"""The program as a process: begun and ended with as little work as it needs, for a shell loop pays both every time."""

from __future__ import annotations

import gc
import os
import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec

# Loaded by what the program needs, and then hardly ever used: typer's way to start a browser, the library's way to
# show source lines, compressed archives, addresses of mail in a certificate. With the settings, the broker's files,
# digests, CRLs, and certificates that others made, which most calls can do without.
SELDOM = frozenset(
    (
        "ast",
        "bz2",
        "cryptography.hazmat.backends.openssl.backend",
        "cryptography.hazmat.primitives.serialization.ssh",
        "cryptography.x509",
        "csv",
        "difflib",
        "email.utils",
        "fnmatch",
        "gettext",
        "hashlib",
        "iotonboard.brokers.conf",
        "iotonboard.brokers.mosquitto",
        "iotonboard.continuity",
        "iotonboard.crlplan",
        "iotonboard.pki.crl",
        "iotonboard.pki.crlentry",
        "iotonboard.pki.hostnames",
        "iotonboard.pki.rules_crl",
        "ipaddress",
        "linecache",
        "locale",
        "lzma",
        "ntpath",
        "platform",
        "random",
        "selectors",
        "shellingham",
        "shutil",
        "signal",
        "socket",
        "string",
        "subprocess",
        "textwrap",
        "tokenize",
        "tomllib",
        "tomllib._re",
        "traceback",
        "typer.completion",
        "urllib.parse",
        "uuid",
    )
)
# What is taken out of such a module by name, for the same occasions: it loads the module when it is used.
_SSH = "SSHCertificate SSHCertificateBuilder SSHCertificateType SSHCertPrivateKeyTypes SSHCertPublicKeyTypes"
_SSH += " SSHPrivateKeyTypes SSHPublicKeyTypes load_ssh_private_key load_ssh_public_identity load_ssh_public_key"
_TOML_VALUES = ("match_to_datetime", "match_to_localtime", "match_to_number")  # settings are mostly text
_TAKEN = {
    "cryptography.hazmat.backends.openssl.backend": frozenset({"backend"}),
    "cryptography.hazmat.primitives.serialization.ssh": frozenset([*_SSH.split(), "ssh_key_fingerprint"]),
    "difflib": frozenset({"get_close_matches"}),
    "email.utils": frozenset({"parseaddr"}),
    "gettext": frozenset({"gettext", "ngettext"}),
    "iotonboard.brokers.conf": frozenset({"ConfProblem", "check_conf", "render_conf"}),
    "iotonboard.pki.crlentry": frozenset({"encode_entry"}),
    "iotonboard.pki.hostnames": frozenset({"parse_host_names"}),
    "shutil": frozenset({"get_terminal_size"}),
    "tomllib._re": frozenset({"RE_DATETIME", "RE_LOCALTIME", "RE_NUMBER", *_TOML_VALUES}),
    "traceback": frozenset({"FrameSummary", "StackSummary"}),
    "typer.completion": frozenset({"get_completion_inspect_parameters"}),
    "urllib.parse": frozenset({"quote_from_bytes"}),
    "uuid": frozenset({"UUID"}),
}
# What a module is asked for while another one is loaded: the base class of the part of "inspect" that finds the source
# of a class, which nobody wants here, the letters that settings are read with, and the system's name, which makers of
# ids look at.
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_READY: dict[str, dict[str, object]] = {
    "ast": {"NodeVisitor": object},
    "string": {
        "ascii_letters": _LETTERS + _LETTERS.upper(),
        "digits": _DIGITS,
        "hexdigits": _DIGITS + "abcdefABCDEF",
    },
    "platform": {"system": lambda: os.uname().sysname},
}
_OBJECTS_BETWEEN_COLLECTIONS = 100_000


class Deferred(ModuleType):
    """A module whose file is read when something in it is asked for."""

    def __getattr__(self, name: str) -> Any:
        """Turn into the module itself; asked only for what is not there yet."""
        if name.startswith("__"):
            raise AttributeError(name)  # the import system looks for '__path__'
        if name in _TAKEN.get(self.__name__, ()):
            return Taken(self, name)
        return getattr(_loaded(self), name)


class Taken:
    """Something in a deferred module that was asked for by name, and not used yet."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self._module, self._name = module, name

    def __getattr__(self, name: str) -> Any:
        """Ask the thing itself."""
        return getattr(getattr(_loaded(self._module), self._name), name)

    def __call__(self, *args: Any, **values: Any) -> Any:
        """Call the thing itself."""
        return getattr(_loaded(self._module), self._name)(*args, **values)


def _loaded(module: ModuleType) -> ModuleType:
    if isinstance(module, Deferred):
        module.__class__ = ModuleType  # type: ignore[assignment]
        module.__loader__.exec_module(module)  # type: ignore[union-attr]
    return module


class _SeldomFinder:
    """What the import system asks first, for a module that was not imported before."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in SELDOM else None
        if spec is not None and spec.loader is not None:
            spec.loader = _DeferringLoader(spec.loader)  # type: ignore[assignment]
        return spec


class _DeferringLoader:
    """Makes a module without reading its file, and leaves it the loader that can."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        module = Deferred(spec.name)
        vars(module).update(_READY.get(spec.name, {}))
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader


def begin() -> None:
    """Prepare a fresh process, before anything large is imported.

    Python looks for unused objects after each 700 new ones, dozens of times while modules are loaded that all stay
    in use. A long batch is still cleared of them, in larger portions.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    sys.meta_path.insert(0, _SeldomFinder)


def end(exit_code: int) -> NoReturn:
    """End the process.

    Taking ten thousand objects apart one by one costs more than the rest of a small command, and the system frees
    the memory anyway. Files and database are closed by then, and worker processes have ended.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(exit_code)  # which says what is wrong with the stream
    os._exit(exit_code)
