"""The named checks of ``health``, by what they look at."""
