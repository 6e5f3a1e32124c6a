"""A model that was imported, measured on data of the user's: in go both, out come the files that `train` would leave.

The rows are brought to what the model's inputs take. Most of them are the test part for `prove`, and some, which are
not measured, are what `optimize` calibrates by.
"""
