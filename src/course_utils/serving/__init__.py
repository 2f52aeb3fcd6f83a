"""A recommender that answers: a model behind a small web service, a page to try it, what people say kept on disk."""

from course_utils.serving.answers import reasons
from course_utils.serving.app import create_app
from course_utils.serving.run import Service, serve
from course_utils.serving.store import Store

__all__ = ["Service", "Store", "create_app", "reasons", "serve"]
