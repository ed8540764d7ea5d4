"""Building and deploying, in AWS and on this machine."""
