"""From interactions to a trained module: the loop, losses, negatives, slates, regularizers, optimizers."""
