#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# packages.sh PACKAGE... - installs, by apt, those of the packages that are missing; says nothing when
# none is. A word with slashes is one package under the names that releases give it, newest last:
# libmimalloc2.0/libmimalloc3.
set -eu

as_root=()
log=

refuse()
{
	echo "memtrace: $1" >&2
	exit 1
}

installed()
{
	case " $(dpkg-query -W -f '${db:Status-Status} ' "$1" 2>/dev/null)" in
	*" installed "*) return 0 ;;
	esac
	return 1
}

any_installed()
{
	local name

	for name in ${1//\// }; do
		! installed "$name" || return 0
	done
	return 1
}

# The first of the names that this release has; the last, so that apt names it, when there is none.
pick()
{
	local name

	for name in ${1//\// }; do
		case $(apt-cache policy "$name" 2>/dev/null) in
		*"Candidate: (none)"* | "") ;;
		*) break ;;
		esac
	done
	echo "$name"
}

# What apt says is shown only when it fails. Another apt may be at work on a machine just started.
apt_get()
{
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
		-o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" </dev/null >"$log" 2>&1
}

missing=()
for names in "$@"; do
	any_installed "$names" || missing+=("$names")
done
[ "${#missing[@]}" != 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "memtrace: no apt-get here; going on as if these were installed: ${missing[*]}" >&2
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null ||
		refuse "cannot install ${missing[*]}: not root, and there is no sudo (install them as root)"
	sudo true || refuse "cannot install ${missing[*]}: sudo refuses (install them as root)"
	as_root=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
printf '  %-8s %s\n' APT "update"
if ! apt_get update; then
	# one repository that fails is no reason to give up: what is needed may be known
	grep -E '^(E|W|Err)' "$log" >&2 || true
fi
names=()
for word in "${missing[@]}"; do
	names+=("$(pick "$word")")
done
printf '  %-8s %s\n' APT "${names[*]}"
if ! apt_get install -y --no-install-recommends "${names[@]}"; then
	tail -n 20 "$log" >&2
	refuse "apt-get cannot install ${names[*]} (see above)"
fi

# The tests run servers of their own. Those that came just now are not left running on this machine.
if [ -d /run/systemd/system ]; then
	for name in "${names[@]}"; do
		case $name in
		redis-server) "${as_root[@]}" systemctl disable --now redis-server >/dev/null 2>&1 || true ;;
		nginx*) "${as_root[@]}" systemctl disable --now nginx >/dev/null 2>&1 || true ;;
		esac
	done
fi
