#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh RANKS PYTHON FILE: a test of the package on so many ranks, each running all of it; 0: no mpirun,
# for tests that start programs themselves. PYTHONPATH says where the package is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ranks=$1 python=$2 file=$3

HASHEP_TEST_FOLDER=$(mktemp -d)  # all ranks see it
export HASHEP_TEST_FOLDER PYTHONDONTWRITEBYTECODE=1
trap 'rm -rf "$HASHEP_TEST_FOLDER"' EXIT
launch=()
if [ "$ranks" != 0 ]; then launch=("$here/../../tests/support/mpirun.sh" "$ranks"); fi
cd "$here"
"${launch[@]}" "$python" -m pytest -q --tb=short --color=no -p no:cacheprovider "$file"
