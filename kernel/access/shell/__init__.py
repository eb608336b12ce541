"""What a text for the shell would really run."""
