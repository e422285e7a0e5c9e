"""The subcommands of `request-logger`: one module each, listed in :mod:`request_logger.cli`.

A module has two functions: ``add_arguments(parser)`` says what the command takes, ``run(arguments)`` does it and
returns the exit status. A module is imported only when its command was chosen, so it may import what it needs.
"""
