"""The tables and views of the database, as ordered migrations."""
