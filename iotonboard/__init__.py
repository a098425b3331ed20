"""iotonboard: an offline PKI for IoT devices. The version is the only thing here."""

__version__ = "0.1.0"
