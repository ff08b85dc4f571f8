"""Runs the tests that are tagged verbs, in a guest with soft-RoCE devices: all in one boot,
and those that need two guests in another.

usage: run.py [--kernel 6.1|6.12] JOBS

JOBS is what tools/test.d/results.py wrote. Each test runs on every kind of devices in
VARIANTS, or on those that its tags softroce:VARIANT name (also two-4096: in the left one of
two guests, with right_guest.py in the other). Prints a line for each, and last
"N passed, N failed, N skipped". Where no guest can run, all are skipped, by name. The exit
status is 0 if none failed.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(os.path.realpath(__file__)).parent
SOFTROCE = HERE.parent.parent / "tools" / "softroce"
VARIANTS = ("self-4096", "self-1024", "wire-4096", "wire-1024")
TWO_GUESTS = "two-4096"
# Of one test on one kind of devices, and of the boot and the changes of devices.
TEST_SECONDS_MAX = 300
BOOT_SECONDS = 60
RAILS = 2


def variants(job):
    """Those that a test's tags name, else all."""
    named = [tag.removeprefix("softroce:") for tag in job["tags"]
             if tag.startswith("softroce:")]
    known = (*VARIANTS, TWO_GUESTS)
    unknown = set(named) - set(known)
    if unknown:
        raise SystemExit(f"{job['name']}: no devices {unknown}; there are {known}")
    return [variant for variant in known if variant in (named or VARIANTS)]


def title(run):
    return f"{run['name']} [{run['variant']}]"


def folders_to_show(runs):
    """Where Bazel's output lies, in case that it is where the guest hides the host's."""
    return {run["binary"].partition("/execroot/")[0] for run in runs
            if run["binary"].startswith(("/tmp/", "/run/", "/mnt/"))}


def softroce_options(variant):
    """(Options, command of the other guest if there is one) for a boot with these devices."""
    kind, mtu = variant.split("-")
    if variant == TWO_GUESTS:
        return (["--two", "--memory", "1024", "--smp", "1", "--mtu", mtu],
                ["--and", "python3", HERE / "right_guest.py"])
    return ["--rails", str(RAILS), "--mtu", mtu, *(["--wire"] if kind == "wire" else [])], []


def run_in_guest(runs, kernel):
    """Runs them in one boot and returns {title: result}; a result has passed, seconds, words,
    log."""
    with tempfile.TemporaryDirectory(prefix="softroce-tests.") as name:
        out = pathlib.Path(name)
        plan = {"runs": runs, "seconds_max": TEST_SECONDS_MAX, "rails": RAILS}
        (out / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        limit = BOOT_SECONDS + TEST_SECONDS_MAX * len(runs)
        options, other = softroce_options(runs[0]["variant"])
        command = [SOFTROCE, "--kernel", kernel, "--out", out, "--time-limit", str(limit),
                   *options]
        for folder in folders_to_show(runs):
            command += ["--show", folder]
        guest = subprocess.run([*command, "--", "python3", HERE / "in_guest.py", *other],
                               stdin=subprocess.DEVNULL, check=False)
        results = {}
        for path in out.glob("result.*.json"):
            result = json.loads(path.read_text(encoding="utf-8"))
            results[title(result)] = result
    if guest.returncode != 0:
        print(f"the guest's exit status is {guest.returncode}")
    return results


def run_in_guests(runs, kernel):
    """The same in as many boots as it takes."""
    results = {}
    for two in (False, True):
        boot = [run for run in runs if (run["variant"] == TWO_GUESTS) == two]
        if boot:
            results.update(run_in_guest(boot, kernel))
    return results


def report(runs, results):
    """Prints how each ended and returns how many failed."""
    failed = 0
    for run in runs:
        result = results.get(title(run), {"passed": False, "seconds": 0.0, "log": "",
                                          "words": "the guest did not get to it"})
        if not result["passed"]:
            failed += 1
            print(result["log"], end="")
        print(f"{title(run):72} {'PASSED' if result['passed'] else 'FAILED'} in "
              f"{result['seconds']:.1f}s ({result['words']})")
    return failed


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("jobs", type=pathlib.Path)
    options = parser.parse_args()
    jobs = json.loads(options.jobs.read_text(encoding="utf-8"))
    runs = [{"name": job["name"], "binary": job["binary"], "variant": variant}
            for variant in (*VARIANTS, TWO_GUESTS) for job in jobs if variant in variants(job)]
    if not runs:
        return 0
    check = subprocess.run([SOFTROCE, "--kernel", options.kernel, "--check"],
                           stdin=subprocess.DEVNULL, check=False, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
    if check.returncode != 0:
        for run in runs:
            print(f"{title(run):72} SKIPPED")
        print("SKIPPED: no guest can run here, so NOTHING OF RDMA HAS BEEN TESTED:")
        print(check.stdout.decode(errors="replace").strip())
        print(f"0 passed, 0 failed, {len(runs)} skipped")
        return 0
    failed = report(runs, run_in_guests(runs, options.kernel))
    print(f"{len(runs) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
