"""X.509 bytes and values in, bytes out; the only package that imports cryptography. No I/O."""
