"""A service in a process of its own, begun anew when it dies: ``python lives.py small|movielens FEEDBACK``.

For each life it prints the process and the port, which stays: the door is the parent's, so that nobody is turned away.
"""

import os
import socket
import sys

import anyio._backends._asyncio  # noqa: F401 - as the next, loaded once and not in each life
import pandas as pd
import pydantic.v1  # noqa: F401
import torch
import uvicorn
import uvicorn.lifespan.off
import uvicorn.loops.asyncio
import uvicorn.protocols.http.h11_impl

from course_utils.data import load_movielens, load_table
from course_utils.models.neighbors import EASE
from course_utils.serving import Store, create_app
from course_utils.serving.run import QUIET


def small():
    """Eight people, twelve items."""
    rows = [(user, item, 1 + user * item % 5) for user in range(8) for item in range(12) if (user + item) % 3]
    table = pd.DataFrame(rows, columns=["who", "what", "stars"])
    return load_table(table, user="who", item="what", rating="stars")


def main(name, feedback):
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    table = small() if name == "small" else load_movielens()
    model = EASE().fit(table.interactions())
    door = socket.create_server(("127.0.0.1", 0))
    door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        life = os.fork()
        if not life:
            app = create_app(model, table, Store(feedback))
            uvicorn.Server(uvicorn.Config(app, **QUIET)).run(sockets=[door])
            os._exit(0)
        print("life", life, door.getsockname()[1], flush=True)
        os.waitpid(life, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
