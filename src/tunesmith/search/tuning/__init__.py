"""Search of settings: ranges in a plan, engines that try values of them, and what the best of many is really worth."""
