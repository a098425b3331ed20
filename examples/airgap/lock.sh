#!/bin/sh
# Renew requirements.lock from pyproject.toml: every runtime dependency with the hashes of all its files. And build.lock:
# the same for what builds the program's own wheel.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work"
"$work/bin/python" -m pip install --quiet --disable-pip-version-check uv
compile() { "$work/bin/uv" pip compile "$@" --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-header; }
compile pyproject.toml --output-file examples/airgap/requirements.lock
sed -n 's/^requires = \["\(hatchling[^"]*\)"\]$/\1/p' pyproject.toml | compile - --output-file examples/airgap/build.lock
