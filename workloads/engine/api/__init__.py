"""The OpenAI API of one replica: requests in, replies out, errors in OpenAI's shape."""
