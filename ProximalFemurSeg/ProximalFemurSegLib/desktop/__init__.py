"""What only desktop Slicer has: its views and undo, its Python for child processes, its ways to install packages."""
