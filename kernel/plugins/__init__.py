"""Plugins: found, loaded, placed into Locations, called, counted and removed."""
