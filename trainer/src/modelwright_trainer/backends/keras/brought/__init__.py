"""A `.keras` file of somebody else's: in go its bytes, out comes a graph by our own exporter.

Nothing of the file is executed. What it says of layers is read as words of the table; its weights are arrays.
"""
