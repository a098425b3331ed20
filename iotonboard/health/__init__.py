"""Looking, not touching: checks, inspection, the trail, expiry, the report."""
