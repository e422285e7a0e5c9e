"""The event and its document as data: parse CloudEvents, join parts, degrade what the search engine refuses."""
