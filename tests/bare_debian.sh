#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Proves the README's two commands on a bare Debian: makes one with debootstrap in a folder, copies
# the committed tree into it, and runs both commands there as root and with no terminal. Needs root
# and debootstrap. Takes the packages from where this machine's own apt takes Debian's.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'USAGE'
Usage: tests/bare_debian.sh [--release NAME] [--folder DIR] [--keep] [COMMAND...]

  --release N   which Debian: bookworm (12, the default) or trixie (13)
  --folder DIR  where the system goes (default: a new folder under TMPDIR); one that is there
                already, from --keep, is used again
  --keep        leave the folder when done (default: removed)
  COMMAND       what to run in the checkout, each a shell line
                (default: './launch/quickstart.sh' './tests/run.sh')
USAGE
}

fail() {
  echo "bare_debian: error: $*" >&2
  exit 1
}

release=bookworm
folder=''
keep=''
commands=()
while [ $# -gt 0 ]; do
  case $1 in
    --release) release=${2:?--release needs a value}; shift ;;
    --folder) folder=${2:?--folder needs a value}; keep=1; shift ;;
    --keep) keep=1 ;;
    --help | -h) usage; exit 0 ;;
    -*) fail "unknown option $1 (--help lists them)" ;;
    *) commands+=("$1") ;;
  esac
  shift
done
case $release in
  bookworm) version=12 ;;
  trixie) version=13 ;;
  *) fail "unknown release '$release': bookworm or trixie" ;;
esac
if [ ${#commands[@]} = 0 ]; then commands=(./launch/quickstart.sh ./tests/run.sh); fi

if [ "$(id -u)" != 0 ]; then fail "only root can make and enter a Debian folder"; fi
command -v debootstrap >/dev/null || fail "debootstrap is missing; the package has the same name"
git rev-parse --is-inside-work-tree >/dev/null || fail "this is no git checkout"
if [ -n "$(git status --porcelain)" ]; then
  echo "bare_debian: warning: only what is committed is tested, and this checkout has changes" >&2
fi

# The archives of the release as "deb URI suite component" lines: those of this machine's own
# Debian, from apt's configuration, under the other name.
sources() {
  # shellcheck disable=SC2016  # apt expands these
  apt-get indextargets --format '$(CREATED_BY) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' |
    sed -nE "s/^Packages (deb [^ ]+) (bookworm|trixie)((-updates|-security)? )/\1 $release\3/p" | sort -u
}

unmount() {
  local mount
  for mount in dev sys proc; do
    if mountpoint -q "$folder/$mount"; then umount -R -l "$folder/$mount"; fi
  done
}

finish() {
  unmount
  if [ -z "$keep" ] && [ -n "$folder" ]; then rm -rf --one-file-system "$folder"; fi
}

folder=${folder:-$(mktemp -d "${TMPDIR:-/tmp}/bare_debian.XXXXXX")}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
trap finish EXIT
trap 'exit 130' INT TERM

list=$(sources)
uri=$(awk -v release="$release" '$3 == release && $4 == "main" {print $2; exit}' <<<"$list")
if [ -z "$uri" ]; then fail "this machine's apt knows no archive of Debian 12 or 13"; fi

begin=$SECONDS
if [ ! -x "$folder/usr/bin/apt-get" ]; then
  echo "== Making a bare Debian $version"
  debootstrap --variant=minbase "$release" "$folder" "$uri" >"$folder/debootstrap.log" 2>&1 ||
    { tail -n 5 "$folder/debootstrap.log" >&2; fail "debootstrap failed"; }
fi
if ! grep -q "^VERSION_CODENAME=$release\$" "$folder/etc/os-release"; then
  fail "$folder holds another release than $release"
fi
# The way to the archive (proxy, certificates, name lookup) is this machine's; the rest is bare.
echo "$list" >"$folder/etc/apt/sources.list"
apt-config dump Acquire | grep -E '^Acquire::(http|https|Check-[A-Za-z-]+)' \
  >"$folder/etc/apt/apt.conf.d/90this-machine" || true
cp -L /etc/resolv.conf /etc/hosts "$folder/etc/"
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
  mkdir -p "$folder/etc/ssl/certs"
  cp -n /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
  # For pip under another name, as Debian's package of certificates writes this one anew.
  cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/this-machine.crt"
  printf '[global]\ncert = /etc/ssl/this-machine.crt\n' >"$folder/etc/pip.conf"
fi
echo "bare system ready after $((SECONDS - begin)) s, $(chroot "$folder" dpkg-query -W | wc -l) packages"

mount -t proc proc "$folder/proc"
mount -t sysfs -o ro sysfs "$folder/sys"
mount --rbind /dev "$folder/dev"
mount --make-rslave "$folder/dev"

rm -rf "$folder/srv/hashep"
mkdir "$folder/srv/hashep"
git archive HEAD | tar -x -C "$folder/srv/hashep"

for command in "${commands[@]}"; do
  printf '\n== On the bare system: %s\n' "$command"
  begin=$SECONDS
  code=0
  env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    chroot "$folder" bash -c "cd /srv/hashep && $command" </dev/null || code=$?
  echo "== exit code $code after $((SECONDS - begin)) s: $command"
  if [ "$code" != 0 ]; then exit "$code"; fi
done
echo "bare_debian: all ${#commands[@]} commands passed"
