"""``stepwell bench``: what Stepwell takes, counted on this machine."""
