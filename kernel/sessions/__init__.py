"""Sessions: their public face, and the inbox that admits what callers say."""
