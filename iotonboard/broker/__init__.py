"""What a broker enforces, as pure text in and text out."""
