"""The page for people: values in, one self-contained HTML text out. No I/O, no script, no network."""
