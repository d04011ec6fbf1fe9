"""Hard prompts: for a base that cannot be changed, search the words that are put before a question."""
