"""One open state directory: its layout, its settings, its changes and how they are published."""
