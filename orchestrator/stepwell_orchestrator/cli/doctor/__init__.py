"""``stepwell doctor``: whether this machine can run Stepwell, and what to do where it cannot."""
