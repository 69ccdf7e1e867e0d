#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh BUILD - all benchmarks, in one run. Figures are ratios of medians; see bench/*.c.
set -eu
build=$1
echo "== cost of an exact malloc+free pair =="
"$build/bench/cost" "$build" "${ROUNDS:-7}"
echo
echo "== unwind tables: made, and kept from another session =="
lib=/usr/lib/$(gcc -print-multiarch)
"$build/bench/tables" "$lib"/ld-linux-*.so.* "$lib"/{libm.so.6,libc.so.6,libstdc++.so.6,libcrypto.so.3} \
	"$(readlink -f /usr/bin/python3)" "$(gcc -print-prog-name=cc1)" "$lib"/libLLVM-??.so.1
echo
echo "== judging 10,000 call paths =="
"$build/bench/analyze"
echo
echo "== sampled sessions: are intervals what they say? =="
"$build/bench/sampling" "$build"
echo
echo "== is the slowdown that is stated the one that clocks show? =="
"$build/bench/overhead" "$build"
echo
echo "== scale, start and idle =="
"$build/bench/scale" "$build"
echo
echo "== whole programs, and other tools =="
"$build/bench/compare" "$build"
