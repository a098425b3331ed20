"""Which commands go on although something is wrong with settings or database, and how that is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from iotonboard.state.config import Config
    from iotonboard.state.recorded_settings import Holds
    from iotonboard.state.state import State
    from iotonboard.store.store import Store
    from iotonboard.store.succession import Verifies

# Commands that only look: they take the settings as they are recorded, and do not load what verifies their seal.
_LOOKS = frozenset(
    {"audit head", "audit show", "audit verify", "broker list", "broker show", "ca status",
     "config show", "deliveries", "generations", "list",
     "show", "topics list"}
)  # fmt: skip
# Commands that nothing in the settings may stop, neither in the environment, nor in a file that was never sealed.
_ALWAYS = frozenset({"broker revoke", "ca revoke", "health", "retire", "revoke"})
_WITHOUT_FILE = _ALWAYS | _LOOKS | {"gen-crl", "release", "sync-acl"}
# Commands that give access: they run on believed settings alone.
_ISSUES = frozenset(
    {
        "adopt",
        "broker issue",
        "ca install",
        "ca proof",
        "ca request",
        "ca rollover",
        "ca sign",
        "pack",
        "register",
        "release",
        "renew",
    }
)


def verifiers(command: str) -> tuple[Holds | None, Verifies | None]:
    """What a command verifies the seal of the settings with, and which CAs are this state's."""
    if command in _LOOKS:
        return None, None
    from iotonboard.state.settings_seal import holds, vouches

    return holds, vouches


def trust_of(command: str) -> tuple[tuple[Holds | None, Verifies | None], tuple[str, ...]]:
    """What a command verifies with (``verifiers``); and the origins of settings that it does not trust.

    Where these name another database than that of this state, it goes on with that one all the same.
    """
    if command in _ALWAYS:
        return verifiers(command), ("environment", "file")
    return verifiers(command), ("file",) if command in _WITHOUT_FILE | {"config write"} else ()


def refuse_problems(command: str, settings: Config) -> None:
    """End a command that would issue or run on what cannot be believed; a revocation goes on in any case.

    Raises:
        PolicyError: a setting of the environment is not allowed, or the file cannot be read and nothing is sealed.
        StateError: somebody who cannot sign the settings changed them, and the command gives access.
    """
    if settings.environment_problems and command not in _ALWAYS:
        raise settings.environment_problems[0]
    if settings.recorded.sealed is None and settings.file.problems and command not in _WITHOUT_FILE:
        raise settings.file.problems[0]
    if settings.recorded.problem and command in _ISSUES:
        raise StateError(settings.recorded.problem.message, hint=settings.recorded.problem.hint)


def problem_lines(settings: Config) -> Iterator[str]:
    """What is wrong with the settings, in a line each."""
    for problem in (settings.recorded.problem, *settings.file.problems, *settings.environment_problems):
        if problem is not None:
            yield f"{problem.message} ({problem.hint})"
    if settings.recorded.slipped_in:
        yield (
            "somebody wrote into the database what no command recorded, and it is not followed:"
            f" {', '.join(settings.recorded.slipped_in)} ('iotonboard config accept' takes it out)"
        )
    if settings.differing:
        yield (
            "the settings file says something else than what is sealed, and is not followed:"
            f" {', '.join(settings.differing)}; 'iotonboard config accept' seals it, 'iotonboard config write' writes"
            " the file anew"
        )


def in_words(counts: Mapping[str, int]) -> str:
    """How many rows which commands added to the trail."""
    count = sum(counts.values())
    kinds = ", ".join(f"{command} {number}" for command, number in counts.items())
    return f"{count} row{'s' if count != 1 else ''} ({kinds})"


def unsealed_lines(state: State) -> Iterator[str]:
    """What stands in the state without a seal, before it is sealed by whoever unlocks now."""
    from iotonboard.commands.unsealed import unsealed

    found = unsealed(state)
    if found.added:
        yield (
            f"{in_words(found.added)} of the trail, added without the passphrase since the CA signed it last, will be"
            " sealed by the next command that signs; 'iotonboard audit show --unsealed' shows them: each change, and"
            " what seals it. Is all of it yours?"
        )
    if found.left:
        tables = ", ".join(f"{table} {count}" for table, count in found.left.items())
        yield f"what an earlier version left is sealed as it stands, by rows: {tables}; compare it with what you know"


def database_lines(store: Store) -> Iterator[str]:
    """What is wrong with the database, in a line each, once the command is done."""
    for mended in dict.fromkeys(store.mended):
        yield f"{mended}; 'iotonboard health --deep' names what else differs"
    if seen := store.meta("other_copy"):
        yield f"another copy of this state is at work: {seen}; nothing is issued here"
