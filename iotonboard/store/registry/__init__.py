"""The registry of an office, in SQLite or in a PostgreSQL server: what its stations told, and what it decided."""
