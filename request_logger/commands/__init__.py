"""The subcommands of `request-logger`: one module each, listed in :mod:`request_logger.commands.registry`.

A module has two functions: ``add_arguments(parser)`` declares the command's arguments, ``run(arguments)`` executes the
command and returns the exit status. A module is imported only when its command is chosen, so its imports cost the other
commands nothing.
"""
