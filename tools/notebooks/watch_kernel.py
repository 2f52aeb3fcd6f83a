"""Runs inside a notebook's kernel, before its first cell, and writes down what a cell should not do.

A notebook computes and prints. It leaves no file, starts no program, opens no door and asks no other machine, so that a
run in a student's folder, or in CI, changes nothing and depends on nothing. Python reports such acts itself (audit
events). An act is the cell's own when no module outside Python's library stands between. A cell may write to a
temporary folder, a library to its caches, and a library may start workers; nobody may ask another machine, nor write
into the notebook's folder.
"""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path

LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "", None}
LIBRARY = sysconfig.get_paths()["stdlib"]
SCRATCH = tempfile.gettempdir()
PACKAGES = ("site-packages", "dist-packages")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
PROGRAMS = {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "pty.spawn"}


def by_a_cell():
    """Whether a cell called this, with nothing but Python's own library between."""
    frame = sys._getframe(3)  # past deed and the hook
    while frame is not None:
        file = frame.f_code.co_filename
        if "ipykernel_" in file or file.startswith("<ipython-input"):
            return True
        if not file.startswith("<") and (any(name in file for name in PACKAGES) or not file.startswith(LIBRARY)):
            return False
        frame = frame.f_back
    return False


def deed(event, arguments, folder):
    """What the event means in words, or None when it is allowed."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in LOCAL:
            return f"asks another machine, {address[0]}"
        return f"opens a connection to {address}" if by_a_cell() else None
    if event == "socket.getaddrinfo" and arguments[0] not in LOCAL:
        return f"asks another machine, {arguments[0]}"
    if event == "socket.bind" and by_a_cell():
        return f"listens at {arguments[1]}"
    if event in PROGRAMS and by_a_cell():
        return f"starts a program ({event})"
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        mode, flags = arguments[1], arguments[2] or 0
        if (mode and set(mode) & set("wax+")) or flags & WRITES:
            path = Path(os.fsdecode(arguments[0])).absolute()
            mine = path.is_relative_to(SCRATCH) and not path.is_relative_to(folder)  # what it takes away again
            if path != Path(os.devnull) and not mine and (by_a_cell() or path.is_relative_to(folder)):
                return f"writes a file, {path}"
    return None


def begin(shell):
    """Watch from now on; ``COURSE_WATCH`` names the file that gets a line for each deed."""
    folder = Path.cwd()
    log = os.open(os.environ["COURSE_WATCH"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    cells = [0]

    def count(*_):
        cells[0] += 1

    def hook(event, arguments):  # the first code cell installs, and may do what it must
        if cells[0] > 1 and (found := deed(event, arguments, folder)):
            os.write(log, f"code cell {cells[0]}: {found}\n".encode())

    shell.events.register("pre_run_cell", count)
    sys.addaudithook(hook)
