"""Training of small networks on a CPU in compiled passes: forward, loss and backward together.

A minibatch goes through in blocks of rows that stay in the caches next to a core; weights lie as
the products read them. Torch's own path computes the same, up to rounding, wherever this does not
apply (`network.applies`).
"""
