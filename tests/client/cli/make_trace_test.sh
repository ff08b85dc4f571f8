#!/bin/sh
# The trace that ships is what its generator writes, today and on this machine.
set -eu
tools/make_trace --output "$TEST_TMPDIR/again.jsonl" 2>"$TEST_TMPDIR/said"
cmp "$TEST_TMPDIR/again.jsonl" tools/traces/conversations.jsonl
grep -q "ideal hit ratio 0.701$" "$TEST_TMPDIR/said"
# Other seeds write other traces, other lengths a prefix.
tools/make_trace --seed 2 2>/dev/null >"$TEST_TMPDIR/other.jsonl"
! cmp -s "$TEST_TMPDIR/other.jsonl" tools/traces/conversations.jsonl
[ "$(wc -l <"$TEST_TMPDIR/other.jsonl")" = 400 ]
