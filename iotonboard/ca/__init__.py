"""The unlocked authority: what opens it, and what it signs."""
