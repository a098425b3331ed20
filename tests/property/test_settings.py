"""The short way to read settings: whatever it reads, the library reads the same."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iotonboard.config import SETTINGS, load_config, plain_tables

KEYS = st.sampled_from(["style", "key_type", "acl", "a-b", "", "a.b", "\u00e9", '"q"', "9"])
VALUES = st.one_of(
    st.text(max_size=9).map(lambda text: f'"{text}"'),
    st.sampled_from(["1", "0", "007", "-3", "1_000", "+5", "0x1f", "1.5", "true", "[1]", "'a'", '"""a"""', '""', '"']),
    st.integers(0, 10**12).map(str),
    st.text(max_size=5),
)
LINES = st.one_of(
    st.builds("{} = {}".format, KEYS, VALUES),
    st.builds("{}={}".format, KEYS, VALUES),
    st.builds("[{}]".format, KEYS),
    st.builds("[[{}]]".format, KEYS),
    st.builds("{} = {} # more".format, KEYS, VALUES),
    st.sampled_from(["", "# a comment", " ", "\r", "]["]),
)


@given(st.lists(LINES, max_size=5).map("\n".join))
def test_what_is_read_the_short_way_is_what_the_library_reads(text: str) -> None:
    found = plain_tables(text)
    if found is not None:
        assert found == tomllib.loads(text)


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ('[acl]\nstyle = "pattern"\n', True),
        ('ca_root_path = "/media/a b/\u00e9"\ncert_validity_days = 30\n\n[broker]\nmode = "0640"\n', True),
        ("", True),
        ('[acl]\ntopics = ["read:a"]\n', False),
        ('[[acl.topics]]\naccess = "read"\ntopic = "a"\n', False),
        ('ca_root_path = "C:\\\\certs"\n', False),
        ("cert_validity_days = 30 # days\n", False),
    ],
)
def test_which_files_are_read_the_short_way(text: str, is_plain: bool) -> None:
    found = plain_tables(text)
    assert (found is not None) == is_plain
    assert found is None or found == tomllib.loads(text)
    assert set(load_config(text, {}).values) == set(SETTINGS)


@pytest.mark.parametrize(
    "text", ["a = 007", "a = 1\na = 2", "[a]\n[a]", "a = 1\n[a]", 'a = "\x00"', 'a = """', "a", "[a", "a = 1\r"]
)
def test_what_is_no_toml_is_left_to_the_library_to_refuse(text: str) -> None:
    assert plain_tables(text) is None
    if not text.endswith("\r"):
        with pytest.raises(tomllib.TOMLDecodeError):
            tomllib.loads(text)
