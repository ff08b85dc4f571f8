#!/usr/bin/env python3
"""Every C++ example of docs/sdk.md stands, word for word, in example_test.cc.

That file is compiled and run, so the document cannot show what does not work.
"""

import os
import pathlib
import re
import sys


def squeeze(text):
    """The text with every run of white space as one blank."""
    return " ".join(text.split())


def main():
    here = pathlib.Path(os.path.realpath(__file__)).parent
    document = (here.parent.parent / "docs" / "sdk.md").read_text()
    code = squeeze((here / "example_test.cc").read_text())
    examples = re.findall(r"```cpp\n(.*?)```", document, re.DOTALL)
    if not examples:
        sys.exit("sdk_doc_test: docs/sdk.md has no examples")
    for example in examples:
        if squeeze(example) not in code:
            sys.exit(f"sdk_doc_test: not in example_test.cc:\n{example}")
    print(f"sdk_doc_test: {len(examples)} examples stand in example_test.cc")


if __name__ == "__main__":
    main()
