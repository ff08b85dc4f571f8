"""Runs in the right one of two guests what a test in the left one asks for.

The Nth request, from 0, is the file right.N in $SOFTROCE_OUT: the words of a command, one a
line. It appears whole, by a rename. The command runs at once beside those before it; when it
has ended, right.N.status has its exit status. What it writes goes to standard error.
"""

import os
import pathlib
import subprocess
import sys
import time

OUT = pathlib.Path(os.environ["SOFTROCE_OUT"])
LOOK_SECONDS = 0.05


def main():
    running = {}
    asked = 0
    while True:
        request = OUT / f"right.{asked}"
        if request.exists():
            words = request.read_text(encoding="utf-8").splitlines()
            running[request] = subprocess.Popen(words, stdout=sys.stderr)
            asked += 1
        for path, process in list(running.items()):
            if process.poll() is not None:
                pathlib.Path(f"{path}.status").write_text(f"{process.returncode}\n",
                                                          encoding="ascii")
                del running[path]
        time.sleep(LOOK_SECONDS)


main()
