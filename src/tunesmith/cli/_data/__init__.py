"""What `tunesmith data` can do: one file an action."""
