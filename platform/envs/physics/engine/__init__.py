"""The engine of the kind `PHYSICS`, compiled: forces, contacts, views, the batched environment."""
