"""A service beside a notebook: started, asked, stopped; taught in chapter 21."""

import http.client
import json
import socket
import sys
import threading

import uvicorn
from fastapi import FastAPI
from IPython.display import HTML, IFrame, display

from course_utils.data import settings

QUIET = {"log_config": None, "access_log": False, "lifespan": "off", "ws": "none", "http": "h11", "loop": "asyncio"}
_STILL = """<p>The page of your recommender stands here while its notebook runs: search for a title, give it stars,
and read the list with its reasons.</p>"""


class Service:
    """An app that answers from a thread of this process, to this machine alone unless ``host`` says otherwise."""

    def __init__(self, app: FastAPI, *, host: str = "127.0.0.1", port: int = 0) -> None:
        door = socket.create_server((host, port))  # port 0: one that is free
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each answer waits 40 ms for a receipt
        self.port = door.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=1, **QUIET))
        self._thread = threading.Thread(target=self._server.run, args=([door],), daemon=True)
        self._thread.start()

    def ask(self, path: str, body: object = None) -> dict | str:
        """What it answers to ``GET path``, with a body to ``POST path``; a refusal is an answer too."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, sent, {"content-type": "application/json"})
        answer = connection.getresponse()
        said = answer.read().decode()
        connection.close()
        return json.loads(said) if answer.headers.get_content_type() == "application/json" else said

    def stop(self) -> None:
        """Finish what is being answered, and leave the port."""
        self._server.should_exit = True
        self._thread.join()


def serve(app: FastAPI, *, host: str = "127.0.0.1", port: int = 0, height: int = 760) -> Service:
    """Start an app and show its page below the cell, in Colab too; where the book is tested, a note instead."""
    service = Service(app, host=host, port=port)
    if settings.strict():
        display(HTML(_STILL))
    elif "google.colab" in sys.modules:
        sys.modules["google.colab"].output.serve_kernel_port_as_iframe(service.port, height=height)
    else:
        display(IFrame(f"http://127.0.0.1:{service.port}", "100%", height))
    return service
