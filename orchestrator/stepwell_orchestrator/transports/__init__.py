"""Call requests and fetches on their way out, and where they may go.

May import the ports, the data and the wire.
"""
