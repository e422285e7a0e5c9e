"""Sends accepted events on to a second receiver (FORWARD_URL): after they are stored, without delaying any."""

from request_logger.forward.forwarder import Forwarder, new_forwarder
from request_logger.forward.message import FORWARDED, Message, binary_message, message_of

__all__ = ["FORWARDED", "Forwarder", "Message", "binary_message", "message_of", "new_forwarder"]
