"""What is judged before it is signed; shares no code with what encodes."""
