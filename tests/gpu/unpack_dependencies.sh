#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# unpack_dependencies.sh ROOT FOLDER...: unpacks the Debian packages in the folders below ROOT, made
# anew, and mends what an installation would have set up: absolute links, and Debian's alternatives.
# Needs dpkg, or ar and tar.
set -euo pipefail

if [ $# -lt 2 ]; then
  echo "Usage: ${0##*/} ROOT FOLDER..." >&2
  exit 2
fi
root=$1
shift

fail() {
  echo "unpack_dependencies: error: $*" >&2
  exit 1
}

# What package manuals need is not taken along: it is most of the files.
unpack() {
  local deb=$1 member
  if command -v dpkg-deb >/dev/null; then
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink --exclude './usr/share/doc'
  else
    member=$(ar t "$deb" | grep '^data\.tar')
    case $member in
      *.xz) ar p "$deb" "$member" | tar -xJ -C "$root" --keep-directory-symlink --exclude './usr/share/doc' ;;
      *.zst) ar p "$deb" "$member" | tar -x --zstd -C "$root" --keep-directory-symlink --exclude './usr/share/doc' ;;
      *) fail "$deb: unknown kind of archive: $member" ;;
    esac
  fi
}

# alternative NAME TARGET: a link that a package's own script would have made.
alternative() {
  if [ -e "$root/usr/$(dirname "$1")/$2" ] && [ ! -e "$root/usr/$1" ]; then ln -sf "$2" "$root/usr/$1"; fi
}

rm -rf "$root"
count=0
# Debian 12 has one folder of libraries; its packages name it by two paths.
mkdir -p "$root/usr/lib" "$root/usr/bin"
ln -s usr/lib "$root/lib"
for folder in "$@"; do
  debs=("$folder"/*.deb)
  if [ ! -f "${debs[0]}" ]; then fail "$folder: no packages there"; fi
  for deb in "${debs[@]}"; do
    unpack "$deb" || fail "$deb cannot be unpacked"
    count=$((count + 1))
  done
done

# Absolute links meant the system's root.
while IFS= read -r -d '' link; do
  target=$root$(readlink "$link")
  if [ -e "$target" ]; then ln -sfn "$(realpath --relative-to="$(dirname "$link")" "$target")" "$link"; fi
done < <(find "$root" -type l -lname '/*' -print0)

alternative bin/mpirun mpirun.openmpi
alternative bin/mpiexec mpiexec.openmpi
alternative bin/mpicc mpicc.openmpi
alternative bin/mpicxx mpicxx.openmpi
alternative lib/x86_64-linux-gnu/libpsm_infinipath.so.1 ../libpsm1/libpsm_infinipath.so.1.16
echo "$count packages unpacked"
