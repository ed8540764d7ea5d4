"""What an author defines: the app, functions, triggers, schedules and their options.

May import middleware, steps, client and what is below them.
"""
