#!/bin/sh
# Runs tidy_test.py on the source tree that this script is linked from.
exec python3 "$(dirname "$(readlink -f "$0")")/tidy_test.py"
