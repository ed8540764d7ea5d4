"""``stepwell demo``: an order-fulfilment app on a file of orders, checked order by order against what the file says.

May import everything but the other commands' folders.
"""
