#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# benchmarks/peers/run.sh [OPTIONS]: prints a table of HashEP's layer beside an exact one in PyTorch;
# --help lists the options. HASHEP_BENCH names another hashep-bench than the release build's,
# HASHEP_PYTHON a Python with PyTorch. Exit code 77 where there is no PyTorch.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

export PYTHONDONTWRITEBYTECODE=1
# By the environment: results record the command line, which holds no path of this machine then.
export HASHEP_BENCH="${HASHEP_BENCH:-$here/../../build/cpu-release/bin/hashep-bench}"
for python in "${HASHEP_PYTHON:-python3}" /usr/bin/python3; do
  if "$python" -c 'import torch.distributed as d; assert d.is_available()' 2>/dev/null; then
    exec "$python" "$here/compare.py" "$@"
  fi
done
echo "peers: skipped: there is no Python with PyTorch (./launch/install_dependencies.sh peers)" >&2
exit 77
