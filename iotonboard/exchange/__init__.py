"""What goes between a station and an office on a stick: journals one way, orders the other. Forms alone, no state."""
