"""What people may ask for: cancel, rerun, invoke; and the sweep that looks after what nobody else does.

May import accepting, the engine, the ports.
"""
