"""The recommenders and the click models, one a file: import each from its file."""
