#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Jobs that share a small /dev/shm: what a job is given stays its own, what is not there is refused
# with one line, and nothing is left. In a mount namespace; exits with 77 where there can be none.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"

if [ "${IN_NAMESPACE:-}" != 1 ]; then
  cd "$OLDPWD" && rm -rf "$work"
  if ! unshare --mount --map-root-user true 2>/dev/null; then
    echo "no mount namespaces here: skipped"
    exit 77
  fi
  IN_NAMESPACE=1 exec unshare --mount --map-root-user "$0" "$@"
fi
mount -t tmpfs -o size=64m tmpfs /dev/shm || exit 1

# 40 MiB of rows, whatever the number of ranks.
rows=(--hidden-size 1024 --ffn-size 16 --num-experts 8 --num-layers 1 --num-shared-experts 0 --top-k 2
  --vocab-size 4096 --batch-tokens 5K --seq-len 1K --threads 1 --deadline 60 --progress off)

used() {
  df --output=used -k /dev/shm | tail -n 1 | tr -d " "
}
holds_rows() {
  [ "$(used)" -gt 40000 ]
}
is_empty() {
  rm -f /dev/shm/__KMP_REGISTERED_LIB_*  # of clang's OpenMP, where a process was killed
  [ -z "$(ls -A /dev/shm)" ] && [ "$(used)" = 0 ]
}

# refused_beside N: a job of N ranks finds no room beside another, which goes on.
refused_beside() {
  "$here/../../launch/mpirun.sh" "$1" "$hashep" run "${rows[@]}" --steps 1G </dev/null >first.txt 2>&1 &
  local first=$!
  check "$1 ranks: the first has no rows" within 60 holds_rows
  check "$1 ranks: the rows have a name" [ -z "$(find /dev/shm -name '*hashep*')" ]
  ranks "$1" "${rows[@]}" --steps 2
  check "$1 ranks: exit code $code" [ "$code" = 1 ]
  check "$1 ranks: not one line that says so" \
    one_error "rank [0-9] in [a-z_]+(, step 0)?: fallocate failed: No space left on device \([0-9.]+ MiB of shared memory; is /dev/shm large enough\? --transport mpi needs none\)"
  sleep 1
  check "$1 ranks: the first job has ended: $(cat first.txt)" kill -0 $first
  kill -TERM $first
  wait $first
  check "$1 ranks: left $(ls -A /dev/shm), $(used) KiB" within 10 is_empty
}
for count in 1 2 3; do refused_beside $count; done

# Alone there is room, also where something else then takes all that is left.
ranks 2 "${rows[@]}" --steps 2 --check
check "alone: exit code $code" [ "$code" = 0 ]
"$hashep" run "${rows[@]}" --steps 1G </dev/null >first.txt 2>&1 &
first=$!
check "the first has no rows" within 60 holds_rows
dd if=/dev/zero of=/dev/shm/filler bs=1M status=none 2>/dev/null
sleep 1
check "a full /dev/shm ended a job: $(cat first.txt)" kill -0 $first
rm /dev/shm/filler
kill -KILL $first
wait $first 2>/dev/null
check "killed: left $(ls -A /dev/shm), $(used) KiB" within 10 is_empty
finish
