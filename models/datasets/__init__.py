"""The sources of data, a module each: found where they were unpacked or installed, checked by hash, and read."""
