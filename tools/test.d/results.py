"""Counts how the tests of a `bazel test` ended, from its build events.

usage: results.py EVENTS JOBS

EVENTS is what --build_event_json_file wrote; text on a terminal would not do, since lines of
several actions may run into each other. Prints "PASSED FAILED" as two numbers, and names
what failed on standard error. JOBS gets the tests that are tagged verbs, which Bazel built
and did not run, for tests/softroce/run.py: a list of {name, binary, tags}.
"""

import json
import pathlib
import sys
import urllib.parse

PASSED = ("PASSED", "FLAKY")


def read(path):
    """Returns (outcome by test, [job]); an outcome is Bazel's word for it."""
    tags, outcomes, jobs = {}, {}, []
    for line in pathlib.Path(path).read_text(encoding="utf-8").split("\n"):
        event = json.loads(line) if line else {"id": {}}
        label = next((value.get("label") for value in event["id"].values()
                      if isinstance(value, dict)), None)
        if "targetConfigured" in event["id"]:
            configured = event.get("configured", {})
            if configured.get("targetKind", "").endswith("_test rule"):
                tags[label] = configured.get("tag", [])
        elif "testSummary" in event["id"]:
            outcomes[label] = event["testSummary"]["overallStatus"]
        elif "targetCompleted" in event["id"] and label in tags:
            completed = event.get("completed", {})
            if not completed.get("success"):
                outcomes.setdefault(label, "NOT BUILT")
            elif "verbs" in tags[label]:
                binary = next(output["uri"] for output in completed["importantOutput"]
                              if output["uri"].endswith("/" + label.rpartition(":")[2]))
                jobs.append({"name": label, "tags": tags[label],
                             "binary": urllib.parse.unquote(binary.removeprefix("file://"))})
    return outcomes, jobs


def main():
    outcomes, jobs = read(sys.argv[1])
    jobs = [job for job in jobs if job["name"] not in outcomes]
    pathlib.Path(sys.argv[2]).write_text(json.dumps(jobs), encoding="utf-8")
    failed = sorted(name for name, outcome in outcomes.items() if outcome not in PASSED)
    for name in failed:
        print(f"{outcomes[name]} {name}", file=sys.stderr)
    print(len(outcomes) - len(failed), len(failed))


if __name__ == "__main__":
    main()
