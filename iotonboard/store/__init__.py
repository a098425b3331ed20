"""The database, as queries that return records; all SQL lives here."""
