"""Models: which ones a Location knows, what they need, and how one is asked again."""
