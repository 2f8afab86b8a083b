"""Other ways to read the list; each file is a script that writes one line of JSON a record to standard output."""
