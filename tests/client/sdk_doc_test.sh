#!/bin/sh
# Runs sdk_doc_test.py on the source tree that this script is linked from.
exec python3 "$(dirname "$(readlink -f "$0")")/sdk_doc_test.py"
