"""``python -m course_utils.serving``: implicit ALS on MovieLens-100K, for a browser on this machine."""

import argparse

import torch
import uvicorn

from course_utils.data import load_movielens
from course_utils.models.als import ImplicitALS
from course_utils.serving import Store, create_app

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--host", default="127.0.0.1", help="127.0.0.1: nobody else can ask")
parser.add_argument("--port", type=int, default=8021)
parser.add_argument("--feedback", default="feedback.sqlite", help="the file that keeps what people say")
options = parser.parse_args()
torch.set_default_dtype(torch.float64)  # as in the notebooks
movielens = load_movielens()
app = create_app(ImplicitALS().fit(movielens.interactions()), movielens, Store(options.feedback))
print(f"Your recommender answers at http://{options.host}:{options.port}, until Ctrl-C.", flush=True)
uvicorn.run(app, host=options.host, port=options.port, log_level="warning", lifespan="off", ws="none")
