"""A service that lives in another process, for tests that talk to it or kill it."""

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


class Lives:
    """The process of ``lives.py``: its present life, its port, and how to end a life."""

    def __init__(self, table, file):
        command = [sys.executable, Path(__file__).with_name("lives.py"), table, file]
        self.parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.next()

    def next(self):
        """Wait until the next life has begun."""
        for line in self.parent.stdout:
            if line.startswith("life "):
                self.life, self.port = map(int, line.split()[1:])
                return
        raise AssertionError(self.parent.stderr.read())

    def kill(self):
        """End this life as the kernel does when memory is short, and wait for the next one."""
        os.kill(self.life, signal.SIGKILL)
        self.next()

    def post(self, path, body, connection=None):
        """Status and answer of one request."""
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def end(self):
        self.parent.kill()
        os.kill(self.life, signal.SIGKILL)
        self.parent.wait()


@pytest.fixture
def lives(request, tmp_path):
    """A service on ``small`` or ``movielens``, its feedback in ``tmp_path / "feedback.sqlite"``."""
    made = Lives(request.param, tmp_path / "feedback.sqlite")
    yield made
    made.end()
