"""``stepwell replay-check``: recorded journals against the code as it is now."""
