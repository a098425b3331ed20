"""The program as a process: a shell loop pays for its beginning and its end once for each device.

It begins with few looks for unused objects, and with modules that are read from their files once something in them is
used. It ends without taking its objects apart one by one. What it knows in between stays in it: no core dump has it, no
child's environment, and no other process of the same user may read its memory.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import LazyLoader
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

# What others import and hardly any call uses. Together 5 ms of processor time per call of what typer, 'shutil', 'email'
# and the settings import, 7 ms of the database's migrations, and as much again of what only a list, a signed request,
# an export or a CRL needs. Who imports one of these names the module, and not what is in it. Each import asks this set.
SELDOM = frozenset((
    "bz2", "iotonboard.broker.ca_relations", "iotonboard.broker.region", "iotonboard.broker.region_keep",
    "iotonboard.broker.reload_method", "iotonboard.broker.render", "iotonboard.ca.absorption",
    "iotonboard.ca.credentials", "iotonboard.ca.crl", "iotonboard.ca.mending", "iotonboard.ca.recorded",
    "iotonboard.ca.recovery", "iotonboard.ca.secrets_asked", "iotonboard.ca.token_key", "iotonboard.ca.tokens",
    "iotonboard.disk.beforehand", "iotonboard.enrolment.broker_names", "iotonboard.enrolment.production",
    "iotonboard.health.checks.token_check", "iotonboard.pki.crl", "iotonboard.pki.csr", "iotonboard.pki.facts",
    "iotonboard.pki.hostnames", "iotonboard.pki.lint.crl_rules", "iotonboard.pki.lint.profile_rules",
    "iotonboard.pki.profile_form", "iotonboard.pki.profiled", "iotonboard.pki.verifying", "iotonboard.state.added_cas",
    "iotonboard.state.certificate_profiles", "iotonboard.state.chain", "iotonboard.state.erasure",
    "iotonboard.state.fetched_crl", "iotonboard.state.foreign_lists", "iotonboard.state.office_orders",
    "iotonboard.state.outbox", "iotonboard.state.profile_problems", "iotonboard.state.reach",
    "iotonboard.state.region_change", "iotonboard.state.replaced_files", "iotonboard.state.superseding",
    "iotonboard.state.trust", "iotonboard.store.added_cas", "iotonboard.store.brokers", "iotonboard.store.compromised",
    "iotonboard.store.damage", "iotonboard.store.deliveries", "iotonboard.store.failures", "iotonboard.store.keys",
    "iotonboard.store.leftovers", "iotonboard.store.list_duplicates", "iotonboard.store.office_orders",
    "iotonboard.store.profiles", "iotonboard.store.root_crls", "iotonboard.store.row_subjects",
    "iotonboard.store.schema.version_1", "iotonboard.store.schema.version_2", "iotonboard.store.schema.version_3",
    "iotonboard.store.schema.version_4", "iotonboard.store.schema.version_5", "iotonboard.store.secrets",
    "iotonboard.store.table_scan", "iotonboard.store.topics", "iotonboard.store.trail_rows", "locale", "lzma", "ntpath",
    "pkcs11.util.dh", "pkcs11.util.dsa", "pkcs11.util.ec", "pkcs11.util.rsa", "pkcs11.util.x509", "shellingham",
    "socket", "tempfile", "textwrap", "tomllib",
))  # fmt: skip
_SECRET_VARIABLES = frozenset(
    {"IOTONBOARD_PASSPHRASE", "IOTONBOARD_BUNDLE_PASSWORD", "DATABASE_URL", "IOTONBOARD_DATABASE_URL"}
)
_PR_SET_DUMPABLE = 4  # prctl(2)
_OBJECTS_BETWEEN_COLLECTIONS = 100_000  # Python looks after 700 new ones, dozens of times while modules are loaded


class _SeldomFinder:
    """Asked first by the import system."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, _target: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in SELDOM else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def begin() -> None:
    """Prepare a fresh process, before anything large is imported."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on Windows, which dumps nothing by itself
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    sys.meta_path.insert(0, _SeldomFinder)


def take_environment() -> dict[str, str]:
    """The environment of the call; what is secret in it is taken away from this process, and so from its children."""
    environment = dict(os.environ)
    for name in _SECRET_VARIABLES & environment.keys():
        del os.environ[name]
    return environment


def keep_secrets() -> None:
    """From now on the process holds secrets: Linux dumps and shows its memory to nobody.

    Not into a pipe either, which no limit hinders, and not to other processes of the same user.

    Through ``ctypes``, since Python has no call for it; that takes 2 ms, and only calls that open a key need it.
    """
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):  # Python without it, another C library
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def end(exit_code: int) -> NoReturn:
    """End the process; files and database are closed by then, and worker processes have ended."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(exit_code)  # which says what is wrong with the stream
    os._exit(exit_code)
