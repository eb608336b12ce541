"""Tools: what a Location offers, how a call is settled, what the model is shown."""
