"""Several stations' ACLs in one file: each comes out as it went in, and nobody's rules become somebody else's."""

from __future__ import annotations

import pytest
from iotonboard.broker.acl import parse_acl
from iotonboard.broker.acl_stations import AclStations, split_stations, station_lines
from iotonboard.broker.region import Change

A, B, C = "a" * 16, "b" * 16, "c" * 16


def acl(key: str, *devices: str, before: str = "", after: str = "") -> bytes:
    region = "".join(f"user {name}\ntopic readwrite devices/{name}/#\n" for name in devices)
    begin = Change(3, key, 7, "f" * 16).begin_line().decode()
    return f"{before}{begin}{region}# END iotonboard\n{after}".encode()


def seen_by(file: bytes | None, key: str, *others: str, withdrawn: tuple[str, ...] = ()) -> AclStations:
    return AclStations(file, {key}, others, withdrawn)


def test_one_station_has_the_file_as_it_is() -> None:
    whole = acl(A, "a-1", before="topic read x\nuser desk\ntopic read #\n", after="# a remark\n")
    alone = seen_by(whole, A)
    assert alone.own == whole
    assert alone.with_own(A, acl(A, "a-2")) == acl(A, "a-2")
    assert seen_by(None, A).own is None
    assert seen_by(None, A).with_own(A, whole) == whole
    assert seen_by(None, A).with_own(A, None) is None


def test_each_of_three_finds_its_own_again() -> None:
    wrote = {
        A: acl(
            A,
            "a-1",
            before="topic read nobody\nuser desk\ntopic read #\n",
            after="# | a remark\nuser late\ntopic read y\n",
        ),
        B: acl(B, "b-1", before="topic read nobody\n# END station of nothing\n"),
        C: acl(C, after="user last\ntopic read x"),
    }
    file = None
    for _ in range(2):
        for key, text in wrote.items():
            file = seen_by(file, key, *wrote).with_own(key, text)
    assert file is not None
    assert {key: seen_by(file, key, *wrote).own for key in wrote} == wrote | {C: wrote[C] + b"\n"}
    rules = parse_acl(file)
    assert set(rules.users) == {"desk", "late", "a-1", "b-1", "last"}
    assert not rules.allows("last", "last", "read", "nobody")
    main, blocks = split_stations(file)
    assert main == wrote[A]
    assert set(blocks) == {B, C}


def test_the_lines_of_a_block_are_known() -> None:
    file = seen_by(acl(A, "a-1"), B, A).with_own(B, acl(B, "b-1")) or b""
    (lines,) = station_lines(file)
    text = file.decode().splitlines()
    assert (text[lines[0] - 1], text[lines[-1] - 1]) == (f"# BEGIN station {B}", f"# END station {B}")
    assert station_lines(acl(A, "a-1")) == []


def test_what_a_withdrawn_station_wrote_is_gone_and_the_operator_s_lines_stay() -> None:
    desk = "user desk\ntopic read #\n"
    file = seen_by(acl(A, "a-1", before=desk), B, A).with_own(B, acl(B, "b-1"))
    without_a = seen_by(file, B, withdrawn=(A,)).with_own(B, acl(B, "b-1"))
    without_b = seen_by(file, A, withdrawn=(B,)).with_own(A, None)
    assert without_a is not None
    assert set(parse_acl(without_a).users) == {"desk", "b-1"}
    assert without_b == acl(A, "a-1", before=desk)


def test_a_region_of_a_state_that_is_no_sibling_gives_way() -> None:
    assert seen_by(acl(A, "a-1"), B).own == acl(A, "a-1")
    assert seen_by(acl(A, "a-1"), B).with_own(B, acl(B, "b-1")) == acl(B, "b-1")


def test_a_new_key_of_the_same_station_takes_the_place_of_the_old_one() -> None:
    file = seen_by(acl(A, "a-1"), B, A).with_own(B, acl(B, "b-1"))
    grown = AclStations(file, {B, C}, {A}, ())
    assert grown.own == acl(B, "b-1")
    assert set(split_stations(grown.with_own(C, acl(C, "b-1")) or b"")[1]) == {C}


@pytest.mark.parametrize("cut", ["# BEGIN station ", "# END station "])
def test_a_block_whose_mark_was_damaged_is_the_operator_s(cut: str) -> None:
    file = seen_by(acl(A, "a-1"), B, A).with_own(B, acl(B, "b-1"))
    damaged = (file or b"").replace(cut.encode(), b"# ")
    assert split_stations(damaged) == (damaged, {})
    assert set(parse_acl(damaged).users) == {"a-1", "b-1"}
