#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks what a compiler does not: format, what layers speak of, licence lines, stray paths, shell syntax.
# `tests/lint.sh --fix` formats the C++ files in place.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

failed=''
complain() {
  printf 'lint: %s\n' "$@"
  failed=1
}

if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  echo "lint: error: this is no git checkout, so there is no list of the project's files"
  exit 1
fi
mapfile -t cpp < <(git ls-files -- '*.cpp' '*.hpp' '*.cu' '*.cuh')
mapfile -t hpp < <(git ls-files -- '*.hpp')
mapfile -t shell < <(git ls-files -- '*.sh' .ci/run)
mapfile -t licensed < <(git ls-files -- '*.cpp' '*.hpp' '*.cu' '*.cuh' '*.sh' .ci/run '*.py' '*.cmake' \
  '*.cmake.in' '*CMakeLists.txt' .clang-format)

# Versions format differently, so that one is the measure: Debian 12's.
format=$(command -v clang-format-14 || command -v clang-format || true)
if [ -z "$format" ] || [[ $("$format" --version) != *"version 14."* ]]; then
  if [ -n "${CI:-}" ]; then complain "clang-format 14 is needed"; fi
  echo "lint: clang-format 14 is not installed: the format was not checked"
elif [ "${1:-}" = --fix ]; then
  "$format" -i "${cpp[@]}"
else
  "$format" --dry-run -Werror "${cpp[@]}" || complain "run tests/lint.sh --fix"
fi

while read -r file; do
  complain "$file: no 'SPDX-License-Identifier: Apache-2.0' in its first three lines"
done < <(awk '
  FNR <= 3 && /SPDX-License-Identifier: Apache-2\.0/ { lines[FILENAME]++ }
  END { for (i = 1; i < ARGC; ++i) if (lines[ARGV[i]] != 1) print ARGV[i] }' "${licensed[@]}")

while read -r file; do
  complain "$file: no '#pragma once'"
done < <(grep -L '^#pragma once$' "${hpp[@]}")

# Tests count allocations by operator new and mmap.
while read -r line; do
  complain "$line: allocate with new, a container or hashep/buffer.hpp"
done < <(git grep -nE '\b(malloc|calloc|realloc|aligned_alloc|posix_memalign) *\(' -- \
  'core/*.[ch]pp' 'kernels/*.[ch]pp' 'comm/*.[ch]pp' 'runtime/*.[ch]pp')

# Layers below launch/ speak of settings, not of options: core/setting.hpp marks their names.
while read -r line; do
  complain "$line: an option of a command line; name the setting, with setting() where a user sees it"
done < <(git grep -nE '"[^"]*--[a-z]' -- core kernels comm runtime include)
# What ends the process, or prints on a program's behalf, is the programs'.
while read -r line; do
  complain "$line: a library does not end the process"
done < <(git grep -nE '\b(_Exit|std::exit|quick_exit|std::abort|std::terminate) *\(' -- core kernels comm runtime include)

# Paths of one machine: home folders and the like, and this checkout's own.
stray=$(git grep -nIE '(^|[^A-Za-z0-9_.$}/-])/(home|root|Users|work|mnt)/' -- . ':!tests/lint.sh')
stray+=$(git grep -nIF "$PWD/" -- .)
if [ -n "$stray" ]; then complain "paths of one machine:" "$stray"; fi

for file in "${shell[@]}"; do
  bash -n "$file" || complain "$file: bash cannot read it"
  if [ ! -x "$file" ]; then complain "$file: not executable"; fi
done
if command -v shellcheck >/dev/null; then
  shellcheck -x "${shell[@]}" || complain "shellcheck found something"
fi

if [ -n "$failed" ]; then exit 1; fi
echo "lint: ${#cpp[@]} C++ files, ${#licensed[@]} licence lines, ${#shell[@]} scripts: all well"
