"""What goes to a device: credential, bundle, labels and formats."""
