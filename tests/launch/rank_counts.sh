#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A launcher and an MPI that do not talk: the ranks they count are not the same.
# shellcheck disable=SC2317 # functions are passed by name
# shellcheck source=tests/launch/lib.sh
. "$(dirname "$0")/lib.sh"
bench=$(dirname "$hashep")/hashep-bench
with --check

bench_run=(exchange --tokens-per-rank 32 --hidden-size 16 --num-experts 4 -n 1 -w 0)
for variable in OMPI_COMM_WORLD_SIZE PMI_SIZE MV2_COMM_WORLD_SIZE SLURM_STEP_NUM_TASKS SLURM_NTASKS; do
  says="$variable is 4, but MPI ("
  on_ranks 1 env $variable=4 "$hashep" run "${run[@]}" --json out/r.json
  check "$variable: exit code $code" [ "$code" = 2 ]
  check "$variable: one line" one_error_with "$says"
  check "$variable: left $(ls out)" nothing_left
  on_ranks 1 env $variable=4 HASHEP_LAUNCHER_CHECK=off "$hashep" run "${run[@]}"
  check "$variable: insisted: exit code $code" [ "$code" = 0 ]
  speaker="hashep-bench"
  on_ranks 1 env $variable=4 "$bench" "${bench_run[@]}"
  check "$variable: bench: exit code $code" [ "$code" = 2 ]
  check "$variable: bench: one line" one_error_with "$says"
  speaker=hashep
done
on_ranks 1 env PMIX_RANK=1 "$hashep" run "${run[@]}"
check "PMIX_RANK: exit code $code" [ "$code" = 2 ]
check "PMIX_RANK: one line" one_error_with "PMIX_RANK is 1, but MPI ("
on_ranks 1 env SLURM_NTASKS=4 SLURM_PROCID=2 "$hashep" run "${run[@]}"
check "not the first of many: exit code $code" [ "$code" = 2 ]
check "not the first of many: quiet" [ -z "$(own_lines)" ]
on_ranks 1 env SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=1 "$hashep" run "${run[@]}"
check "a step of one task: exit code $code" [ "$code" = 0 ]
on_ranks 2 env SLURM_NTASKS=4 SLURM_PROCID=0 "$hashep" run "${run[@]}"
check "mpirun in a job of Slurm: exit code $code" [ "$code" = 0 ]
for args in "run --help" "run --version" "plan --tokens-per-rank 32 --ranks 2"; do
  # shellcheck disable=SC2086
  on_ranks 1 env SLURM_NTASKS=4 "$hashep" $args
  check "$args needs no launcher: exit code $code" [ "$code" = 0 ]
done

# The same for real, where another MPI's mpirun is installed.
case $(ldd "$hashep") in
  *libmpich*) other=mpirun.openmpi size=OMPI_COMM_WORLD_SIZE ;;
  *) other=mpirun.mpich size=PMI_SIZE ;;
esac
if command -v $other >/dev/null; then
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 on_ranks 1 $other -n 2 "$hashep" run "${run[@]}"
  check "$other: exit code $code" [ "$code" = 2 ]
  check "$other: one line" [ "$(grep -c "^hashep: error: $size is 2, but MPI (" stderr.txt)" = 1 ]
  on_ranks 2 "$hashep" run "${run[@]}"
  check "launch/mpirun.sh finds its own: exit code $code" [ "$code" = 0 ]
fi

finish
