"""Who owns what, and for how long: scopes, registrations, Locations."""
