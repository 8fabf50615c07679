"""The whole way of a run: data, plan, search, proof, bundle and report, in a folder of its own."""
