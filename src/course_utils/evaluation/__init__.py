"""How good a list or a rating is, and whether a difference is more than noise."""

from course_utils.evaluation.beyond_accuracy import (
    calibration_kl,
    catalog_coverage,
    gini,
    intra_list_diversity,
    novelty,
)
from course_utils.evaluation.protocol import (
    measure_lists,
    measure_lists_per_user,
    measure_ratings,
    recommend,
    recommend_for,
)
from course_utils.evaluation.significance import all_pairs, bootstrap_interval, holm, paired_test, ties

__all__ = [
    "all_pairs", "bootstrap_interval", "calibration_kl", "catalog_coverage", "gini", "holm", "intra_list_diversity",
    "measure_lists", "measure_lists_per_user", "measure_ratings", "novelty", "paired_test", "recommend",
    "recommend_for", "ties",
]  # fmt: skip
