"""How a network is run: batches without wasted padding, precision, and answers for many rows."""
