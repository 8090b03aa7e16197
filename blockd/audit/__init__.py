"""The record of what this node enforced and when."""
