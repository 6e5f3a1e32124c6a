"""The libraries that train."""
