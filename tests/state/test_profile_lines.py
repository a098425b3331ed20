"""A profile of the settings' file that cannot be taken is named with its lines, whatever form it has."""

from __future__ import annotations

import tomllib

import pytest
from iotonboard.state.config import read_text
from iotonboard.state.profile_lines import where

GOOD = '[profiles.good]\neku = ["clientAuth"]\n\n'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[profiles.bad]\nsan = ["dns:*.example"]\n', "file, line 5, of [profiles.bad] in line 4"),
        ("[profiles.bad]\n# a remark\nsubjekt = 1\n", "file, line 6, of [profiles.bad] in line 4"),
        ('[ profiles . "bad" ]\n"eku" = [\n  "anyExtendedKeyUsage",\n]\n', "file, line 5, of [profiles.bad] in line 4"),
        ('[profiles]\nbad = { eku = ["OCSPSigning"] }\n', "file, line 5"),
        ('[profiles]\nbad.ca = ""\nbad.eku = ["OCSPSigning"]\n', "file, line 6, of [profiles.bad] in line 5"),
        ('[[profiles.bad.extensions]]\noid = "1.x"\nutf8 = "x"\n', "file, line 4"),
        (
            '[profiles.bad]\neku = ["clientAuth"]\n[[profiles.bad.extensions]]\noid = "1.x"\nutf8 = "x"\n',
            "file, line 6, of [profiles.bad] in line 4",
        ),
        ("[profiles.bad.more]\nx = 1\n", "file, line 4"),
        ("[profiles.bad]\nsubjekt = 1\ncolour = 2\n", "file, line 4"),  # two keys, and neither alone
        ("[profiles.mqtt]\n", "file, line 4"),
        ("[profiles.Bad]\n", "file, line 4"),
    ],
)
def test_the_line_of_the_key_and_of_its_profile_are_told(text: str, place: str) -> None:
    good = GOOD if not text.startswith("[profiles]\n") else "# one\n\n\n"
    content = good + text
    assert where(content, tomllib.loads(content)["profiles"]) == place
    (problem,) = read_text(content).problems
    assert f"profiles ({place}): " in problem.message


def test_a_dotted_name_at_the_top_has_its_line_too() -> None:
    text = 'cert_validity_days = 90\nprofiles.bad = { key_usage = ["cRLSign"] }\n'
    assert where(text, tomllib.loads(text)["profiles"]) == "file, line 2"


def test_profiles_that_are_no_tables_have_no_line() -> None:
    assert where("profiles = 1\n", 1) == "file"
