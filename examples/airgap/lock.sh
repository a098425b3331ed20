#!/bin/sh
# Renew requirements.lock from pyproject.toml: every runtime dependency with the hashes of all its files; labels.lock: the
# same versions, and what the extra 'labels' needs; and build.lock: what builds the program's own wheel.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work"
"$work/bin/python" -m pip install --quiet --disable-pip-version-check uv
compile() { "$work/bin/uv" pip compile "$@" --quiet --upgrade --generate-hashes --universal --python-version 3.11 --no-header; }
compile pyproject.toml --output-file examples/airgap/requirements.lock
compile pyproject.toml --extra labels --constraints examples/airgap/requirements.lock \
    --output-file examples/airgap/labels.lock
sed -n 's/^requires = \["\(hatchling[^"]*\)"\]$/\1/p' pyproject.toml | compile - --output-file examples/airgap/build.lock
