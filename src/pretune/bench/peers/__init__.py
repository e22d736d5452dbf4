"""Other engines, each a program of its own that answers over its standard input and output."""
