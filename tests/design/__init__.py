"""The design as documentation that is generated from the code: the packages, and the way of an event."""
