#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks what a compiler does not: format, what layers speak of, licence lines, stray paths, shell syntax,
# links of the docs.
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

# One way to run in parallel, and one to format.
while read -r line; do
  complain "$line: parallel_ranges or parallel_items of kernels/parallel.hpp, format of core/format.hpp"
done < <(git grep -nE '#pragma omp|\bv?snprintf *\(' -- '*.[ch]pp' '*.cu' '*.cuh' \
  ':!tests' ':!kernels/parallel.hpp' ':!core/format.cpp')

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

# anchors FILE: the anchors that GitHub gives a page's headings.
anchors() {
  sed -nE 's/^#{1,6} +//p' "$1" | tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

# check_link FILE LINK: what a page links to must be in the checkout, and have that heading.
check_link() {
  local path=${2%%#*} anchor=''
  if [[ $2 == *#* ]]; then anchor=${2#*#}; fi
  if [ -z "$path" ]; then path=$1; else path=$(dirname "$1")/$path; fi
  if [ ! -e "$path" ]; then
    complain "$1: links to $2, which is not there"
  elif [ -n "$anchor" ] && ! grep -qxF -- "$anchor" <<<"$(anchors "$path")"; then
    complain "$1: links to $2, and there is no such heading"
  fi
}

mapfile -t pages < <(git ls-files -- '*.md')
for page in "${pages[@]}"; do
  while read -r link; do check_link "$page" "$link"; done \
    < <(grep -oE '\]\([^) ]+\)' "$page" | sed -E 's/^\]\(//; s/\)$//' | grep -vE '^[a-z]+:' | sort -u)
done
if [ "$(wc -l <README.md)" -ge 200 ]; then complain "README.md: 200 lines or more: move something to docs/"; fi
if [ -f examples/forward.cpp ] &&
  ! diff <(awk '/^```/ { code = $0 == "```cpp"; next } code' README.md) <(tail -n +2 examples/forward.cpp); then
  complain "README.md: its C++ example is not examples/forward.cpp"
fi
while IFS=: read -r file page; do
  if [ ! -f "$page" ]; then complain "$file: names $page, which is not there"; fi
done < <(git grep -oE '\bdocs/[a-z0-9-]+\.md\b' -- '*.[ch]pp' '*.sh' '*.py' '*.md' ':!CHANGELOG.md' | sort -u)

# Pages name no file of the code that is gone, with its ending or without.
# shellcheck disable=SC2016
while IFS=: read -r page path; do
  compgen -G "${path%/}" >/dev/null || compgen -G "${path%/}[._]*" >/dev/null || complain "$page: names $path, which is not there"
done < <(git grep -oE '`(benchmarks|cmake|comm|core|examples|kernels|launch|runtime|tests)/[A-Za-z0-9_./*-]+`' -- '*.md' \
  ':!CHANGELOG.md' | tr -d '`' | sort -u)

# The docs cite no test that is gone, and every recorded result, by its name without the machine's.
while IFS=: read -r page name; do
  git grep -qwF "$name" -- '*CMakeLists.txt' || compgen -G "tests/*/$name.*" >/dev/null ||
    complain "$page: cites the test $name, which is not there"
done < <(git grep -oE '\b[a-z_]+(_test|_on_standin)\b' -- 'docs/*.md' README.md CONTRIBUTING.md |
  grep -vE ':(my_test|hashep_)' | sort -u)
for result in benchmarks/results/*; do
  name=${result##*/}
  name=${name%-amd-epyc-milan.json}
  if ! grep -qF -- "$name" README.md docs/*.md; then complain "$result: no page cites it"; fi
done

for file in "${shell[@]}"; do
  bash -n "$file" || complain "$file: bash cannot read it"
  if [ ! -x "$file" ]; then complain "$file: not executable"; fi
done
if command -v shellcheck >/dev/null; then
  shellcheck -x "${shell[@]}" || complain "shellcheck found something"
fi

if [ -n "$failed" ]; then exit 1; fi
echo "lint: ${#cpp[@]} C++ files, ${#licensed[@]} licence lines, ${#shell[@]} scripts, ${#pages[@]} pages: all well"
