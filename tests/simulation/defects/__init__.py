"""Defects that were found in earlier versions, as patches of today's code: the simulation must find each of them."""
