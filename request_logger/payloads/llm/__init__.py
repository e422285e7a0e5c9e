"""Bodies of language models: OpenAI-compatible servers, Ollama, TGI, Triton's generate extension, and their streams."""
