"""Contract suites: what every adapter of a port must do, as tests to inherit."""
