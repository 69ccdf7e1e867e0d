#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh BUILD - all benchmarks, in one run. Figures are ratios of medians; see bench/*.c.
set -eu
build=$1
echo "== cost of an exact malloc+free pair =="
"$build/bench/cost" "$build" "${ROUNDS:-9}"
echo
echo "== scale, start and idle =="
"$build/bench/scale" "$build"
