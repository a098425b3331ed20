#!/bin/sh
# Renew requirements.lock from pyproject.toml: every runtime dependency with the hashes of all its files.
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work"
"$work/bin/python" -m pip install --quiet --disable-pip-version-check uv
"$work/bin/uv" pip compile pyproject.toml --quiet --upgrade --generate-hashes --universal --python-version 3.11 \
    --no-header --output-file examples/airgap/requirements.lock
