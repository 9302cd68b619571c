#!/usr/bin/env bash
# run.sh PROGRAM MPIRUN: the program prints the same digest on 1, 2, 3 and 5 ranks (one: without mpirun); a training stopped on some and killed
# on others ends at the same bits; a rank that throws, and one that is killed, end all within seconds.
set -uo pipefail
program=$1
mpirun=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_mpi_yield_when_idle=1
on() { local n=$1; shift; timeout 240 "$mpirun" --oversubscribe -np "$n" "$program" "$@"; }
failed=0
check() { if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: '$2' and '$3'"; failed=1; fi; }

one=$("$program" bits)
for n in 2 3 5; do check "all entry points on $n ranks" "$one" "$(on "$n" bits)"; done

whole=$("$program" train "$folder" 60)
rm -f "$folder/checkpoint"
on 4 train "$folder" 20 >/dev/null
on 3 killed_training "$folder" 33 >/dev/null 2>&1
on 2 train "$folder" 45 >/dev/null
check "a training stopped on 4 ranks, killed on 3, stopped on 2, ended by one" "$whole" "$("$program" train "$folder" 60)"

for way in throw kill; do
  begin=$SECONDS
  if on 3 "$way" >"$folder/out" 2>&1; then echo "FAILED: $way: the ranks ended well"; failed=1; fi
  if [ $((SECONDS - begin)) -gt 20 ]; then echo "FAILED: $way: took $((SECONDS - begin)) s"; failed=1; fi
  if [ "$way" = throw ] && ! grep -q "rank 0 of 3 failed, which ends all of them: the paper is used up" "$folder/out"; then
    echo "FAILED: no message of what was thrown:"; cat "$folder/out"; failed=1
  fi
done
exit $failed
