"""The head office: who is trusted, what was taken of which station, and what all of it gives out to brokers."""
