"""What the tests share: the program as a process, other people's programs, a real broker and real clients."""
