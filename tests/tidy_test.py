#!/usr/bin/env python3
"""Checks what a machine can of docs/style.md over the whole source tree.

Run it from anywhere: `python3 tests/tidy_test.py`. Exit status 1 lists what is wrong.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(os.path.realpath(__file__)).parent.parent

# Lines, by kind of file (docs/style.md, "Files and functions").
HEADER_LINES_MAX = 250
SOURCE_LINES_MAX = 600
TEST_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

# What each folder may include of ours (docs/design.md, "Layers").
MAY_INCLUDE = {
    "base": {"base"},
    "storage": {"base", "storage"},
    "rdma": {"base", "rdma"},
    "proto": {"base", "proto"},
    "service": {"base", "storage", "rdma", "proto", "service"},
    "client": {"base", "rdma", "proto", "client"},
}

# Foreign types and where they may be seen: pattern -> allowed paths.
CONFINED = [
    (r"#include <grpc",
     r"^(proto/|service/(grpc_|\w*_service|\w*_stream)|client/node_client|tests/)"),
    (r"#include <infiniband/|\bibv_", r"^(rdma/verbs|tests/)"),
    (r"\brocksdb::", r"^(storage/rocks_tier|tests/)"),
    (r"std::j?thread\b(?!::)", r"^(base/executor|tests/)"),
    (r"clock_gettime|steady_clock|system_clock|absl::Now\(",
     r"^(base/clock\.cc|service/grpc_|client/node_client|client/cli/|tests/)"),
]

# Words that have no place in the project, and why.
BANNED = [
    (r"\bTODO\b(?!\(\w)", "a TODO names its issue or goes"),
    (r"\bFIXME\b|\bXXX\b", "say what is wrong in a sentence, or mend it"),
    (r"\.\./shared\b", "the project stands without it"),
    (r"\busing namespace\b", "name what is used"),
]
NO_SLEEP = r"\b(?:sleep_for|sleep_until|SleepFor|usleep|nanosleep|sleep)\s*\("


def tracked_files():
    """Files that git tracks, or those on disk where there is no git."""
    try:
        out = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True,
                             capture_output=True, text=True).stdout
        names = out.split("\n")
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file()]
    return sorted(n for n in names if n and (ROOT / n).is_file())


def functions(lines):
    """Yields (first line number, length) of functions at namespace level."""
    start = None
    for number, line in enumerate(lines, 1):
        if start is None:
            if line[:1].isalpha() and not re.match(
                    r"(namespace|class|struct|enum|union|extern|using|typedef|template|"
                    r"#|public|private|constexpr|inline constexpr|const )", line):
                start = number
        if start is not None:
            one_line = number == start and line.endswith("}")
            if line.startswith("}") or one_line:
                yield start, number - start + 1
                start = None
            elif line.rstrip().endswith(";") and not line.startswith((" ", "}")):
                start = None
            elif not line.strip() and "{" not in "".join(lines[start - 1:number]):
                start = None


def check_cpp(name, lines):
    """Yields problems of one C++ file."""
    header = name.endswith(".h")
    limit = HEADER_LINES_MAX if header else (
        TEST_LINES_MAX if name.startswith("tests/") else SOURCE_LINES_MAX)
    if len(lines) > limit:
        yield 1, f"{len(lines)} lines, at most {limit}: is there a second idea in it?"
    if header:
        guard = "KVASIR_" + re.sub(r"\W", "_", name).upper() + "_"
        if f"#ifndef {guard}" not in lines:
            yield 1, f"header guard is not {guard}"
    for first, length in functions(lines):
        if length > FUNCTION_LINES_MAX:
            yield first, f"function of {length} lines, at most {FUNCTION_LINES_MAX}"
    layer = name.split("/")[0]
    for number, line in enumerate(lines, 1):
        included = re.match(r'#include "(\w+)/', line)
        if included and layer in MAY_INCLUDE:
            target = {"kvasir": "proto", "google": "proto"}.get(included[1], included[1])
            local_backend = name.startswith("client/backend/local") and target == "storage"
            if (target in MAY_INCLUDE and target not in MAY_INCLUDE[layer]
                    and not local_backend):
                yield number, f"{layer}/ must not include {included[1]}/"
        for pattern, allowed in CONFINED:
            if re.search(pattern, line) and not re.search(allowed, name):
                yield number, f"\"{pattern}\" belongs to {allowed}"
        is_test = name.startswith("tests/") and not name.startswith("tests/bench/")
        if is_test and re.search(NO_SLEEP, line):
            yield number, "tests do not sleep: turn the crank or wait for the event"


def check_text(name, lines):
    """Yields problems that any text file may have."""
    for number, line in enumerate(lines, 1):
        if name != "tests/tidy_test.py":
            for pattern, why in BANNED:
                if re.search(pattern, line):
                    yield number, f"\"{pattern}\": {why}"
        if line != line.rstrip() and not name.endswith(".md"):
            yield number, "white space at the end"
        if name.endswith((".h", ".cc", ".py")):
            if len(line) > COLUMNS_MAX:
                yield number, f"{len(line)} columns, at most {COLUMNS_MAX}"
            if "\t" in line:
                yield number, "a tab"


def main():
    problems = []
    files = tracked_files()
    checked = 0
    for name in files:
        if not name.endswith((".h", ".cc", ".py", ".md", ".proto", ".bzl", ".sh", "BUILD",
                              ".bazel")) and not name.startswith(("tools/", ".ci/")):
            continue
        if name.endswith((".jsonl", ".json")):
            continue
        text = (ROOT / name).read_text(errors="replace")
        lines = text.split("\n")
        if text and not text.endswith("\n"):
            problems.append(f"{name}:{len(lines)}: no newline at the end")
        lines = lines[:-1]
        checked += 1
        found = list(check_text(name, lines))
        if name.endswith((".h", ".cc")):
            found += check_cpp(name, lines)
        problems += [f"{name}:{number}: {what}" for number, what in found]
    if checked < 20:
        problems.append(f"only {checked} files seen below {ROOT}: is this the source tree?")
    for problem in problems:
        print(problem)
    print(f"tidy: {checked} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
