"""What every command says while the plant is down, and what comes next."""

from __future__ import annotations

import re

from support.clock import fake_time
from support.program import State


def test_every_command_says_that_a_crl_has_ended(state: State) -> None:
    state.register("press-1")
    later = fake_time("+31d")
    for words in (("list",), ("show", "press-1"), ("audit", "show"), ("config", "set", "crl_next_update_days", "20")):
        said = state.run(*words, env=later).stderr
        assert re.search(r"warning: the CRL ended on \S+: brokers refuse every device; type: iotonboard gen-crl", said)
    assert "the CRL ended" in state.run("show", "press-9", env=later, expect=5).stderr
    assert "ended" not in state.run("list", "--quiet", env=later).stderr
    assert "ended" not in state.run("gen-crl", env=later).stderr, "it has mended it"
    assert state.run("list", env=later).stderr == ""


def test_every_command_says_that_a_revocation_is_not_published(state: State) -> None:
    state.register("press-1", "press-2")
    assert state.run("list").stderr == ""
    state.run("revoke", "press-1", "--defer")
    assert "not every revocation or release is on a CRL; type: iotonboard gen-crl" in state.run("list").stderr
    state.run("gen-crl")
    assert state.run("list").stderr == ""
    state.crl.unlink()
    state.crl.mkdir()
    state.run("revoke", "press-2", expect=8)
    assert "the newest CRL is not published; type: iotonboard sync-acl" in state.run("list").stderr
    state.crl.rmdir()
    state.run("sync-acl")
    assert state.run("list").stderr == ""


def test_a_renewal_says_when_the_old_certificates_end(state: State) -> None:
    state.register("press-1", "press-2")
    said = state.run("renew", "press-1", "press-2").stderr
    assert re.search(r"next: 2 old certificates end on \d{4}-\d\d-\d\d: type iotonboard gen-crl then", said)
    assert "old certificate" not in state.run("renew", "press-1", "--revoke-old", "never").stderr
