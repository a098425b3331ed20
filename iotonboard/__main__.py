"""Lets ``python -m iotonboard`` run the program."""

from iotonboard.cli import main

if __name__ == "__main__":
    main()
