"""Skills: the instruction packages of a Location."""
