"""The deployed stack without an AWS account: on an emulator, and function by function under ``sam local``."""
