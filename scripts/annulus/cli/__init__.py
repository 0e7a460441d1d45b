"""The command ``annulus``: one module per command, on top of the library."""
