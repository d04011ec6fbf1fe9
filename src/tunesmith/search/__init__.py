"""Many plans on the same rows, tried in pieces and compared: what a race of methods and a search of settings share."""
