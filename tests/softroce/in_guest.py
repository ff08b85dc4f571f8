"""Runs tests one after another in the guest: the half of run.py that runs there.

Reads plan.json in $SOFTROCE_OUT and writes result.N.json for the Nth test as it ends, so
that what a dying guest has finished still counts. A test whose every case is skipped has
failed: there are devices here.
"""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

OUT = pathlib.Path(os.environ["SOFTROCE_OUT"])
LOG_BYTES_MAX = 64 << 10


def make_devices(variant, rails):
    """Makes the devices and returns what tells programs about them."""
    kind, mtu = variant.split("-")
    if kind == "two":
        kind, rails = "left", 1
    text = subprocess.run(["softroce-devices", kind, str(rails), mtu], check=True,
                          stdout=subprocess.PIPE).stdout.decode()
    return dict(word.split("=", 1) for word in shlex.split(text) if "=" in word)


def environment(run, devices, scratch):
    """What Bazel would give the test, and the devices."""
    runfiles = pathlib.Path(run["binary"] + ".runfiles")
    scratch.mkdir(parents=True)
    return {**os.environ, **devices, "TEST_SRCDIR": str(runfiles),
            "RUNFILES_DIR": str(runfiles), "TEST_WORKSPACE": "kvasir",
            "TEST_TMPDIR": str(scratch), "TMPDIR": str(scratch),
            "GTEST_OUTPUT": f"xml:{scratch}/test.xml"}, runfiles / "kvasir"


def judge(status, xml):
    """Whether a test passed, and a few words on it."""
    if status != 0:
        return False, f"exit status {status}"
    if not xml.exists():
        return True, "no report of cases"
    text = xml.read_text(encoding="utf-8", errors="replace")
    results = re.findall(r'<testcase [^>]*?status="run" result="(\w+)"', text)
    skipped = results.count("skipped")
    return skipped < len(results), f"{len(results)} cases, {skipped} skipped"


def run_test(run, devices, scratch, seconds_max):
    """Runs one test, ends what it leaves behind, and returns its result."""
    variables, folder = environment(run, devices, scratch)
    began = time.monotonic()
    with open(scratch / "log", "w+b") as log:
        process = subprocess.Popen([run["binary"]], cwd=folder, env=variables, stdout=log,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            passed, words = judge(process.wait(seconds_max), scratch / "test.xml")
        except subprocess.TimeoutExpired:
            passed, words = False, f"ran for more than {seconds_max} s"
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        log.seek(0)
        text = log.read()[-LOG_BYTES_MAX:].decode(errors="replace")
    return {**run, "passed": passed, "words": words, "log": text,
            "seconds": time.monotonic() - began}


def main():
    plan = json.loads((OUT / "plan.json").read_text(encoding="utf-8"))
    names = ("SOFTROCE", "SOFTROCE_MTU", "SOFTROCE_LEFT", "SOFTROCE_RIGHT")
    devices = {name: os.environ[name] for name in names}
    variant = plan["runs"][0]["variant"]  # which the guest was started with
    failed = False
    for number, run in enumerate(plan["runs"]):
        # One that failed may have left the wire cut.
        if run["variant"] != variant or failed:
            variant = run["variant"]
            devices = make_devices(variant, plan["rails"])
        scratch = pathlib.Path(f"/tmp/test.{number}")
        result = run_test(run, devices, scratch, plan["seconds_max"])
        failed = not result["passed"]
        print(f"{number + 1} of {len(plan['runs'])}: {run['name']} [{variant}] "
              f"{'passed' if result['passed'] else 'FAILED'} in {result['seconds']:.1f}s",
              flush=True)
        (OUT / f"result.{number}.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
