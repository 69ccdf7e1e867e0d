#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# demo.sh - three programs under memtrace, one after the other: sqlite3 launched, python3 attached
# to while it runs, and a small program that leaks. Fails when memtrace does.
#
#	MEMTRACE=build/memtrace TARGETS=build/tests/targets bash tests/demo.sh
set -eu -o pipefail

memtrace=$(realpath "${MEMTRACE:-build/memtrace}")
targets=$(realpath "${TARGETS:-build/tests/targets}")
stage=
python=

refuse()
{
	echo "demo: $1" >&2
	exit 1
}

clean_up()
{
	[ -z "$python" ] || kill "$python" 2>/dev/null || true
	[ -z "$stage" ] || rm -rf "$stage"
}
trap clean_up EXIT

# Each part begins with what it is, and the command a user would type. Reports go to stdout too, so
# that all stays in order.
part()
{
	printf '\n==== %s\n     $ sudo memtrace %s\n\n' "$1" "$2"
}

for program in sqlite3 python3; do
	command -v "$program" >/dev/null || refuse "$program is not installed (make demo installs it)"
done
for file in "$memtrace" "$targets/leaky"; do
	[ -x "$file" ] || refuse "$file is not built (run make demo)"
done

as_root=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null ||
		refuse "memtrace needs root, and there is no sudo (run make demo as root)"
	sudo true || refuse "memtrace needs root, and sudo refuses (run make demo as root)"
	as_root=(sudo)
fi

stage=$(mktemp -d)
chmod 755 "$stage"
mkfifo "$stage/go"

cat >"$stage/orders.sql" <<'END'
create table orders(id integer primary key, customer text, amount real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 400000)
	insert into orders select i, printf('customer %05d', i * 7919 % 50000), i % 1000 / 10.0 from n;
create index by_customer on orders(customer, amount);
select customer, count(*), sum(amount) from orders group by customer order by 3 desc, 1 limit 3;
delete from orders where id % 3 = 0;
select count(*) || ' orders left' from orders;
END

cat >"$stage/pages.py" <<'END'
import json, sys, zlib

print("up", flush=True)
sys.stdin.read(1)  # memtrace is ready
cache = {}
for page in range(1800):
    rows = [{"id": page * 100 + n, "name": "row %d " % n * 20} for n in range(100)]
    text = json.dumps(rows) * 10
    cache[page] = text, zlib.compress(text.encode(), 1)
print(len(cache), "pages in a cache that keeps them all")
END

cd "$stage"

part "sqlite3 builds, queries and prunes a table of 400,000 rows in memory, 250 MiB allowed" \
	"--limit-mb 250 -- sqlite3 :memory: '.read orders.sql'"
"${as_root[@]}" "$memtrace" --limit-mb 250 --top 3 -- sqlite3 :memory: '.read orders.sql' 2>&1

# It says when it is up, and begins when memtrace is ready. The pipe is open for both directions, so
# that neither side waits for the other to open it.
exec 3<>go 4< <(exec python3 pages.py <go)
python=$!
read -r <&4 || refuse "python3 does not start"
part "python3 runs already; its cache is going to grow past 250 MiB" "--limit-mb 250 -p $python"
"${as_root[@]}" "$memtrace" --limit-mb 250 --top 3 -p "$python" 2> >(
	while IFS= read -r line; do
		printf '%s\n' "$line"
		[ "$line" != "memtrace: ready" ] || printf x >go
	done)
wait "$python" || refuse "python3 ended with status $?"
python=
cat <&4

part "a small program that leaks on three call paths" "--limit-mb 250 -- leaky 1000"
"${as_root[@]}" "$memtrace" --limit-mb 250 -- "$targets/leaky" 1000 2>&1

printf '\n==== done: sqlite3, python3 and leaky were traced as they are, without a change to any\n'
