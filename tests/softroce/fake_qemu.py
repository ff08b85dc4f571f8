"""Stands in for QEMU in tool_test.py: speaks on the ports as a guest would.

The file "script" in the folder beside the image has a line for each boot, of words:
  hang        prints nothing, until it is killed
  line run    the console's first line; the command starts
  out TEXT    on the command's standard output, with Python's escapes
  kernel      the kernel's arguments, on the command's standard output
  exit N      the command's exit status
  wait        until it is killed
  die         ends at once
and, as one of two guests:
  ask WORD    of the other guest; the answer goes to the standard output
  insist WORD the same again and again, until the other guest's command runs
  send TEXT   a frame; flood sends 1000 of 4096 bytes
  receive     a frame, to the standard output
  state FILE  of the process that wrote it as "pid": a letter as ps has it, or gone
Each boot adds a line to "boots", each `hang` one to "hung", each `wait` one to "waiting".
"""

import os

import pathlib
import signal
import socket
import sys


def ask(port, word):
    """Returns the runner's answer, which is one line."""
    port.sendall(f"{word}\n".encode())
    answer = b""
    while not answer.endswith(b"\n"):
        answer += port.recv(1)
    return answer


def insist(port, word):
    answer = ask(port, word)
    while answer == b"its command does not run\n":
        answer = ask(port, word)
    return answer


def state(path):
    pid = pathlib.Path(path).read_text(encoding="ascii")
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
    except FileNotFoundError:
        return b"gone"


def open_ports(arguments):
    """Returns (port by name, the network or None)."""
    ports, network = {}, None
    for option in arguments:
        fields = dict(field.split("=", 1) for field in option.split(",") if "=" in field)
        if option.startswith("socket,"):
            ports[fields["id"]] = socket.socket(fileno=int(fields["fd"]))
        elif option.startswith("dgram,"):
            network = socket.socket(fileno=int(fields["local.str"]))
    return ports, network


def main():
    arguments = sys.argv[1:]
    ports, network = open_ports(arguments)
    folder = pathlib.Path(arguments[arguments.index("-kernel") + 1]).parent
    with open(folder / "boots", "a+", encoding="utf-8") as boots:
        boots.write("boot\n")
        boots.seek(0)
        boot = len(boots.readlines()) - 1
    (folder / "pid").write_text(str(os.getpid()), encoding="ascii")
    words = iter((folder / "script").read_text(encoding="utf-8").split("\n")[boot].split())
    for word in words:
        if word == "line":
            ports["console"].sendall(b"softroce: init\r\n")
        elif word == "run":
            ports["control"].sendall(b"run\n")
        elif word == "out":
            ports["stdout"].sendall(next(words).encode().decode("unicode_escape").encode())
        elif word == "kernel":
            ports["stdout"].sendall(arguments[arguments.index("-append") + 1].encode())
        elif word == "exit":
            ports["control"].sendall(f"exit {next(words)}\n".encode())
        elif word in ("ask", "insist"):
            ports["stdout"].sendall(globals()[word](ports["peer"], next(words)))
        elif word == "send":
            network.send(next(words).encode())
        elif word == "flood":
            for _ in range(1000):
                network.send(bytes(4096))
        elif word == "receive":
            ports["stdout"].sendall(network.recv(4096))
        elif word == "state":
            ports["stdout"].sendall(state(next(words)))
        elif word == "die":
            sys.exit(1)
        else:
            name = {"hang": "hung", "wait": "waiting"}[word]
            with open(folder / name, "a", encoding="utf-8") as file:
                file.write(f"{word}\n")
            signal.pause()


main()
