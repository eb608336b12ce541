"""Sessions: admission, the inbox, Steps, drains, and the public face of them all."""
