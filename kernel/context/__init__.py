"""System Context: what the model is told about its world, and when it is told anew.

``registry`` knows the sources, ``sampling`` observes them, ``algebra`` makes texts of
what they say, ``epoch`` decides what a session must be told next.
"""
