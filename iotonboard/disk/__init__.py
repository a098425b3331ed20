"""Files and folders: whole or not at all, private where they should be, and where others write too, led nowhere."""
