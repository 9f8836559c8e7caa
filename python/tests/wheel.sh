#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# wheel.sh PYTHON: builds a wheel as `pip install ./python` does, installs it into an environment of its
# own where there is no checkout in sight, and runs its self-test on two ranks.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$1
work=$(mktemp -d)
build=''
trap 'rm -rf "$work" "$build"' EXIT

if ! "$python" -m pip download -q --no-deps -d "$work/probe" nanobind >/dev/null 2>&1; then
  echo "wheel: skipped: no way to PyPI"
  exit 77
fi
# As the presets build: their compiler's name, flags and depth of folders, so that ccache knows the objects.
build=$root/build/wheel-test
rm -rf "$build"
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
  export CXX=${CXX:-c++}
fi
"$python" -m pip wheel -q --no-deps -w "$work/wheels" --config-settings=build-dir="$build" \
  --config-settings=cmake.define.HASHEP_WARNINGS_AS_ERRORS=ON "$root/python"
# Not by a pipe: grep -q ends before unzip does, which is then killed, and pipefail takes that for a failure.
listing=$(unzip -l "$work"/wheels/hashep-*.whl)
for part in hashep/py.typed hashep/_core.pyi; do
  if [[ $listing != *"$part"* ]]; then
    printf '%s\nwheel: no %s\n' "$listing" "$part"
    exit 1
  fi
done
if grep -qE '\.(hpp|cpp|a|txt)$' <<<"$listing"; then
  printf '%s\nwheel: it holds more than the package\n' "$listing"
  exit 1
fi
"$python" -m venv "$work/environment"
"$work/environment/bin/pip" install -q "$work"/wheels/hashep-*.whl
cd "$work"
env -u PYTHONPATH "$root/tests/support/mpirun.sh" 2 "$work/environment/bin/python" -m hashep
