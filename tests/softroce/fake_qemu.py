"""Stands in for QEMU in tool_test.py: speaks on the ports as a guest would.

The file "script" in the folder beside the image has a line for each boot, of words:
  hang        prints nothing, until it is killed
  line run    the console's first line; the command starts
  out TEXT    on the command's standard output, with Python's escapes
  exit N      the command's exit status
  wait        until it is killed
  die         ends at once
Each boot adds a line to "boots", each `hang` one to "hung", each `wait` one to "waiting".
"""

import pathlib
import signal
import socket
import sys


def main():
    arguments = sys.argv[1:]
    ports = {}
    for option in arguments:
        if option.startswith("socket,"):
            fields = dict(field.split("=", 1) for field in option.split(",")[1:])
            ports[fields["id"]] = socket.socket(fileno=int(fields["fd"]))
    folder = pathlib.Path(arguments[arguments.index("-kernel") + 1]).parent
    with open(folder / "boots", "a+", encoding="utf-8") as boots:
        boots.write("boot\n")
        boots.seek(0)
        boot = len(boots.readlines()) - 1
    words = iter((folder / "script").read_text(encoding="utf-8").split("\n")[boot].split())
    for word in words:
        if word == "line":
            ports["console"].sendall(b"softroce: init\r\n")
        elif word == "run":
            ports["control"].sendall(b"run\n")
        elif word == "out":
            ports["stdout"].sendall(next(words).encode().decode("unicode_escape").encode())
        elif word == "exit":
            ports["control"].sendall(f"exit {next(words)}\n".encode())
        elif word == "die":
            sys.exit(1)
        else:
            name = {"hang": "hung", "wait": "waiting"}[word]
            with open(folder / name, "a", encoding="utf-8") as file:
                file.write(f"{word}\n")
            signal.pause()


main()
