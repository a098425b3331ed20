"""One pure encoder per export format, listed in one table."""
