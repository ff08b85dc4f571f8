#!/bin/sh
# Runs tool_test.py on the source tree that this script is linked from.
exec python3 "$(dirname "$(readlink -f "$0")")/tool_test.py"
